/** A connection that is not HTTP: joined with one to an endpoint, bytes and half closes both ways. */
import {
  type Backend,
  chooseBackend,
  type EndpointState,
  type TcpRule,
  type TlsRule,
  type WeightedBackend,
} from '../../mesh/http/index.ts';
import { NETWORK_ALLOWED, type NetworkDecision, networkRefusal } from '../../mesh/index.ts';
import type { NetworkWatched } from '../core/network-watch.ts';
import type { TrafficMetrics } from '../core/traffic-metrics.ts';
import type { Channel } from './channel.ts';
import type { Client } from './client.ts';
import { connectionEntry } from './connection-entry.ts';
import type { Connector } from './connector.ts';
import type { RequestContext } from './context.ts';
import { addressOf, clusterName } from './destination-names.ts';
import { JoinedSession } from './joined-session.ts';
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

export class TcpExchange extends JoinedSession implements NetworkWatched {
  readonly #host: TcpHost;
  readonly #client: Client;
  #endpoint: EndpointState | undefined;
  #destination: Upstream | undefined;
  #route = 'default';
  readonly #serverName: string;
  #idleTimeout: number = LIMITS.IDLE_TCP;
  #endsAt = Number.POSITIVE_INFINITY;

  /** `serverName`: of TLS, empty where it is not known. */
  constructor(channel: Channel, host: TcpHost, client: Client, serverName: string) {
    super(channel);
    this.#serverName = serverName;
    this.#host = host;
    this.#client = client;
  }

  /** `rule` undefined: to the service itself, else to one of its backends. */
  start(rule: TcpRule | TlsRule | undefined, self: Backend): void {
    const { context, connector, connections } = this.#host;
    if (rule !== undefined) this.#route = rule.name;
    const backend: WeightedBackend | undefined = rule === undefined ? { ...self, weight: 1 } : chooseBackend(rule.backends, context.random);
    if (backend === undefined || backend.invalid !== undefined) {
      this.join.end('NC', backend?.invalid ?? 'the route has no backend');
      return;
    }
    const now = performance.now();
    const destination = context.traffic.upstream(backend, now);
    if (destination === undefined) {
      this.join.end('NC', `${backend.service} has no port ${backend.port}`);
      return;
    }
    this.#destination = destination;
    const pool = destination.policy?.connectionPool;
    this.#idleTimeout = (pool?.tcpIdleTimeout ?? LIMITS.IDLE_TCP) || Number.POSITIVE_INFINITY;
    if (pool?.maxConnectionDuration) this.#endsAt = now + pool.maxConnectionDuration;
    this.dueAt = this.nextDeadline(now);
    if (pool?.maxConnections !== undefined && destination.connections >= pool.maxConnections) {
      context.limits.hit('max_connections');
      this.join.end('UO', 'maxConnections of the DestinationRule');
      return;
    }
    const endpoint = destination.cluster.pick({ random: context.random, now });
    if (endpoint === undefined) {
      this.join.end('UH', 'no healthy upstream');
      return;
    }
    const series = connections.series({
      reporter: 'waypoint',
      source: this.#client.workload,
      sourcePrincipal: this.#client.principal,
      destination: endpoint.workload,
      service: destination.service,
      isMutualTls: true,
    });
    series.opened.value++;
    this.join.series = series;
    const decision = context.network.decide(this.#client, endpoint);
    if (!decision.allowed) {
      this.networkRefused(decision);
      return;
    }
    this.#endpoint = endpoint;
    endpoint.active++;
    destination.connections++;
    context.network.watch(this);
    connector.connect(destination, endpoint, this.#client, undefined, this);
  }

  decideNetwork(): NetworkDecision {
    return this.#endpoint === undefined ? NETWORK_ALLOWED : this.#host.context.network.decide(this.#client, this.#endpoint);
  }

  networkRefused(decision: NetworkDecision): void {
    this.join.end('UAEX', networkRefusal(decision));
  }

  override abort(): void {
    this.join.end('LR', 'the waypoint is shutting down');
  }

  // The endpoint's connection.

  override failed(detail: string): void {
    if (this.join.isOver) return;
    this.#destination?.cluster.report(this.#endpoint!, 'connect-failure', performance.now());
    this.join.end('UF', detail);
  }

  protected override nextDeadline(now: number): number {
    return Math.min(now + this.#idleTimeout, this.#endsAt);
  }

  override onDeadline(now: number): void {
    if (now < this.#endsAt) {
      super.onDeadline(now);
      return;
    }
    this.#host.context.limits.hit('max_connection_duration');
    this.join.end('DT', 'maxConnectionDuration of the DestinationRule');
  }

  protected override ended(flag: ResponseFlag | undefined, detail: string): void {
    this.#host.context.network.release(this);
    if (this.#endpoint !== undefined) {
      this.#endpoint.active--;
      this.#destination!.connections--;
    }
    this.join.series?.close(flag === undefined ? '-' : flag === 'UAEX' ? 'DENY' : 'CONNECT');
    this.#host.sessionEnded(this);
    const { access } = this.#host.context;
    if (!access.isEnabled) return;
    const endpoint = this.#endpoint;
    const backend = this.#destination?.backend;
    access.write(
      connectionEntry({
        client: this.#client,
        join: this.join,
        startedAt: this.startedAt,
        flags: flag ?? '',
        failure: detail,
        upstreamHost: endpoint === undefined ? '' : addressOf(endpoint),
        upstreamCluster: backend === undefined ? '' : clusterName(backend, 'tcp'),
        serverName: this.#serverName,
        routeName: this.#route,
      }),
    );
  }
}
