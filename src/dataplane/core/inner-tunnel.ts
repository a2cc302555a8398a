/**
 * HBONE inside HBONE (ambient contract 1.8): a stream of a tunnel to another network's gateway carries TLS to whoever is behind it, and a second HTTP/2
 * connection in that. The stream ends in one socket of a pair, TLS stands on the other: the TLS library wants a descriptor, and half closes, back-pressure
 * and the end of either layer then pass through the kernel as they do everywhere else. Costs two descriptors and one more copy.
 */
import { closeDescriptor, socketPair } from '../../platform/linux/index.ts';
import { Dial, type DialEvents, type DialFailure, type TcpSocket } from '../../platform/net/index.ts';
import { CounterHandle } from '../../platform/telemetry/index.ts';
import type { HeaderList, Http2Settings } from '../../protocol/index.ts';
import { ByteCounts } from './byte-counts.ts';
import type { WorkloadCertificate } from './certificate.ts';
import { ClientBridge } from './client-bridge.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { ClientTunnel, type ClientTunnelEvents } from './hbone-client.ts';

export interface InnerTunnelOptions {
  /** To the gateway; has room for a stream. */
  readonly outer: ClientTunnel;
  /** The CONNECT to the gateway. */
  readonly headers: HeaderList;
  readonly settings: Http2Settings;
  readonly certificate: WorkloadCertificate;
  /** Of which the peer behind the gateway must have one. */
  readonly acceptedIdentities: readonly string[];
  /** For the handshake, in milliseconds. */
  readonly timeout: number;
}

export interface InnerTunnelEvents {
  onInnerTunnel(tunnel: ClientTunnel): void;
  onNoInnerTunnel(end: ConnectionEnd): void;
}

/** For one connection only: pooled, it would bind all of them to the one workload the gateway chose for the first. */
export class InnerTunnel implements ClientTunnelEvents, DialEvents {
  readonly #events: InnerTunnelEvents;
  #carrier: ClientBridge | undefined;
  #tunnel: ClientTunnel | undefined;
  #isReady = false;
  #isOver = false;

  constructor(options: InnerTunnelOptions, events: InnerTunnelEvents) {
    this.#events = events;
    const { outer, settings, acceptedIdentities, certificate, timeout } = options;
    let pair: readonly [number, number];
    try {
      pair = socketPair();
    } catch (error) {
      this.#failLater(endOf('connect-failed', (error as Error).message));
      return;
    }
    const streamId = outer.http2.request(options.headers, false);
    if (streamId === undefined) {
      for (const descriptor of pair) closeDescriptor(descriptor);
      this.#failLater(endOf('pool-exhausted'));
      return;
    }
    // What is inside is counted once, by the connection it belongs to.
    const uncounted = new ByteCounts(new CounterHandle([]), new CounterHandle([]));
    this.#carrier = new ClientBridge(outer, streamId, uncounted, true, (end) => this.#carrierEnded(end));
    const here = { address: '', port: 0, timeout };
    new Dial({ ...here, connected: pair[0] }, this);
    this.#tunnel = new ClientTunnel(settings, acceptedIdentities, this);
    this.#tunnel.dial({ ...here, connected: pair[1], tls: certificate.clientTls });
  }

  /** Nobody needs it any more; what is still to be sent is sent. No event follows. */
  close(): void {
    this.#isOver = true;
    this.#tunnel?.cancel();
  }

  // The socket at the end of the gateway's stream.

  onConnected(socket: TcpSocket): void {
    this.#carrier!.attachSocket(socket);
  }

  onDialFailed(failure: DialFailure): void {
    const end = endOf('connect-failed', failure.message);
    this.#carrier!.abort(end);
    this.#fail(end);
  }

  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}

  // The tunnel inside.

  onTunnelReady(tunnel: ClientTunnel): void {
    this.#isReady = true;
    if (this.#isOver) tunnel.cancel();
    else this.#events.onInnerTunnel(tunnel);
  }

  onTunnelFailed(_tunnel: ClientTunnel, end: ConnectionEnd): void {
    this.#fail(end);
  }

  onTunnelClosed(): void {
    // Its stream has been told.
  }

  /** Before the handshake is over this says more than what TLS makes of it. */
  #carrierEnded(end: ConnectionEnd): void {
    // Otherwise the tunnel inside would only see its connection break off.
    if (end.message !== '' && this.#tunnel !== undefined) this.#tunnel.cutOff ??= end;
    if (this.#isReady || this.#isOver) return;
    this.#fail(end.message === '' ? endOf('tunnel-reset', 'the gateway closed the stream during the inner handshake') : end);
    this.#tunnel?.cancel();
  }

  #fail(end: ConnectionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onNoInnerTunnel(end);
  }

  /** Never from inside the constructor: the caller does not hold it yet. */
  #failLater(end: ConnectionEnd): void {
    queueMicrotask(() => this.#fail(end));
  }
}
