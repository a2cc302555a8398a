/** An accepted connection on an HBONE port until its TLS handshake is over and its client is known. */
import { clientIdentity, formatHostPort, type Identity, identitiesFromSubjectAltName } from '../../mesh/index.ts';
import { type Deadline, deadlines, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';
import { ALPN_H2 } from './certificate.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { peerSubjectAltName } from './hbone-client.ts';
import { revocationPolicy } from './revocation.ts';

/** A peer has this long for TLS; the HTTP/2 machine has its own limit for the preface. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Whose listener took the connection. */
export interface HandshakeHost {
  /** Clients of other trust domains are refused. */
  readonly trustDomain: string;
  /** The client has proven who it is. `sourceIp` is canonical text. */
  handshakeDone(socket: TcpSocket, identity: Identity, sourceIp: string, destinationIp: string): void;
  /** The connection is over. `source` is `ip:port`. */
  handshakeFailed(end: ConnectionEnd, source: string, destinationIp: string): void;
}

export class ServerHandshake implements SocketEvents, Deadline {
  readonly #host: HandshakeHost;
  readonly #socket: TcpSocket;
  readonly #source: string;
  readonly #sourceIp: string;
  readonly #destinationIp: string;
  #over = false;
  dueAt = performance.now() + HANDSHAKE_TIMEOUT_MS;

  constructor(host: HandshakeHost, socket: TcpSocket, sourceIp: string, destinationIp: string) {
    this.#host = host;
    this.#socket = socket;
    this.#sourceIp = sourceIp;
    this.#source = formatHostPort(sourceIp, socket.remotePort);
    this.#destinationIp = destinationIp;
    deadlines.add(this);
  }

  onHandshake(socket: TcpSocket, succeeded: boolean, error: Error | null): void {
    if (this.#over) return;
    if (!succeeded || error !== null) {
      this.#deny(endOf('tls-failure', error?.message ?? 'handshake failed'));
      return;
    }
    // Bun's types do not know this member of a TLS socket.
    const { alpnProtocol } = socket as { alpnProtocol?: string | false };
    const { trustDomain } = this.#host;
    const identity = clientIdentity(identitiesFromSubjectAltName(peerSubjectAltName(socket)), trustDomain);
    if (identity === undefined) {
      this.#deny(endOf('tls-failure', `identity verification error: peer has no identity of trust domain ${trustDomain}`));
      return;
    }
    const revoked = revocationPolicy()?.problemWith(socket, 'destination');
    if (revoked !== undefined) this.#deny(endOf('tls-failure', revoked));
    else if (alpnProtocol !== ALPN_H2) {
      this.#deny(endOf('http2-handshake', 'the peer did not agree to ALPN h2'));
    } else {
      this.#settle();
      this.#host.handshakeDone(socket, identity, this.#sourceIp, this.#destinationIp);
    }
  }

  onDeadline(): void {
    this.#deny(endOf('handshake-timeout'));
  }

  onData(): void {}
  onDrain(): void {}

  onEnd(): void {
    this.#deny(endOf('tls-failure', 'the peer closed the connection during the handshake'));
  }

  onClose(error: Error | undefined): void {
    if (this.#over) return;
    this.#settle();
    this.#host.handshakeFailed(
      endOf('tls-failure', error?.message ?? 'connection closed during the handshake'),
      this.#source,
      this.#destinationIp,
    );
  }

  #deny(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#settle();
    this.#host.handshakeFailed(end, this.#source, this.#destinationIp);
    this.#socket.terminate();
  }

  #settle(): void {
    this.#over = true;
    this.dueAt = Number.POSITIVE_INFINITY;
    deadlines.delete(this);
  }
}
