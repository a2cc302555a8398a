/** What a tunnel to a waypoint is for: the service or workload its authority names, if this waypoint stands before it (sections 2.6 and 9.2). */
import { type Failure, failure, unresolvablePort } from './failure.ts';
import { isBehindGateway } from './gateway.ts';
import type { Authority } from './inbound.ts';
import { canonicalIp } from './ip.ts';
import type { GatewayAddress, Service, Workload } from './model.ts';
import type { MeshRegistry } from './registry.ts';

/** `port` is a service port behind a service, the application's own port behind a workload. */
export type WaypointTarget =
  | { readonly kind: 'service'; readonly service: Service; readonly port: number }
  | { readonly kind: 'workload'; readonly workload: Workload; readonly port: number };

/**
 * `local` is the waypoint's own workload, `connectionIp` the address the tunnel was sent to. A waypoint lends its identity to what it forwards, so it
 * forwards only to what asked for it by `use-waypoint`.
 */
export const resolveWaypointTarget = (
  registry: MeshRegistry,
  local: Workload,
  connectionIp: string,
  authority: Authority,
): WaypointTarget | Failure => {
  const ip = canonicalIp(authority.host);
  if (ip === undefined) {
    const service = registry.servicesByHostname(authority.host).find((candidate) => standsBefore(registry, candidate, local, connectionIp));
    return service === undefined ? failure('unknown-hostname', authority.host) : portOf(service, authority.port);
  }
  const service = registry.servicesByVip(local.network, ip).find((candidate) => standsBefore(registry, candidate, local, connectionIp));
  if (service !== undefined) return portOf(service, authority.port);
  const found = registry.findAddress(local.network, ip, undefined);
  const subject = found?.kind === 'service' ? found.service : found?.workload;
  if (found === undefined || subject === undefined || !standsBefore(registry, subject, local, connectionIp))
    return failure('ip-mismatch', `${ip} is not behind this waypoint`);
  return found.kind === 'service' ? portOf(found.service, authority.port) : { ...found, port: authority.port };
};

const portOf = (service: Service, port: number): WaypointTarget | Failure =>
  service.ports.some(({ servicePort }) => servicePort === port)
    ? { kind: 'service', service, port }
    : unresolvablePort(service.hostname, port);

/** Whether the waypoint `local`, reached at `connectionIp`, is one that traffic to `subject` may come through. */
export const standsBefore = (registry: MeshRegistry, subject: Service | Workload, local: Workload, connectionIp: string): boolean =>
  waypointsOf(subject).some((gateway) => isBehindGateway(registry, gateway, local, connectionIp));

/** Every waypoint traffic to a service or workload may come through. */
export const waypointsOf = (subject: Service | Workload): GatewayAddress[] => [
  ...(subject.waypoint === undefined ? [] : [subject.waypoint]),
  ...('weightedWaypoints' in subject ? subject.weightedWaypoints.map(({ destination }) => destination) : []),
];
