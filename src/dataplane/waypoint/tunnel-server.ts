/** Port 15008 of a waypoint: clients' tunnels, with the waypoint's own certificate, exchanged when it is renewed. */
import {
  type EastWestTarget,
  type Failure,
  formatHostPort,
  type Identity,
  type MeshRegistry,
  resolveEastWest,
  type WaypointTarget,
  type Workload,
} from '../../mesh/index.ts';
import { plainAddress, type SocketEvents, TcpListener, type TcpSocket } from '../../platform/net/index.ts';
import { type Http2CloseReason, type Http2Settings, isPeerFault, SERVER_SETTINGS } from '../../protocol/index.ts';
import type { WorkloadCertificate } from '../core/certificate.ts';
import type { ConnectionEnd } from '../core/end-reason.ts';
import { type HandshakeHost, ServerHandshake } from '../core/server-handshake.ts';
import type { TrafficMetrics } from '../core/traffic-metrics.ts';
import type { AwaitedStream } from './awaited-stream.ts';
import type { Bindings } from './bindings.ts';
import type { Channel } from './channel.ts';
import type { Client } from './client.ts';
import type { Config } from './config.ts';
import { DownstreamTunnel, type TunnelHost } from './downstream-tunnel.ts';
import { LIMITS } from './limits.ts';

export interface TunnelServerOptions {
  readonly config: Config;
  readonly registry: MeshRegistry;
  readonly bindings: Bindings;
  readonly metrics: TrafficMetrics;
  /** Tunnels and handshakes at once. */
  readonly maxSockets: number;
  readonly self: () => Workload | undefined;
  readonly serve: (channel: Channel, client: Client) => void;
  readonly refused: (reason: string, client: string, message: string) => void;
}

export class TunnelServer implements HandshakeHost, TunnelHost {
  readonly serverSettings: Http2Settings;
  readonly #options: TunnelServerOptions;
  readonly #tunnels = new Set<DownstreamTunnel>();
  readonly #waiting = new Set<AwaitedStream>();
  #listener: TcpListener | undefined;

  constructor(options: TunnelServerOptions) {
    this.#options = options;
    const { streamWindow, connectionWindow, frameSize: maxFrameSize } = options.config;
    this.serverSettings = { ...SERVER_SETTINGS, streamWindow, connectionWindow, maxFrameSize };
  }

  /** Takes the port; connections wait in the kernel until there is a certificate. Throws a `SystemError` when it is taken. */
  listen(): void {
    const { ipv6, hbonePort: port, keepalive, userTimeout } = this.#options.config;
    const options = { port, keepalive, userTimeout, mark: undefined, networkNamespace: undefined, reusePort: false };
    const accept = (socket: TcpSocket): SocketEvents | undefined => this.#accept(socket);
    try {
      this.#listener = new TcpListener({ ...options, address: ipv6 ? '::' : '0.0.0.0' }, accept);
    } catch (error) {
      // A kernel or pod without IPv6 is no reason not to serve.
      if (!ipv6 || (error as { code?: string }).code === 'EADDRINUSE') throw error;
      this.#listener = new TcpListener({ ...options, address: '0.0.0.0' }, accept);
    }
  }

  use(certificate: WorkloadCertificate | undefined): void {
    if (certificate !== undefined) this.#listener?.serve(certificate.serverTls);
  }

  stopListening(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** Clients open no more streams on the tunnels they have. */
  drain(): void {
    for (const tunnel of [...this.#tunnels]) tunnel.http2.shutdown('graceful');
  }

  close(): void {
    this.stopListening();
    for (const tunnel of [...this.#tunnels]) tunnel.fail('the waypoint is shutting down');
  }

  get count(): number {
    return this.#tunnels.size;
  }

  get trustDomain(): string {
    return this.#options.config.trustDomain;
  }

  get self(): Workload | undefined {
    return this.#options.self();
  }

  #accept(socket: TcpSocket): SocketEvents | undefined {
    const { metrics, maxSockets } = this.#options;
    const sourceIp = plainAddress(socket.remoteAddress);
    if (metrics.openSockets >= maxSockets) {
      this.refused('too-many-connections', formatHostPort(sourceIp, socket.remotePort), `${maxSockets} connections are open`);
      return undefined;
    }
    metrics.socketOpened('destination');
    return new ServerHandshake(this, socket, sourceIp, plainAddress(socket.localAddress));
  }

  handshakeDone(socket: TcpSocket, identity: Identity, sourceIp: string, destinationIp: string): void {
    const tunnel = new DownstreamTunnel(this, identity, sourceIp, socket.remotePort, destinationIp);
    this.#tunnels.add(tunnel);
    tunnel.start(socket);
  }

  handshakeFailed({ reason, message }: ConnectionEnd, source: string): void {
    this.#options.metrics.socketClosed('destination');
    this.refused(reason, source, message);
  }

  refused(reason: string, client: string, message: string): void {
    this.#options.refused(reason, client, message);
  }

  tunnelClosed(tunnel: DownstreamTunnel, reason: Http2CloseReason, detail: string): void {
    this.#tunnels.delete(tunnel);
    this.#options.metrics.socketClosed('destination');
    if (isPeerFault(reason)) this.refused(reason, tunnel.source, detail);
  }

  resolve(self: Workload, connectionIp: string, host: string, port: number): WaypointTarget | EastWestTarget | Failure {
    const { config, registry, bindings } = this.#options;
    if (config.role === 'east-west') return resolveEastWest(registry, self, { host, port }, Math.random);
    return bindings.resolve(self, connectionIp, host, port, performance.now());
  }

  get hasWaitingRoom(): boolean {
    return this.#waiting.size < LIMITS.BINDING_STREAMS;
  }

  waits(stream: AwaitedStream): void {
    this.#waiting.add(stream);
  }

  noLongerWaits(stream: AwaitedStream): void {
    this.#waiting.delete(stream);
  }

  /** What the mesh is has changed: what was refused may be served. */
  registryChanged(): void {
    for (const stream of [...this.#waiting]) stream.retry();
  }

  workloadAt(ip: string): Workload | undefined {
    return this.#options.registry.workloadByAddress(this.#options.config.network, ip);
  }

  serve(channel: Channel, client: Client): void {
    this.#options.serve(channel, client);
  }
}
