/** A connection that is not HTTP: joined with one to an endpoint, bytes and half closes both ways. */
import {
  type Backend,
  chooseBackend,
  type EndpointState,
  type TcpRule,
  type TlsRule,
  type WeightedBackend,
} from '../../mesh/http/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { TrafficMetrics, TrafficSeries } from '../core/traffic-metrics.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import type { Client } from './client.ts';
import type { ChannelUser, Connector } from './connector.ts';
import type { RequestContext } from './context.ts';
import { addressOf, clusterName } from './destination-names.ts';
import { LIMITS } from './limits.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { Session } from './session.ts';
import type { Upstream } from './traffic.ts';

export interface TcpHost {
  readonly context: RequestContext;
  readonly connector: Connector;
  readonly connections: TrafficMetrics;
  sessionEnded(session: Session): void;
}

export class TcpExchange implements Session, ChannelUser, ChannelEvents, Deadline {
  readonly #host: TcpHost;
  readonly #client: Client;
  readonly #channel: Channel;
  readonly #startedAt = performance.now();
  readonly #upstreamSide: UpstreamSide;
  #upstream: Channel | undefined;
  #early: Uint8Array[] = [];
  #earlyOctets = 0;
  #hasEnded = false;
  #downOwed = 0;
  #upOwed = 0;
  #received = 0;
  #sent = 0;
  #isUpstreamDone = false;
  #isOver = false;
  #hasMoved = false;
  #endpoint: EndpointState | undefined;
  #destination: Upstream | undefined;
  #series: TrafficSeries | undefined;
  #route = 'default';
  readonly #serverName: string;
  #idleTimeout: number = LIMITS.IDLE_TCP;
  #endsAt = Number.POSITIVE_INFINITY;
  dueAt = performance.now() + LIMITS.IDLE_TCP;

  /** `serverName`: of TLS, empty where it is not known. */
  constructor(channel: Channel, host: TcpHost, client: Client, serverName: string) {
    this.#serverName = serverName;
    this.#channel = channel;
    this.#host = host;
    this.#client = client;
    this.#upstreamSide = new UpstreamSide(this);
    channel.events = this;
    deadlines.add(this);
  }

  /** `rule` undefined: to the service itself, else to one of its backends. */
  start(rule: TcpRule | TlsRule | undefined, self: Backend): void {
    const { context, connector, connections } = this.#host;
    if (rule !== undefined) this.#route = rule.name;
    const backend: WeightedBackend | undefined = rule === undefined ? { ...self, weight: 1 } : chooseBackend(rule.backends, context.random);
    if (backend === undefined || backend.invalid !== undefined) {
      this.#end('NC', backend?.invalid ?? 'the route has no backend');
      return;
    }
    const now = performance.now();
    const destination = context.traffic.upstream(backend, now);
    if (destination === undefined) {
      this.#end('NC', `${backend.service} has no port ${backend.port}`);
      return;
    }
    this.#destination = destination;
    const pool = destination.policy?.connectionPool;
    this.#idleTimeout = (pool?.tcpIdleTimeout ?? LIMITS.IDLE_TCP) || Number.POSITIVE_INFINITY;
    if (pool?.maxConnectionDuration) this.#endsAt = now + pool.maxConnectionDuration;
    this.dueAt = Math.min(now + this.#idleTimeout, this.#endsAt);
    if (pool?.maxConnections !== undefined && destination.connections >= pool.maxConnections) {
      context.limits.hit('max_connections');
      this.#end('UO', 'maxConnections of the DestinationRule');
      return;
    }
    const endpoint = destination.cluster.pick({ random: context.random, now });
    if (endpoint === undefined) {
      this.#end('UH', 'no healthy upstream');
      return;
    }
    this.#endpoint = endpoint;
    endpoint.active++;
    destination.connections++;
    this.#series = connections.series({
      reporter: 'waypoint',
      source: this.#client.workload,
      sourcePrincipal: this.#client.principal,
      destination: endpoint.workload,
      service: destination.service,
      isMutualTls: true,
    });
    this.#series.opened.value++;
    connector.connect(destination, endpoint, this.#client, undefined, this);
  }

  readonly isDone = false;
  drain(): void {}
  endIdle(): void {}

  abort(): void {
    this.#end('LR', 'the waypoint is shutting down');
  }

  // The endpoint's connection.

  attach(upstream: Channel): void {
    if (this.#isOver) {
      upstream.abort();
      return;
    }
    this.#upstream = upstream;
    upstream.events = this.#upstreamSide;
    for (const part of this.#early) upstream.write(part);
    this.#early = [];
    const early = this.#earlyOctets;
    this.#earlyOctets = 0;
    if (early > 0) this.#giveBack(upstream, early);
    if (this.#hasEnded) upstream.finish();
  }

  failed(detail: string): void {
    if (this.#isOver) return;
    this.#destination?.cluster.report(this.#endpoint!, 'connect-failure', performance.now());
    this.#end('UF', detail);
  }

  // The client's side.

  onChannelData(chunk: Uint8Array): void {
    this.#hasMoved = true;
    this.#received += chunk.length;
    if (this.#series !== undefined) this.#series.received.value += chunk.length;
    const upstream = this.#upstream;
    if (upstream === undefined) {
      this.#early.push(chunk.slice());
      this.#earlyOctets += chunk.length;
      return;
    }
    upstream.write(chunk);
    this.#giveBack(upstream, chunk.length);
  }

  onChannelEnd(): void {
    this.#hasEnded = true;
    this.#upstream?.finish();
  }

  onChannelDrained(): void {
    const owed = this.#upOwed;
    this.#upOwed = 0;
    if (owed > 0) this.#upstream?.consumed(owed);
  }

  onChannelClosed(isClean: boolean, detail: string): void {
    if (this.#isOver) return;
    if (!isClean) this.#end('DC', detail);
    else if (this.#isUpstreamDone) this.#end(undefined, '');
  }

  // The endpoint's side.

  upstreamData(chunk: Uint8Array): void {
    this.#hasMoved = true;
    this.#sent += chunk.length;
    if (this.#series !== undefined) this.#series.sent.value += chunk.length;
    this.#channel.write(chunk);
    if (this.#channel.isBackedUp) this.#upOwed += chunk.length;
    else this.#upstream?.consumed(chunk.length);
  }

  upstreamEnded(): void {
    this.#channel.finish();
  }

  upstreamDrained(): void {
    const owed = this.#downOwed;
    this.#downOwed = 0;
    if (owed > 0) this.#channel.consumed(owed);
  }

  upstreamClosed(isClean: boolean, detail: string): void {
    if (this.#isOver) return;
    if (isClean) {
      // What the endpoint said last may still be on its way to a slow client.
      this.#isUpstreamDone = true;
      if (!this.#channel.isBackedUp) this.#end(undefined, '');
    } else {
      const isRefused = detail.startsWith('tunnel refused') && this.#sent === 0;
      this.#end(isRefused ? 'UF' : 'UC', detail);
    }
  }

  onDeadline(now: number): void {
    if (now >= this.#endsAt) {
      this.#host.context.limits.hit('max_connection_duration');
      this.#end('DT', 'maxConnectionDuration of the DestinationRule');
    } else if (this.#hasMoved) {
      this.#hasMoved = false;
      this.dueAt = Math.min(now + this.#idleTimeout, this.#endsAt);
    } else this.#end('SI', 'nothing moved for the idle timeout');
  }

  #giveBack(upstream: Channel, octets: number): void {
    if (upstream.isBackedUp) this.#downOwed += octets;
    else this.#channel.consumed(octets);
  }

  #end(flag: ResponseFlag | undefined, detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    deadlines.delete(this);
    if (this.#endpoint !== undefined) {
      this.#endpoint.active--;
      this.#destination!.connections--;
    }
    if (flag !== undefined) {
      this.#channel.abort();
      this.#upstream?.abort();
    }
    this.#series?.close(flag === undefined ? '-' : 'CONNECT');
    this.#host.sessionEnded(this);
    this.#log(flag ?? '', detail);
  }

  #log(flags: string, failure: string): void {
    const { access } = this.#host.context;
    if (!access.isEnabled) return;
    const client = this.#client;
    const endpoint = this.#endpoint;
    const backend = this.#destination?.backend;
    access.write({
      start: performance.timeOrigin + this.#startedAt,
      method: '-',
      path: '-',
      protocol: '-',
      status: 0,
      flags,
      details: '',
      failure,
      bytesReceived: this.#received,
      bytesSent: this.#sent,
      duration: performance.now() - this.#startedAt,
      upstreamTime: -1,
      forwardedFor: '',
      userAgent: '',
      requestId: '',
      authority: '',
      upstreamHost: endpoint === undefined ? '' : addressOf(endpoint),
      upstreamCluster: backend === undefined ? '' : clusterName(backend, 'tcp'),
      downstreamLocal: client.target,
      downstreamRemote: client.address,
      downstreamPrincipal: client.principal,
      serverName: this.#serverName,
      routeName: this.#route,
      traceId: '',
    });
  }
}

/** The endpoint's events under other names. */
class UpstreamSide implements ChannelEvents {
  readonly #exchange: TcpExchange;
  constructor(exchange: TcpExchange) {
    this.#exchange = exchange;
  }
  onChannelData(chunk: Uint8Array): void {
    this.#exchange.upstreamData(chunk);
  }
  onChannelEnd(): void {
    this.#exchange.upstreamEnded();
  }
  onChannelDrained(): void {
    this.#exchange.upstreamDrained();
  }
  onChannelClosed(isClean: boolean, detail: string): void {
    this.#exchange.upstreamClosed(isClean, detail);
  }
}
