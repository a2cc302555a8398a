/** The server end of a tunnel: one connection on a pod's port 15008, its client checked, its streams handed to `InboundStream`. */
import { clientIdentity, formatHostPort, formatIdentity, type Identity, identitiesFromSubjectAltName } from '../../mesh/index.ts';
import { type Deadline, deadlines, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';
import { ErrorCode, type HeaderList, type Http2CloseReason } from '../../protocol/index.ts';
import { ALPN_H2 } from '../core/certificate.ts';
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';
import { peerSubjectAltName } from '../core/hbone-client.ts';
import { Tunnel } from '../core/tunnel.ts';
import { logEarlyDeny } from './connection-record.ts';
import { InboundStream } from './inbound-stream.ts';
import type { PodProxy } from './pod-proxy.ts';

/** A peer has this long for TLS; the HTTP/2 machine has its own limit for the preface. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** An accepted connection before its handshake is over. */
export class InboundHandshake implements SocketEvents, Deadline {
  readonly #pod: PodProxy;
  readonly #socket: TcpSocket;
  readonly #source: string;
  readonly #sourceIp: string;
  readonly #destinationIp: string;
  #over = false;
  dueAt = performance.now() + HANDSHAKE_TIMEOUT_MS;

  constructor(pod: PodProxy, socket: TcpSocket, sourceIp: string, destinationIp: string) {
    this.#pod = pod;
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
    const trustDomain = this.#pod.trustDomain;
    const identity = clientIdentity(identitiesFromSubjectAltName(peerSubjectAltName(socket)), trustDomain);
    if (identity === undefined) {
      this.#deny(endOf('tls-failure', `identity verification error: peer has no identity of trust domain ${trustDomain}`));
    } else if (alpnProtocol !== ALPN_H2) {
      this.#deny(endOf('http2-handshake', 'the peer did not agree to ALPN h2'));
    } else {
      this.#settle();
      const tunnel = new InboundTunnel(this.#pod, identity, this.#sourceIp, socket.remotePort, this.#destinationIp);
      this.#pod.inboundTunnelOpened(tunnel);
      tunnel.start(socket);
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
    this.#log(endOf('tls-failure', error?.message ?? 'connection closed during the handshake'));
    this.#pod.socketClosed('destination');
  }

  #deny(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#settle();
    this.#log(end);
    this.#socket.terminate();
    this.#pod.socketClosed('destination');
  }

  #log({ reason, message }: ConnectionEnd): void {
    this.#pod.refused('inbound', reason);
    logEarlyDeny(this.#pod.context.access, 'inbound', this.#source, formatHostPort(this.#destinationIp, 15_008), message);
  }

  #settle(): void {
    this.#over = true;
    this.dueAt = Number.POSITIVE_INFINITY;
    deadlines.delete(this);
  }
}

export class InboundTunnel extends Tunnel {
  readonly pod: PodProxy;
  readonly identity: Identity;
  readonly identityUri: string;
  readonly sourceIp: string;
  readonly source: string;
  readonly destinationIp: string;

  constructor(pod: PodProxy, identity: Identity, sourceIp: string, sourcePort: number, destinationIp: string) {
    super('server', pod.serverSettings);
    this.pod = pod;
    this.identity = identity;
    this.identityUri = formatIdentity(identity);
    this.sourceIp = sourceIp;
    this.source = formatHostPort(sourceIp, sourcePort);
    this.destinationIp = destinationIp;
  }

  protected override accept(streamId: number, headers: HeaderList, endStream: boolean): void {
    new InboundStream(this, streamId).start(headers, endStream);
  }

  /** Answers a stream that was never accepted. */
  refuse(streamId: number, status: number): void {
    this.http2.sendHeaders(streamId, [[':status', String(status)]], true);
    this.http2.reset(streamId, ErrorCode.NO_ERROR);
  }

  protected override closed(reason: Http2CloseReason, detail: string): void {
    this.pod.inboundTunnelClosed(this, reason, detail);
  }
}
