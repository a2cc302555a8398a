/** Why a route that is attached does nothing all the same. */
import type { AppProtocol } from '../../model.ts';
import type { RouteFragment, RouteObstacle } from './compiled-route.ts';
import type { RouteTarget } from './lookup.ts';

/** A port of a service that a parentRef selects. */
export interface SelectedPort {
  readonly service: RouteTarget;
  /** 0: all. */
  readonly port: number;
}

/** What a declared port cannot have: HTTP inside what is passed through as it is, server names outside TLS. A TCPRoute takes everything. */
const EXCLUDED: Readonly<Record<RouteFragment['kind'], ReadonlySet<AppProtocol>>> = {
  http: new Set(['TCP', 'TLS']),
  tls: new Set(['TCP', 'HTTP11', 'HTTP2', 'GRPC']),
  tcp: new Set(),
};

/** A route is in force as long as it is so somewhere: only when none of its ports can have its traffic it is said to do nothing. */
export const findObstacle = (kind: RouteFragment['kind'], selected: readonly SelectedPort[]): RouteObstacle | undefined => {
  const unbound = [...new Set(selected.filter(({ service }) => !service.isBoundToWaypoint).map(({ service }) => service.key))];
  if (unbound.length > 0) {
    const message = `no waypoint serves ${unbound.join(', ')}, so nothing executes this route; label it istio.io/use-waypoint`;
    return { reason: 'NoWaypoint', message };
  }
  const ports = selected.flatMap(({ service, port }) => service.ports.filter((some) => port === 0 || some.port === port));
  if (ports.length === 0 || !ports.every(({ protocol = 'UNKNOWN' }) => EXCLUDED[kind].has(protocol))) return undefined;
  const declared = [...new Set(ports.map(({ port, protocol }) => `${port} as ${protocol}`))].join(', ');
  const message = `the service declares port ${declared}, where such a route matches nothing; see the port's name and appProtocol`;
  return { reason: 'ProtocolMismatch', message };
};
