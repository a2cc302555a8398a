/** An HTTP/2 connection to the control plane: TLS, the name in its certificate checked, then streams. */
import { Dial, type DialEvents, type DialFailure, type DialOptions, type TcpSocket } from '../../platform/net/index.ts';
import {
  CLIENT_SETTINGS,
  type HeaderList,
  type Http2CloseReason,
  type Http2Settings,
  isCertificateFor,
  parseIp,
  readCertificateDer,
} from '../../protocol/index.ts';
import { ALPN_H2 } from './certificate.ts';
import { Tunnel } from './tunnel.ts';

const SETTINGS: Http2Settings = { ...CLIENT_SETTINGS, keepaliveInterval: 30_000, keepaliveTimeout: 10_000 };

export interface GrpcConnectionEvents {
  onConnected(connection: GrpcConnection): void;
  /** Never connected, or no longer; told once. */
  onGone(connection: GrpcConnection, reason: string): void;
}

export class GrpcConnection extends Tunnel {
  readonly #serverName: string;
  readonly #events: GrpcConnectionEvents;
  #dial: Dial | undefined;
  #isGone = false;

  /** `serverName`: the DNS name or address that must be in the peer's certificate. */
  constructor(serverName: string, events: GrpcConnectionEvents) {
    super('client', SETTINGS);
    this.#serverName = serverName;
    this.#events = events;
  }

  dial(options: DialOptions): void {
    this.#dial = new Dial(options, new Connector(this));
  }

  /** Whether another call may be started on it. */
  get takesCalls(): boolean {
    return this.isOpen && !this.http2.isDraining;
  }

  /** Ends it at once, or after its last stream; without `onGone` when it was not connected yet. */
  end(mode: 'graceful' | 'abrupt'): void {
    if (this.isOpen) {
      this.http2.shutdown(mode);
      return;
    }
    this.#isGone = true;
    this.#dial?.cancel();
    this.close('graceful', 'cancelled');
  }

  connected(socket: TcpSocket): void {
    const problem = certificateProblem(socket, this.#serverName);
    // Bun's types do not know this member on the generic socket.
    const { alpnProtocol } = socket as { alpnProtocol?: string | false };
    if (problem !== undefined || alpnProtocol !== ALPN_H2) {
      socket.terminate();
      this.close('transport-closed', problem ?? 'the peer did not agree to ALPN h2');
      return;
    }
    this.start(socket);
    this.#events.onConnected(this);
  }

  dialFailed({ stage, message }: DialFailure): void {
    this.close('transport-closed', stage === 'handshake' ? `TLS: ${message}` : message);
  }

  protected override accept(streamId: number, _headers: HeaderList, _endStream: boolean): void {
    // Answers to calls that are over.
    this.http2.consumed(streamId, 0);
  }

  protected override closed(_reason: Http2CloseReason, detail: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#events.onGone(this, detail);
  }
}

/** The dial's events. Between the handshake and the start nothing else can come: both happen in one call. */
class Connector implements DialEvents {
  readonly #connection: GrpcConnection;
  constructor(connection: GrpcConnection) {
    this.#connection = connection;
  }
  onConnected(socket: TcpSocket): void {
    this.#connection.connected(socket);
  }
  onDialFailed(failure: DialFailure): void {
    this.#connection.dialFailed(failure);
  }
  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}

/** Why the peer's certificate is not for this name (RFC 9525: subject alternative names only); undefined when it is. */
function certificateProblem(socket: TcpSocket, serverName: string): string | undefined {
  // As above.
  const { getPeerCertificate } = socket as { getPeerCertificate?: () => { raw?: Buffer; subjectaltname?: string } | null };
  const presented = getPeerCertificate?.call(socket);
  if (presented?.raw === undefined) return 'the peer has no certificate';
  const certificate = readCertificateDer(presented.raw);
  if (!certificate.ok) return certificate.error;
  if (isCertificateFor(certificate.value, parseIp(serverName) ?? serverName)) return undefined;
  return `the peer's certificate is not for ${serverName} but for ${presented.subjectaltname ?? 'nobody'}`;
}
