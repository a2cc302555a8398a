import { isPort } from '../../ip.ts';
import type { Backend, WeightedBackend } from '../plan.ts';
import { type HeaderEdits, headerEdits } from './header-edit.ts';
import { fullHost, type IstioLookup, type RoutedService } from './lookup.ts';
import type { Problems } from './problem.ts';
import type { IstioDestination, IstioRouteDestination } from './virtual-service-object.ts';

/** A Destination, looked up; which port it means depends on the one the request came for. */
export interface ParsedDestination {
  readonly path: string;
  readonly key: string;
  readonly service?: RoutedService;
  readonly subset?: string;
  readonly port?: number;
  readonly invalid?: string;
}

export interface ParsedBackend {
  readonly destination: ParsedDestination;
  readonly weight: number;
  readonly edits: HeaderEdits;
}

/** What the objects around a destination are: who wrote it, whom it may name. */
export interface DestinationContext {
  readonly problems: Problems;
  /** Of the VirtualService: short names resolve there. */
  readonly namespace: string;
  readonly lookup: IstioLookup;
  /** Collects the full hosts that were looked up. */
  readonly hosts: Set<string>;
}

export const parseDestination = (
  { problems, namespace, lookup, hosts }: DestinationContext,
  path: string,
  destination: IstioDestination | undefined,
): ParsedDestination => {
  const host = destination?.host ?? '';
  if (host === '' || host.startsWith('*')) {
    problems.invalid(`${path}.host`, host === '' ? 'is empty' : 'a destination cannot be a wildcard');
    return { path, key: '', invalid: 'no host' };
  }
  const full = fullHost(host, namespace, lookup.clusterDomain);
  hosts.add(full);
  const services = lookup.servicesOf(full);
  const service = services.find((candidate) => candidate.namespace === namespace) ?? services[0];
  const subset = destination?.subset || undefined;
  const port = destination?.port?.number || undefined;
  if (port !== undefined && !isPort(port)) problems.invalid(`${path}.port.number`, `${port} is not a port`);
  const parts = { path, ...(subset !== undefined && { subset }), ...(port !== undefined && { port }) };
  if (service === undefined) {
    const isPartial = host.includes('.') && !full.endsWith(`.svc.${lookup.clusterDomain}`);
    const remedy = isPartial ? `a service of the cluster is written name.namespace.svc.${lookup.clusterDomain}` : '';
    problems.unresolved(`${path}.host`, `there is no service ${full}: its requests are answered with 500`, remedy);
    return { ...parts, key: `${namespaceOf(full, lookup.clusterDomain) ?? namespace}/${full}`, invalid: `no service ${full}` };
  }
  const found = { ...parts, key: service.key, service };
  if (subset === undefined || lookup.hasSubset(service.key, subset)) return found;
  problems.unresolved(
    `${path}.subset`,
    `no DestinationRule for ${full} defines the subset ${subset}: its requests are answered with 500`,
    'the rule must be in the namespace of the waypoint, of the service, or in the root namespace',
  );
  return { ...found, invalid: `no subset ${subset} of ${full}` };
};

const namespaceOf = (host: string, clusterDomain: string): string | undefined =>
  host.endsWith(`.svc.${clusterDomain}`) ? host.split('.')[1] : undefined;

/** The port is the one written, the only one the service has, or the one the request came for. */
export const resolveBackend = (
  problems: Problems,
  destination: ParsedDestination,
  listenPort: number,
): Backend & { readonly invalid?: string } => {
  const { path, key, service, subset, invalid } = destination;
  const ports = service?.ports ?? [];
  const port = destination.port ?? (ports.length === 1 ? ports[0]! : listenPort);
  const backend = { service: key, port, ...(subset !== undefined && { subset }) };
  if (invalid !== undefined || service === undefined) return { ...backend, invalid: invalid ?? 'no service' };
  if (ports.includes(port)) return backend;
  problems.unresolved(
    `${path}.port`,
    `${service.hostname} has no port ${port}: its requests are answered with 500`,
    `its ports are ${ports.join(', ') || 'none'}`,
  );
  return { ...backend, invalid: `${service.hostname} has no port ${port}` };
};

/** A route's destinations with their weights; a single one takes everything whatever its weight is. */
export const parseBackends = (context: DestinationContext, path: string, route: readonly IstioRouteDestination[]): ParsedBackend[] => {
  const { problems } = context;
  const backends = route.map(({ destination, weight = 0, headers }, i) => {
    if (!Number.isInteger(weight) || weight < 0) problems.invalid(`${path}[${i}].weight`, `${weight} is not a weight`, 'write 0 or more');
    return {
      destination: parseDestination(context, `${path}[${i}].destination`, destination),
      weight: route.length === 1 ? weight || 1 : weight,
      edits: headerEdits(problems, `${path}[${i}].headers`, headers),
    };
  });
  if (backends.length > 1 && backends.every(({ weight }) => weight === 0)) problems.invalid(path, 'all weights are 0');
  return backends;
};

/** `routeHost`: the route itself sets the authority, which then wins (Envoy lets the outer rewrite win). */
export const resolveBackends = (
  problems: Problems,
  backends: readonly ParsedBackend[],
  listenPort: number,
  routeHost?: string,
): WeightedBackend[] =>
  backends.map(({ destination, weight, edits }) => ({
    ...resolveBackend(problems, destination, listenPort),
    weight,
    ...(edits.request !== undefined && { requestHeaders: edits.request }),
    ...(edits.response !== undefined && { responseHeaders: edits.response }),
    ...(edits.host !== undefined && routeHost === undefined && { rewrite: { host: edits.host } }),
  }));
