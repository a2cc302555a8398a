/** A stream of a client of another network at an east-west gateway (ambient contract, section 10): its octets, which are a tunnel of their own, go on unread. */
import { type EastWestTarget, formatHostPort } from '../../mesh/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { Channel } from './channel.ts';
import { ChannelJoin } from './channel-join.ts';
import type { Client } from './client.ts';
import { connectionEntry } from './connection-entry.ts';
import type { ChannelUser } from './connector.ts';
import { LIMITS } from './limits.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { Session } from './session.ts';
import type { TcpHost } from './tcp-exchange.ts';

export class OpaqueRelay implements Session, ChannelUser, Deadline {
  readonly #host: TcpHost;
  readonly #client: Client;
  readonly #target: EastWestTarget;
  readonly #join: ChannelJoin;
  readonly #startedAt = performance.now();
  dueAt = performance.now() + LIMITS.IDLE_TCP;

  constructor(channel: Channel, host: TcpHost, client: Client, target: EastWestTarget) {
    this.#host = host;
    this.#client = client;
    this.#target = target;
    this.#join = new ChannelJoin(channel, (flag, detail) => this.#ended(flag, detail));
    deadlines.add(this);
  }

  start(): void {
    const { connector, connections } = this.#host;
    const { workload, service, ip, port } = this.#target;
    const { workload: source, principal: sourcePrincipal } = this.#client;
    const series = connections.series({ reporter: 'waypoint', source, sourcePrincipal, destination: workload, service, isMutualTls: true });
    series.opened.value++;
    this.#join.series = series;
    connector.relay(ip, port, this);
  }

  readonly isDone = false;
  drain(): void {}
  endIdle(): void {}

  abort(): void {
    this.#join.end('LR', 'the gateway is shutting down');
  }

  attach(upstream: Channel): void {
    this.#join.attach(upstream);
  }

  failed(detail: string): void {
    this.#join.end('UF', detail);
  }

  onDeadline(now: number): void {
    if (this.#join.hasMoved) {
      this.#join.hasMoved = false;
      this.dueAt = now + LIMITS.IDLE_TCP;
    } else this.#join.end('SI', 'nothing moved for the idle timeout');
  }

  #ended(flag: ResponseFlag | undefined, failure: string): void {
    deadlines.delete(this);
    this.#join.series?.close(flag === undefined ? '-' : 'CONNECT');
    this.#host.sessionEnded(this);
    const { access } = this.#host.context;
    if (!access.isEnabled) return;
    const { service, servicePort, ip, port } = this.#target;
    access.write(
      connectionEntry({
        client: this.#client,
        join: this.#join,
        startedAt: this.#startedAt,
        flags: flag ?? '',
        failure,
        upstreamHost: formatHostPort(ip, port),
        // As Istio's gateways call it.
        upstreamCluster: `outbound_.${servicePort}_._.${service.hostname}`,
        serverName: '',
        routeName: 'default',
      }),
    );
  }
}
