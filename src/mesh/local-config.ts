/** The file of `LOCAL_XDS_PATH` (ambient contract 11.3): workloads, services and policies without a control plane. */
import { type CollectionTag, parse, type ScalarTag } from 'yaml';
import { DEFAULT_CLUSTER_ID, DEFAULT_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN } from './identity.ts';
import { canonicalIp, parseCidr } from './ip.ts';
import { localPolicy } from './local-policy.ts';
import { LocalValue, TaggedValue } from './local-reader.ts';
import type {
  Authorization,
  GatewayAddress,
  IpFamilies,
  LoadBalancing,
  NetworkAddress,
  RoutingScope,
  Service,
  ServicePort,
  Workload,
} from './model.ts';
import { fail, ok, type Result } from './result.ts';

export interface LocalConfig {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly Authorization[];
}

const WORKLOAD_KEYS = [
  'uid',
  'name',
  'namespace',
  'workloadIps',
  'hostname',
  'network',
  'protocol',
  'trustDomain',
  'serviceAccount',
  'waypoint',
  'networkGateway',
  'node',
  'canonicalName',
  'canonicalRevision',
  'workloadType',
  'workloadName',
  'nativeTunnel',
  'authorizationPolicies',
  'status',
  'clusterId',
  'services',
  'applicationTunnel',
  'locality',
  'networkMode',
  'capacity',
] as const;

const SERVICE_KEYS = [
  'name',
  'namespace',
  'hostname',
  'vips',
  'ports',
  'appProtocols',
  'endpoints',
  'subjectAltNames',
  'waypoint',
  'weightedWaypoints',
  'loadBalancer',
  'ipFamilies',
  'canonical',
  'visibility',
] as const;

const WORKLOAD_TYPES = { deployment: 'DEPLOYMENT', cronjob: 'CRONJOB', pod: 'POD', job: 'JOB' } as const;
const LB_MODES = { Standard: 'UNSPECIFIED', Strict: 'STRICT', Failover: 'FAILOVER', Passthrough: 'PASSTHROUGH' } as const;
const HEALTH_POLICIES = { OnlyHealthy: 'ONLY_HEALTHY', AllowAll: 'ALLOW_ALL' } as const;
const IP_FAMILIES: Readonly<Record<string, IpFamilies>> = { IPv4: 'IPV4_ONLY', IPv6: 'IPV6_ONLY', Dual: 'DUAL' };
const SCOPES: Readonly<Record<string, RoutingScope>> = {
  Region: 'REGION',
  Zone: 'ZONE',
  Subzone: 'SUBZONE',
  Node: 'NODE',
  Cluster: 'CLUSTER',
  Network: 'NETWORK',
};

const readPorts = (value: LocalValue): ServicePort[] =>
  value.entries().map(([key, target]) => {
    const servicePort = /^[1-9][0-9]{0,4}$/.test(key) ? Number(key) : 0;
    if (servicePort === 0 || servicePort > 65_535) target.reject('the key must be a port, 1 to 65535');
    return { servicePort, targetPort: target.integer(0, 65_535), appProtocol: 'UNKNOWN' };
  });

/** `network/ip` or `network/ip/length`; the network may be empty. */
const readNetworkAddress = (value: LocalValue, withRange: boolean): NetworkAddress => {
  const text = value.text();
  const slash = text.indexOf('/');
  const network = text.slice(0, slash);
  const rest = text.slice(slash + 1);
  const address = slash < 0 ? undefined : canonicalIp(rest);
  if (address !== undefined) return { network, address };
  const range = withRange && slash >= 0 && rest.includes('/') ? parseCidr(rest) : undefined;
  if (range !== undefined) return { network, ...range };
  value.reject(`must be network/ip (the network may be empty, as in /10.0.0.1), not "${text}"`);
  return { network: '', address: '' };
};

const readGateway = (value: LocalValue): GatewayAddress => {
  const { destination, hboneMtlsPort } = value.fields(['destination', 'hboneMtlsPort']);
  const port = hboneMtlsPort.integer(0, 65_535);
  if (port === 0) hboneMtlsPort.reject('must be a port, usually 15008');
  const text = destination.text();
  const slash = text.indexOf('/');
  if (slash > 0 && canonicalIp(text.slice(slash + 1)) === undefined) {
    return {
      destination: { kind: 'hostname', value: { namespace: text.slice(0, slash), hostname: text.slice(slash + 1) } },
      hboneMtlsPort: port,
    };
  }
  return { destination: { kind: 'address', value: readNetworkAddress(destination, false) }, hboneMtlsPort: port };
};

const readIp = (value: LocalValue): string => {
  const ip = canonicalIp(value.text());
  if (ip === undefined) value.reject('must be an IP address');
  return ip ?? '';
};

const APP_PROTOCOLS = { UNKNOWN: 'UNKNOWN', HTTP11: 'HTTP11', HTTP2: 'HTTP2', GRPC: 'GRPC', TCP: 'TCP', TLS: 'TLS' } as const;

/** What the ports speak; a node proxy does not look at it, a waypoint does. Not a key a real ztunnel knows. */
const readServicePorts = (ports: LocalValue, protocols: LocalValue): ServicePort[] => {
  const byPort = new Map(
    protocols.entries().map(([key, value]) => [Number(key), value.oneOf<ServicePort['appProtocol']>(APP_PROTOCOLS, 'UNKNOWN')]),
  );
  return readPorts(ports).map((port) => ({ ...port, appProtocol: byPort.get(port.servicePort) ?? 'UNKNOWN' }));
};

const readServices = (value: LocalValue): Map<string, ServicePort[]> => {
  if (value.isAbsent) value.reject('is required; write {} when the workload belongs to no service');
  return new Map(
    value.entries().map(([key, ports]) => {
      if (!/^[^/]+\/[^/]+$/.test(key)) ports.reject('the key must be namespace/hostname');
      return [key, readPorts(ports)];
    }),
  );
};

const readTunnel = (value: LocalValue): NonNullable<Workload['applicationTunnel']> => {
  const { protocol, port } = value.fields(['protocol', 'port']);
  return { protocol: protocol.oneOf<'NONE' | 'PROXY'>({ NONE: 'NONE', PROXY: 'PROXY' }, 'NONE'), port: port.integer(0, 65_535) };
};

const readWorkload = (value: LocalValue): Workload => {
  const w = value.fields(WORKLOAD_KEYS);
  const locality = w.locality.isAbsent ? undefined : w.locality.fields(['region', 'zone', 'subzone']);
  const name = w.name.text();
  const namespace = w.namespace.required();
  const addresses = w.workloadIps.items().map(readIp);
  const clusterId = w.clusterId.text() || DEFAULT_CLUSTER_ID;
  const type = typeof w.workloadType.value === 'string' ? w.workloadType.at('', w.workloadType.value.toLowerCase()) : w.workloadType;
  return {
    uid: w.uid.text() || `${clusterId}//Pod/${namespace}/${name || addresses[0] || ''}`,
    name,
    namespace,
    addresses,
    hostname: w.hostname.text(),
    network: w.network.text(),
    tunnelProtocol: w.protocol.oneOf<Workload['tunnelProtocol']>({ HBONE: 'HBONE', TCP: 'NONE' }, 'NONE'),
    trustDomain: w.trustDomain.text() || DEFAULT_TRUST_DOMAIN,
    serviceAccount: w.serviceAccount.text() || DEFAULT_SERVICE_ACCOUNT,
    ...(!w.waypoint.isAbsent && { waypoint: readGateway(w.waypoint) }),
    ...(!w.networkGateway.isAbsent && { networkGateway: readGateway(w.networkGateway) }),
    node: w.node.text(),
    canonicalName: w.canonicalName.text(),
    canonicalRevision: w.canonicalRevision.text(),
    workloadType: type.oneOf<Workload['workloadType']>(WORKLOAD_TYPES, 'POD'),
    workloadName: w.workloadName.text(),
    nativeTunnel: w.nativeTunnel.boolean(false),
    authorizationPolicies: w.authorizationPolicies.items().map((key) => key.required()),
    status: w.status.oneOf<Workload['status']>({ Healthy: 'HEALTHY', Unhealthy: 'UNHEALTHY' }, 'HEALTHY'),
    clusterId,
    services: readServices(w.services),
    ...(!w.applicationTunnel.isAbsent && { applicationTunnel: readTunnel(w.applicationTunnel) }),
    locality: { region: locality?.region.text() ?? '', zone: locality?.zone.text() ?? '', subzone: locality?.subzone.text() ?? '' },
    networkMode: w.networkMode.oneOf<Workload['networkMode']>({ Standard: 'STANDARD', HostNetwork: 'HOST_NETWORK' }, 'STANDARD'),
    capacity: w.capacity.integer(1, 0xffff_ffff),
  };
};

const readLoadBalancing = (value: LocalValue): LoadBalancing => {
  const { routingPreferences, mode, healthPolicy } = value.fields(['routingPreferences', 'mode', 'healthPolicy']);
  return {
    routingPreference: routingPreferences.items().map((scope) => scope.oneOf(SCOPES, 'NETWORK')),
    mode: mode.oneOf<LoadBalancing['mode']>(LB_MODES, 'UNSPECIFIED'),
    healthPolicy: healthPolicy.oneOf<LoadBalancing['healthPolicy']>(HEALTH_POLICIES, 'ONLY_HEALTHY'),
  };
};

const readService = (value: LocalValue): Service => {
  const s = value.fields(SERVICE_KEYS);
  if (s.endpoints.entries().length > 0) s.endpoints.reject('endpoints come from the "services" of workloads; remove this key');
  return {
    name: s.name.required(),
    namespace: s.namespace.required(),
    hostname: s.hostname.required(),
    vips: s.vips.items().map((vip) => readNetworkAddress(vip, true)),
    ports: readServicePorts(s.ports, s.appProtocols),
    subjectAltNames: s.subjectAltNames.items().map((name) => name.required()),
    ...(!s.waypoint.isAbsent && { waypoint: readGateway(s.waypoint) }),
    weightedWaypoints: s.weightedWaypoints.items().map((item) => {
      const { destination, weight } = item.fields(['destination', 'weight']);
      return { destination: readGateway(destination), weight: weight.integer(0, 0xffff_ffff) };
    }),
    ...(!s.loadBalancer.isAbsent && { loadBalancing: readLoadBalancing(s.loadBalancer) }),
    ipFamilies: s.ipFamilies.oneOf(IP_FAMILIES, 'AUTOMATIC'),
    canonical: s.canonical.boolean(false),
    visibility: s.visibility.oneOf<Service['visibility']>({ Public: 'PUBLIC', Namespace: 'NAMESPACE' }, 'PUBLIC'),
  };
};

/** Reads a parsed document, its tagged values being `TaggedValue`s. The error lists every problem with its path; unknown keys are problems. */
export const readLocalConfig = (document: unknown): Result<LocalConfig, string[]> => {
  const problems: string[] = [];
  const { workloads, services, policies } = new LocalValue(document ?? {}, '', problems).fields(['workloads', 'services', 'policies']);
  const config: LocalConfig = {
    workloads: workloads.items().map(readWorkload),
    services: services.items().map(readService),
    policies: policies.items().map(localPolicy),
  };
  return problems.length === 0 ? ok(config) : fail(problems);
};

const stringMatchTag = (name: string): ScalarTag => ({ tag: `!${name}`, resolve: (text) => new TaggedValue(name, text) });

const presenceTag: CollectionTag = { tag: '!Presence', collection: 'seq', resolve: () => new TaggedValue('Presence', undefined) };
const TAGS = [...['Exact', 'Prefix', 'Suffix', 'Presence'].map(stringMatchTag), presenceTag];

/** `readLocalConfig` of YAML text. */
export const parseLocalConfig = (text: string): Result<LocalConfig, string[]> => {
  try {
    return readLocalConfig(parse(text, { customTags: TAGS, logLevel: 'error' }));
  } catch (error) {
    return fail([`not YAML: ${error instanceof Error ? error.message : String(error)}`]);
  }
};
