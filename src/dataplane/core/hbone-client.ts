/** The client end of a tunnel: dials another proxy, checks who it is, and opens streams. */
import { formatIdentity, identitiesFromSubjectAltName, isAcceptedServer } from '../../mesh/index.ts';
import { Dial, type DialEvents, type DialFailure, type DialOptions, type TcpSocket } from '../../platform/net/index.ts';
import type { HeaderList, Http2CloseReason, Http2Settings } from '../../protocol/index.ts';
import { ALPN_H2 } from './certificate.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { revocationPolicy } from './revocation.ts';
import { Tunnel, type TunnelDependent } from './tunnel.ts';

export interface ClientTunnelEvents {
  onTunnelReady(tunnel: ClientTunnel): void;
  onTunnelFailed(tunnel: ClientTunnel, end: ConnectionEnd): void;
  /** A tunnel that was ready is over, and why. */
  onTunnelClosed(tunnel: ClientTunnel, reason: Http2CloseReason, detail: string): void;
}

export class ClientTunnel extends Tunnel {
  readonly #events: ClientTunnelEvents;
  readonly #accepted: readonly string[];
  #dial: Dial | undefined;
  #isReady = false;
  #failed = false;
  /** SPIFFE URI of the peer, once it is ready. */
  peerIdentity = '';
  /** When its last stream ended, for the pool. */
  idleSince = performance.now();

  constructor(settings: Http2Settings, accepted: readonly string[], events: ClientTunnelEvents) {
    super('client', settings);
    this.#accepted = accepted;
    this.#events = events;
  }

  dial(options: DialOptions): void {
    this.#dial = new Dial(options, new Connector(this));
  }

  get isReady(): boolean {
    return this.#isReady && this.isOpen;
  }

  /** Gives up a tunnel nobody waits for. */
  cancel(): void {
    if (this.#isReady) {
      this.http2.shutdown('graceful');
      return;
    }
    this.#failed = true;
    this.#dial?.cancel();
    this.close('graceful', 'cancelled');
  }

  connected(socket: TcpSocket): void {
    // Bun's types do not know these two of a TLS socket's members on the generic socket.
    const { alpnProtocol } = socket as { alpnProtocol?: string | false };
    const presented = identitiesFromSubjectAltName(peerSubjectAltName(socket));
    const revoked = revocationPolicy()?.problemWith(socket, 'source');
    if (!isAcceptedServer(presented, this.#accepted)) {
      socket.terminate();
      this.#fail(endOf('tls-failure', `identity verification error: peer is none of ${this.#accepted.join(', ')}`));
    } else if (revoked !== undefined) {
      socket.terminate();
      this.#fail(endOf('tls-failure', revoked));
    } else if (alpnProtocol !== ALPN_H2) {
      socket.terminate();
      this.#fail(endOf('http2-handshake', 'the peer did not agree to ALPN h2'));
    } else {
      this.#isReady = true;
      this.peerIdentity = presented.map(formatIdentity).find((uri) => this.#accepted.includes(uri))!;
      this.start(socket);
      this.watchPeer(socket, 'source');
      this.#events.onTunnelReady(this);
    }
  }

  dialFailed(failure: DialFailure): void {
    if (failure.stage === 'handshake' && failure.code !== 'ETIMEDOUT') this.#fail(endOf('tls-failure', failure.message));
    else if (failure.code === 'ETIMEDOUT') this.#fail(endOf('hbone-timeout', failure.message));
    else this.#fail(endOf('connect-failed', failure.message));
  }

  protected override accept(streamId: number, _headers: HeaderList, _endStream: boolean): void {
    // Answers to streams that are no longer of interest.
    this.http2.consumed(streamId, 0);
  }

  protected override closed(reason: Http2CloseReason, detail: string): void {
    if (this.#isReady) this.#events.onTunnelClosed(this, reason, detail);
  }

  override detach(streamId: number): void {
    super.detach(streamId);
    if (this.isUnused) this.idleSince = performance.now();
  }

  override undepend(dependent: TunnelDependent): void {
    super.undepend(dependent);
    if (this.isUnused) this.idleSince = performance.now();
  }

  #fail(end: ConnectionEnd): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#events.onTunnelFailed(this, end);
    this.close('transport-closed', end.message);
  }
}

/** The dial's events. Between the handshake and the tunnel's start nothing else can come: both happen in one call. */
class Connector implements DialEvents {
  readonly #tunnel: ClientTunnel;
  constructor(tunnel: ClientTunnel) {
    this.#tunnel = tunnel;
  }
  onConnected(socket: TcpSocket): void {
    this.#tunnel.connected(socket);
  }
  onDialFailed(failure: DialFailure): void {
    this.#tunnel.dialFailed(failure);
  }
  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}

/** `subjectaltname` of the peer's certificate as text, empty without one. */
export function peerSubjectAltName(socket: TcpSocket): string {
  const { getPeerCertificate } = socket as { getPeerCertificate?: () => { subjectaltname?: string } | null };
  return getPeerCertificate?.call(socket)?.subjectaltname ?? '';
}
