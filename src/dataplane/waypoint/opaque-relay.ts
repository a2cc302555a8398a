/** A stream of a client of another network at an east-west gateway (ambient contract, section 10): its octets, which are a tunnel of their own, go on unread. */
import { type EastWestTarget, formatHostPort } from '../../mesh/index.ts';
import type { Channel } from './channel.ts';
import type { Client } from './client.ts';
import { connectionEntry } from './connection-entry.ts';
import { JoinedSession } from './joined-session.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { TcpHost } from './tcp-exchange.ts';

export class OpaqueRelay extends JoinedSession {
  readonly #host: TcpHost;
  readonly #client: Client;
  readonly #target: EastWestTarget;

  constructor(channel: Channel, host: TcpHost, client: Client, target: EastWestTarget) {
    super(channel);
    this.#host = host;
    this.#client = client;
    this.#target = target;
  }

  start(): void {
    const { connector, connections } = this.#host;
    const { workload, service, ip, port } = this.#target;
    const { workload: source, principal: sourcePrincipal } = this.#client;
    const series = connections.series({ reporter: 'waypoint', source, sourcePrincipal, destination: workload, service, isMutualTls: true });
    series.opened.value++;
    this.join.series = series;
    connector.relay(ip, port, this);
  }

  override abort(): void {
    this.join.end('LR', 'the gateway is shutting down');
  }

  override failed(detail: string): void {
    this.join.end('UF', detail);
  }

  protected override ended(flag: ResponseFlag | undefined, failure: string): void {
    this.join.series?.close(flag === undefined ? '-' : 'CONNECT');
    this.#host.sessionEnded(this);
    const { access } = this.#host.context;
    if (!access.isEnabled) return;
    const { service, servicePort, ip, port } = this.#target;
    access.write(
      connectionEntry({
        client: this.#client,
        join: this.join,
        startedAt: this.startedAt,
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
