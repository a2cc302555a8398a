/** Endpoint choice of section 2.4b: filter, rank by routing preference, then weighted random by capacity. Once per connection. */
import { ipFamily } from './ip.ts';
import type { RoutingScope, Service, Workload } from './model.ts';
import type { Endpoint } from './registry.ts';
import type { Trace } from './trace.ts';

/** Uniform in [0, 1). */
export type Random = () => number;

/** `waypoint`: the endpoint is a waypoint, which may take any port through its application tunnel. */
export type ResolutionMode = 'standard' | 'waypoint';

const portOf = (ports: Service['ports'], servicePort: number): number | undefined => {
  for (const port of ports) if (port.servicePort === servicePort) return port.targetPort;
  return undefined;
};

const isCandidate = (service: Service, { workload, ports }: Endpoint, source: Workload, port: number, mode: ResolutionMode): boolean => {
  if (workload.addresses.length === 0 && workload.hostname === '') {
    if (workload.network === source.network || workload.networkGateway === undefined) return false;
  }
  if (mode === 'waypoint' && workload.applicationTunnel !== undefined) return true;
  const target = portOf(service.ports, port);
  return target !== undefined && (target !== 0 || portOf(ports, port) !== undefined);
};

const scopeMatches = (scope: RoutingScope, source: Workload, candidate: Workload): boolean => {
  switch (scope) {
    case 'NETWORK':
      return source.network === candidate.network;
    case 'CLUSTER':
      return source.clusterId === candidate.clusterId;
    case 'REGION':
      return source.locality.region === candidate.locality.region;
    case 'ZONE':
      return source.locality.zone === candidate.locality.zone;
    case 'SUBZONE':
      return source.locality.subzone === candidate.locality.subzone;
    case 'NODE':
      return source.node === candidate.node;
  }
};

/** How well a candidate fits the preference, higher is better; -1 when `strict` rules it out. A leading NETWORK is preferred, not required. */
export const rankEndpoint = (preference: readonly RoutingScope[], strict: boolean, source: Workload, candidate: Workload): number => {
  let rank = 0;
  let bonus = 0;
  for (const scope of preference) {
    const matches = scopeMatches(scope, source, candidate);
    if (scope === 'NETWORK' && preference[0] === 'NETWORK') {
      if (!matches) continue;
      bonus = preference.length - 1;
    }
    if (!matches) break;
    rank++;
  }
  return strict && rank < preference.length ? -1 : rank + bonus;
};

/** One endpoint for one connection, or undefined when none is fit. */
export const selectEndpoint = (
  service: Service,
  endpoints: readonly Endpoint[],
  source: Workload,
  port: number,
  mode: ResolutionMode,
  random: Random,
  trace?: Trace,
): Endpoint | undefined => {
  const balancing = service.loadBalancing;
  const ranked = balancing?.mode === 'STRICT' || balancing?.mode === 'FAILOVER';
  const rankOf = (candidate: Workload): number =>
    ranked ? rankEndpoint(balancing.routingPreference, balancing.mode === 'STRICT', source, candidate) : 0;
  // Two passes instead of candidate lists: this runs for every connection.
  let best = 0;
  let total = 0;
  let candidates = 0;
  for (const endpoint of endpoints) {
    if (!isCandidate(service, endpoint, source, port, mode)) continue;
    const rank = rankOf(endpoint.workload);
    if (rank < 0) continue;
    candidates++;
    if (rank > best) {
      best = rank;
      total = 0;
    }
    if (rank === best) total += endpoint.workload.capacity;
  }
  trace?.push({
    rule: '2.4b',
    text: `${candidates} of ${endpoints.length} endpoints of ${service.namespace}/${service.hostname} are fit for port ${port}${
      ranked ? `; mode ${balancing.mode} [${balancing.routingPreference.join(', ')}], best rank ${best}` : ''
    }; total capacity ${total}`,
  });
  if (total === 0) return undefined;
  let point = random() * total;
  let last: Endpoint | undefined;
  for (const endpoint of endpoints) {
    if (endpoint.workload.capacity === 0 || !isCandidate(service, endpoint, source, port, mode)) continue;
    if (rankOf(endpoint.workload) !== best) continue;
    last = endpoint;
    point -= endpoint.workload.capacity;
    if (point < 0) break;
  }
  return last;
};

/** Endpoint port map, then service target port, then (application tunnel with a port) the service port itself. */
export const targetPort = (service: Service, { workload, ports }: Endpoint, servicePort: number): number | undefined => {
  const target = portOf(ports, servicePort) || portOf(service.ports, servicePort);
  if (target) return target;
  return workload.applicationTunnel !== undefined && workload.applicationTunnel.port !== 0 ? servicePort : undefined;
};

/** How a chosen workload is reached. `dns`: by resolving its hostname; `gateway`: only through its network's gateway. */
export type Reach =
  | { readonly kind: 'ip'; readonly ip: string }
  | { readonly kind: 'dns'; readonly hostname: string; readonly preferFamily: 4 | 6 }
  | { readonly kind: 'gateway' };

const familyAllowed = (service: Service | undefined, ip: string): boolean => {
  if (service?.ipFamilies === 'IPV4_ONLY') return ipFamily(ip) === 4;
  return service?.ipFamilies === 'IPV6_ONLY' ? ipFamily(ip) === 6 : true;
};

/** The requested IP if the workload owns it; else one the service allows, preferring the request's family; else by name; else by gateway. */
export const reachWorkload = (workload: Workload, service: Service | undefined, requestedIp: string): Reach | undefined => {
  if (workload.addresses.includes(requestedIp)) return { kind: 'ip', ip: requestedIp };
  const family = ipFamily(requestedIp);
  let fallback: string | undefined;
  for (const ip of workload.addresses) {
    if (!familyAllowed(service, ip)) continue;
    if (ipFamily(ip) === family) return { kind: 'ip', ip };
    fallback ??= ip;
  }
  if (fallback !== undefined) return { kind: 'ip', ip: fallback };
  if (workload.hostname !== '') return { kind: 'dns', hostname: workload.hostname, preferFamily: family };
  return workload.networkGateway === undefined ? undefined : { kind: 'gateway' };
};
