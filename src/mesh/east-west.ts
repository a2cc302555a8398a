/** Where an east-west gateway sends the stream of a client of another network (ambient contract, section 10). */
import { type Failure, failure, unresolvablePort } from './failure.ts';
import { type NoUpstream, type ResolutionContext, resolveGateway, type Upstream, upstreamOf } from './gateway.ts';
import type { Authority } from './inbound.ts';
import { canonicalIp, formatHostPort } from './ip.ts';
import type { Random } from './load-balance.ts';
import type { Service, Workload } from './model.ts';
import type { MeshRegistry } from './registry.ts';
import { gatewayProblem, HBONE_PORT, serviceWaypoint } from './resolve.ts';

/** The octets of the stream go to `ip:port`, unread: the tunnel inside them ends there. */
export interface EastWestTarget {
  readonly kind: 'relay';
  readonly service: Service;
  /** Service port. */
  readonly servicePort: number;
  /** An endpoint of the service, or of its waypoint. */
  readonly workload: Workload;
  readonly ip: string;
  readonly port: number;
}

/** Families of addresses are compared with what the client asked for; here it asked for a name. */
const ANY_ADDRESS = '0.0.0.0';

/**
 * `local` is the gateway's own workload. Only services are routable, only by name, and only to its own network: to the service's waypoint if it has one, else
 * to an endpoint that takes tunnels.
 */
export const resolveEastWest = (
  registry: MeshRegistry,
  local: Workload,
  authority: Authority,
  random: Random,
): EastWestTarget | Failure => {
  const { host, port } = authority;
  if (canonicalIp(host) !== undefined) return failure('unknown-hostname', `${host} (a gateway routes names of services, not addresses)`);
  const service = registry.serviceByHostname(host, local.namespace);
  if (service === undefined) return failure('unknown-hostname', host);
  if (!service.ports.some(({ servicePort }) => servicePort === port)) return unresolvablePort(host, port);
  const isNear = (workload: Workload): boolean => workload.network === local.network;
  const context: ResolutionContext = { registry, source: local, random, allows: isNear };
  const gateway = serviceWaypoint(service, random);
  if (gateway !== undefined) {
    const waypoint = resolveGateway(context, gateway, ANY_ADDRESS, 'waypoint');
    if (waypoint.kind === 'none') return failure('unknown-waypoint', gatewayProblem(gateway, waypoint));
    return relayTo(waypoint, waypoint.port, service, port);
  }
  const takesTunnels = { ...context, allows: (workload: Workload) => isNear(workload) && workload.tunnelProtocol === 'HBONE' };
  const endpoint: Upstream | NoUpstream = upstreamOf(takesTunnels, { kind: 'service', service }, ANY_ADDRESS, port, 'standard');
  if (endpoint.kind === 'none') return failure('no-healthy-upstream', `${formatHostPort(host, port)} in network "${local.network}"`);
  return relayTo(endpoint, HBONE_PORT, service, port);
};

const relayTo = ({ reach, workload }: Upstream, port: number, service: Service, servicePort: number): EastWestTarget | Failure =>
  reach.kind === 'ip'
    ? { kind: 'relay', service, servicePort, workload, ip: reach.ip, port }
    : failure('no-routing-destination', `${workload.name}: it has no address`);
