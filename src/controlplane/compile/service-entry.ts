/** ServiceEntries as WDS knows them: a service per host, and workloads for the endpoints it lists (ambient contract 4.6). */
import type { Namespace, ServiceEntry } from '../../platform/kubernetes/index.ts';
import {
  type AppProtocol,
  loadBalancingOf,
  type NetworkAddress,
  parseCidr,
  type Service,
  type ServicePort,
  type WaypointBinding,
  type Workload,
} from '../wire.ts';
import { endpointProblem, endpointWorkload } from './endpoint.ts';
import type { CompileContext } from './service.ts';

type Spec = NonNullable<ServiceEntry['spec']>;
export type EntryPort = NonNullable<Spec['ports']>[number];

/** Nobody may use it: it is as if it were not there. */
export const isHidden = (entry: ServiceEntry): boolean => entry.spec?.exportTo?.includes('~') === true;

export const hostsOf = (entry: ServiceEntry): readonly string[] =>
  isHidden(entry) ? [] : (entry.spec?.hosts ?? []).map((host) => host.toLowerCase());

/** WDS knows "everybody" and "the same namespace": a list of namespaces is the latter, which shows it to no more than was written of the others. */
export const visibilityOf = (entry: ServiceEntry): Service['visibility'] => {
  const { exportTo = [] } = entry.spec ?? {};
  return exportTo.length === 0 || exportTo.includes('*') ? 'PUBLIC' : 'NAMESPACE';
};

const PROTOCOLS: Readonly<Record<string, AppProtocol>> = {
  HTTP: 'HTTP11',
  HTTP_PROXY: 'HTTP11',
  HTTP2: 'HTTP2',
  GRPC: 'GRPC',
  'GRPC-WEB': 'GRPC',
  TCP: 'TCP',
  MONGO: 'TCP',
  REDIS: 'TCP',
  MYSQL: 'TCP',
  HTTPS: 'TLS',
  TLS: 'TLS',
};

const tcpPorts = (entry: ServiceEntry): EntryPort[] =>
  (entry.spec?.ports ?? []).filter(({ protocol }) => (protocol ?? '').toUpperCase() !== 'UDP');

/** The ports of its services at one endpoint, whose `own` ports come before the target ports, by the name of the port. */
export const portsAt = (entry: ServiceEntry, own: Readonly<Record<string, number>> = {}): ServicePort[] =>
  tcpPorts(entry).map((port) => ({
    servicePort: port.number,
    targetPort: own[port.name] ?? port.targetPort ?? port.number,
    appProtocol: PROTOCOLS[(port.protocol ?? '').toUpperCase()] ?? 'UNKNOWN',
  }));

/** Its own addresses, which all its hosts share; else those it was given by host. */
function vipsOf(entry: ServiceEntry, host: string, { network }: CompileContext): NetworkAddress[] {
  const listed = entry.spec?.addresses ?? [];
  const texts =
    listed.length > 0
      ? listed
      : (entry.status?.addresses ?? []).flatMap(({ value, host: owner }) =>
          value !== undefined && (owner ?? host) === host ? [value] : [],
        );
  return texts.flatMap((text) => {
    const range = parseCidr(text);
    if (range === undefined) return [];
    const isOne = range.length === (range.address.includes(':') ? 128 : 32);
    return [{ network, address: range.address, ...(!isOne && { length: range.length }) }];
  });
}

export interface EntrySurroundings {
  readonly namespace: Namespace | undefined;
  readonly binding: WaypointBinding;
  /** The oldest of the mesh with this host, and no Service of Kubernetes has it. */
  readonly isCanonical: boolean;
}

export function compileEntryService(entry: ServiceEntry, host: string, around: EntrySurroundings, context: CompileContext): Service {
  const isOpen = (entry.spec?.resolution ?? 'NONE') === 'NONE';
  const loadBalancing = isOpen
    ? ({ mode: 'PASSTHROUGH', routingPreference: [], healthPolicy: 'ALLOW_ALL' } as const)
    : loadBalancingOf({ metadata: entry.metadata }, around.namespace);
  const { waypoint, weightedWaypoints = [] } = around.binding;
  return {
    name: entry.metadata.name ?? '',
    namespace: entry.metadata.namespace ?? '',
    hostname: host,
    vips: vipsOf(entry, host, context),
    ports: portsAt(entry),
    subjectAltNames: entry.spec?.subjectAltNames ?? [],
    ...(waypoint !== undefined && { waypoint }),
    weightedWaypoints,
    ...(loadBalancing !== undefined && { loadBalancing }),
    ipFamilies: 'AUTOMATIC',
    canonical: around.isCanonical,
    visibility: visibilityOf(entry),
  };
}

/** The endpoints it lists; with resolution by DNS and none listed, its hosts themselves. By uid. */
export function compileEntryWorkloads(entry: ServiceEntry, context: CompileContext): Workload[] {
  const { resolution = 'NONE', endpoints = [] } = entry.spec ?? {};
  const { namespace = '', name = '' } = entry.metadata;
  const hosts = hostsOf(entry);
  if (hosts.length === 0 || resolution === 'NONE') return [];
  const isByName = resolution === 'DNS' || resolution === 'DNS_ROUND_ROBIN';
  const prefix = `${context.clusterId}/networking.istio.io/ServiceEntry/${namespace}/${name}`;
  const servicesFor = (own: Readonly<Record<string, number>> | undefined, to: readonly string[]) =>
    new Map(to.map((host) => [`${namespace}/${host}`, portsAt(entry, own)]));
  const workloads = new Map<string, Workload>();
  const add = (spec: Parameters<typeof endpointWorkload>[0], to: readonly string[]): void => {
    const uid = `${prefix}/${spec.address}`;
    const services = new Map([...(workloads.get(uid)?.services ?? []), ...servicesFor(spec.ports, to)]);
    workloads.set(uid, endpointWorkload(spec, { uid, name, namespace, services, authorizationPolicies: [] }, context));
  };
  if (endpoints.length > 0) {
    for (const endpoint of endpoints) if (endpointProblem(endpoint) === undefined) add(endpoint, hosts);
  } else if (isByName && entry.spec?.workloadSelector === undefined) {
    for (const host of hosts) if (!host.startsWith('*')) add({ address: host }, [host]);
  }
  return [...workloads.values()];
}

/** Whether it takes workloads with these labels of its namespace as endpoints; an empty selector takes none. */
export function entrySelects(entry: ServiceEntry, labels: Readonly<Record<string, string>> | undefined): boolean {
  const wanted = Object.entries(entry.spec?.workloadSelector?.labels ?? {});
  return wanted.length > 0 && !isHidden(entry) && wanted.every(([key, value]) => labels?.[key] === value);
}

/** The service ports of an entry at a workload that it selects, by `namespace/host`. */
export const servicesAt = (entry: ServiceEntry, own?: Readonly<Record<string, number>>): [string, ServicePort[]][] =>
  hostsOf(entry).map((host) => [`${entry.metadata.namespace ?? ''}/${host}`, portsAt(entry, own)]);

/** What of an entry node proxies cannot do, by field. */
export function entryProblems(entry: ServiceEntry): string[] {
  const spec: Partial<Spec> = entry.spec ?? {};
  const problems: string[] = [];
  const { exportTo = [], endpoints = [], resolution = 'NONE', hosts = [], addresses = [] } = spec;
  if (isHidden(entry)) return ['spec.exportTo: "~" hides it from everybody, so it has no effect'];
  if (visibilityOf(entry) === 'NAMESPACE' && exportTo.some((to) => to !== '.' && to !== entry.metadata.namespace))
    problems.push('spec.exportTo: node proxies know only "*" and "."; clients of the other namespaces do not see it');
  endpoints.forEach((endpoint, i) => {
    const problem = endpointProblem(endpoint);
    if (problem !== undefined) problems.push(`spec.endpoints[${i}].${problem}`);
  });
  if (resolution === 'DYNAMIC_DNS')
    problems.push('spec.resolution: DYNAMIC_DNS needs a waypoint that forwards by name, which Lateen has not');
  if (resolution === 'NONE' && addresses.length === 0)
    problems.push('spec.addresses: without them node proxies do not recognise its traffic, which passes as that of an unknown host');
  if (
    resolution !== 'NONE' &&
    addresses.length === 0 &&
    (entry.status?.addresses ?? []).length === 0 &&
    hosts.some((host) => host.startsWith('*'))
  )
    problems.push('spec.addresses: a wildcard host is given none automatically, so node proxies do not recognise its traffic');
  return problems;
}
