/** What a waypoint is doing at the moment, read when somebody asks. */
import type { Registry } from '../../platform/telemetry/index.ts';

export interface Load {
  readonly activeRequests: number;
  /** Applications' connections inside tunnels. */
  readonly clientConnections: number;
  readonly clientTunnels: number;
  readonly upstreamConnections: number;
  readonly upstreamTunnels: number;
  /** Since the start. */
  readonly linesLost: number;
}

export function describeLoad(telemetry: Registry, load: () => Load): void {
  const gauge = (name: string, help: string) => telemetry.gauge(`lateen_waypoint_${name}`, `${help} (unstable)`).labels();
  const requests = gauge('active_requests', 'Requests under way');
  const clients = gauge('client_connections', 'Connections of applications, each inside a tunnel');
  const upstreams = gauge('upstream_connections', 'HTTP connections to endpoints');
  const tunnels = telemetry.gauge('lateen_waypoint_tunnels', 'Tunnels from node proxies and to them (unstable)', ['direction']);
  const inbound = tunnels.labels({ direction: 'inbound' });
  const outbound = tunnels.labels({ direction: 'outbound' });
  const lost = telemetry.counter('lateen_access_log_lost', 'Lines of the access log that its reader was too slow for (unstable)').labels();
  telemetry.onCollect(() => {
    const now = load();
    requests.set(now.activeRequests);
    clients.set(now.clientConnections);
    upstreams.set(now.upstreamConnections);
    inbound.set(now.clientTunnels);
    outbound.set(now.upstreamTunnels);
    lost.value = now.linesLost;
  });
}
