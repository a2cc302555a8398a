/** WDS messages → model, with the problems that make a resource be refused (section 4.5). */
import {
  AddressTable,
  ApplicationTunnel_Protocol,
  AppProtocol,
  decodeMessage,
  IPFamilies,
  LoadBalancing_HealthPolicy,
  LoadBalancing_Mode,
  LoadBalancing_Scope,
  NetworkMode,
  type Plain,
  Service_Visibility,
  TunnelProtocol,
  WorkloadStatus,
  WorkloadType,
} from '../protocol/index.ts';
import type {
  GatewayAddress as GatewayMessage,
  LoadBalancing as LoadBalancingMessage,
  NetworkAddress as NetworkAddressMessage,
  Port,
  Service as ServiceMessage,
  Workload as WorkloadMessage,
} from '../protocol/messages/index.ts';
import { DEFAULT_CLUSTER_ID, DEFAULT_SERVICE_ACCOUNT, DEFAULT_TRUST_DOMAIN } from './identity.ts';
import { formatIp, ipFamily, ipFromBytes, makeCidr } from './ip.ts';
import type {
  AppProtocol as AppProtocolName,
  GatewayAddress,
  LoadBalancing,
  NetworkAddress,
  RoutingScope,
  Service,
  ServicePort,
  Workload,
} from './model.ts';
import { decodeNetworkFacts, NETWORK_POLICY_EXTENSION } from './network-policy/decode.ts';
import type { Destination } from './registry.ts';
import { fail, ok, type Result } from './result.ts';

/** Problems found while decoding one resource; empty means it is good. */
class Problems {
  readonly list: string[] = [];

  add(field: string, problem: string): void {
    this.list.push(`${field}: ${problem}`);
  }

  /** The name of an enum value, or undefined and a problem for numbers this version does not know. */
  enumName<N extends string>(field: string, names: Readonly<Record<number, string>>, value: number): N | undefined {
    const name = names[value];
    if (name === undefined) this.add(field, `unknown value ${value}`);
    return name as N | undefined; // the callers' N are exactly the names of the generated enum
  }

  port(field: string, value: number, zeroMeans?: string): number {
    if (value > 65_535 || (value === 0 && zeroMeans === undefined)) this.add(field, `${value} is not a port`);
    return value;
  }

  ip(field: string, bytes: Uint8Array): string {
    const ip = ipFromBytes(bytes);
    if (ip === undefined) this.add(field, `an address has 4 or 16 bytes, not ${bytes.length}`);
    return ip === undefined ? '' : formatIp(ip);
  }

  required(field: string, value: string): string {
    if (value === '') this.add(field, 'must not be empty');
    return value;
  }
}

const decodePorts = (problems: Problems, field: string, ports: readonly Plain<Port>[]): ServicePort[] =>
  ports.map((port, i) => ({
    servicePort: problems.port(`${field}[${i}].service_port`, port.servicePort),
    targetPort: problems.port(`${field}[${i}].target_port`, port.targetPort, 'a named port'),
    // Informational: an application protocol of a later version is not a reason to refuse the resource.
    appProtocol: (AppProtocol[port.appProtocol] ?? 'UNKNOWN') as AppProtocolName,
  }));

const decodeNetworkAddress = (
  problems: Problems,
  field: string,
  { network, address, length }: Plain<NetworkAddressMessage>,
): NetworkAddress => {
  const ip = problems.ip(`${field}.address`, address);
  if (length === undefined || ip === '') return { network, address: ip };
  const range = makeCidr(ipFromBytes(address)!, length, address.length === 4 ? 4 : 6);
  if (range === undefined) problems.add(`${field}.length`, `${length} is longer than the address`);
  if (range === undefined || range.length === (ipFamily(range.address) === 4 ? 32 : 128)) return { network, address: ip };
  return { network, ...range };
};

const decodeGateway = (problems: Problems, field: string, message: Plain<GatewayMessage>): GatewayAddress | undefined => {
  const hboneMtlsPort = problems.port(`${field}.hbone_mtls_port`, message.hboneMtlsPort);
  switch (message.destination.case) {
    case 'hostname': {
      const { namespace, hostname } = message.destination.value;
      return { destination: { kind: 'hostname', value: { namespace, hostname } }, hboneMtlsPort };
    }
    case 'address':
      return {
        destination: { kind: 'address', value: decodeNetworkAddress(problems, `${field}.address`, message.destination.value) },
        hboneMtlsPort,
      };
    default:
      problems.add(field, 'neither a hostname nor an address');
      return undefined;
  }
};

const decodeTunnel = (problems: Problems, value: number): Workload['tunnelProtocol'] => {
  if (value === TunnelProtocol.LEGACY_ISTIO_MTLS) problems.add('tunnel_protocol', 'LEGACY_ISTIO_MTLS is not supported');
  else problems.enumName('tunnel_protocol', TunnelProtocol, value);
  return value === TunnelProtocol.HBONE ? 'HBONE' : 'NONE';
};

export const workloadFromMessage = (message: Plain<WorkloadMessage>): Result<Workload, string[]> => {
  const problems = new Problems();
  const waypoint = message.waypoint && decodeGateway(problems, 'waypoint', message.waypoint);
  const networkGateway = message.networkGateway && decodeGateway(problems, 'network_gateway', message.networkGateway);
  const services = new Map<string, ServicePort[]>();
  for (const key of Object.keys(message.services).sort()) {
    if (!/^[^/]+\/[^/]+$/.test(key)) problems.add(`services["${key}"]`, 'the key must be namespace/hostname');
    services.set(key, decodePorts(problems, `services["${key}"]`, message.services[key]!.ports));
  }
  const extension = message.extensions.find(({ name }) => name === NETWORK_POLICY_EXTENSION)?.config;
  const networkPolicy = extension && decodeNetworkFacts(extension.value);
  if (networkPolicy?.ok === false) problems.add(`extensions["${NETWORK_POLICY_EXTENSION}"]`, networkPolicy.error);
  const tunnel = message.applicationTunnel;
  const protocol =
    tunnel && problems.enumName<'NONE' | 'PROXY'>('application_tunnel.protocol', ApplicationTunnel_Protocol, tunnel.protocol);
  const workload: Workload = {
    uid: problems.required('uid', message.uid),
    name: message.name,
    namespace: message.namespace,
    addresses: message.addresses.map((bytes, i) => problems.ip(`addresses[${i}]`, bytes)),
    hostname: message.hostname,
    network: message.network,
    tunnelProtocol: decodeTunnel(problems, message.tunnelProtocol),
    trustDomain: message.trustDomain || DEFAULT_TRUST_DOMAIN,
    serviceAccount: message.serviceAccount || DEFAULT_SERVICE_ACCOUNT,
    ...(waypoint && { waypoint }),
    ...(networkGateway && { networkGateway }),
    node: message.node,
    canonicalName: message.canonicalName,
    canonicalRevision: message.canonicalRevision,
    workloadType: problems.enumName('workload_type', WorkloadType, message.workloadType) ?? 'POD',
    workloadName: message.workloadName,
    nativeTunnel: message.nativeTunnel,
    authorizationPolicies: message.authorizationPolicies,
    status: problems.enumName('status', WorkloadStatus, message.status) ?? 'UNHEALTHY',
    clusterId: message.clusterId || DEFAULT_CLUSTER_ID,
    services,
    ...(tunnel && {
      applicationTunnel: { protocol: protocol ?? 'NONE', port: problems.port('application_tunnel.port', tunnel.port, 'any') },
    }),
    locality: { region: message.locality?.region ?? '', zone: message.locality?.zone ?? '', subzone: message.locality?.subzone ?? '' },
    networkMode: problems.enumName('network_mode', NetworkMode, message.networkMode) ?? 'STANDARD',
    capacity: message.capacity ?? 1,
    ...(networkPolicy?.ok && { networkPolicy: networkPolicy.value }),
  };
  return problems.list.length === 0 ? ok(workload) : fail(problems.list);
};

const decodeLoadBalancing = (problems: Problems, message: Plain<LoadBalancingMessage>): LoadBalancing => ({
  routingPreference: message.routingPreference.flatMap((scope, i): RoutingScope[] => {
    if (scope === LoadBalancing_Scope.UNSPECIFIED_SCOPE) problems.add(`load_balancing.routing_preference[${i}]`, 'unspecified');
    return [problems.enumName<RoutingScope>(`load_balancing.routing_preference[${i}]`, LoadBalancing_Scope, scope) ?? 'NETWORK'];
  }),
  mode:
    message.mode === LoadBalancing_Mode.UNSPECIFIED_MODE
      ? 'UNSPECIFIED'
      : (problems.enumName('load_balancing.mode', LoadBalancing_Mode, message.mode) ?? 'UNSPECIFIED'),
  healthPolicy: problems.enumName('load_balancing.health_policy', LoadBalancing_HealthPolicy, message.healthPolicy) ?? 'ONLY_HEALTHY',
});

export const serviceFromMessage = (message: Plain<ServiceMessage>): Result<Service, string[]> => {
  const problems = new Problems();
  const waypoint = message.waypoint && decodeGateway(problems, 'waypoint', message.waypoint);
  const service: Service = {
    name: message.name,
    namespace: problems.required('namespace', message.namespace),
    hostname: problems.required('hostname', message.hostname),
    vips: message.addresses.map((address, i) => decodeNetworkAddress(problems, `addresses[${i}]`, address)),
    ports: decodePorts(problems, 'ports', message.ports),
    subjectAltNames: message.subjectAltNames,
    ...(waypoint && { waypoint }),
    weightedWaypoints: message.weightedWaypoints.flatMap(({ destination, weight }, i) => {
      const field = `weighted_waypoints[${i}].destination`;
      const gateway = destination && decodeGateway(problems, field, destination);
      if (destination === undefined) problems.add(field, 'missing');
      return gateway === undefined ? [] : [{ destination: gateway, weight }];
    }),
    ...(message.loadBalancing && { loadBalancing: decodeLoadBalancing(problems, message.loadBalancing) }),
    ipFamilies: problems.enumName('ip_families', IPFamilies, message.ipFamilies) ?? 'AUTOMATIC',
    canonical: message.canonical,
    visibility: problems.enumName('visibility', Service_Visibility, message.visibility) ?? 'NAMESPACE',
  };
  return problems.list.length === 0 ? ok(service) : fail(problems.list);
};

/** Decodes an `istio.workload.Address`. The problems are the reason part of a NACK, one per field. */
export const decodeAddress = (bytes: Uint8Array): Result<Destination, string[]> => {
  const decoded = decodeMessage(AddressTable, bytes);
  if (!decoded.ok) return fail([decoded.error]);
  const { type } = decoded.value;
  if (type.case === 'workload') {
    const result = workloadFromMessage(type.value);
    return result.ok ? ok({ kind: 'workload', workload: result.value }) : result;
  }
  if (type.case === 'service') {
    const result = serviceFromMessage(type.value);
    return result.ok ? ok({ kind: 'service', service: result.value }) : result;
  }
  return fail(['neither a workload nor a service']);
};
