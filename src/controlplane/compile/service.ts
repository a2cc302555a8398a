import type { Service as KubeService, Namespace, Pod } from '../../platform/kubernetes/index.ts';
import {
  type AppProtocol,
  canonicalIp,
  type IpFamilies,
  loadBalancingOf,
  type NetworkAddress,
  type Service,
  type ServicePort,
  TRAFFIC_DISTRIBUTION_ANNOTATION,
  USE_WAYPOINT_CANARY_WEIGHT,
  type WaypointBinding,
} from '../wire.ts';

/** What the whole compilation needs to know besides the objects. */
export interface CompileContext {
  readonly clusterId: string;
  readonly trustDomain: string;
  readonly rootNamespace: string;
  readonly clusterDomain: string;
  readonly network: string;
  /** Whether workloads say what they are to NetworkPolicies. */
  readonly networkPolicies: boolean;
  /** Whether they are compiled to Authorizations, too. */
  readonly networkPolicyAuthorizations: boolean;
}

export const serviceHostname = (service: KubeService, context: CompileContext): string =>
  `${service.metadata.name}.${service.metadata.namespace}.svc.${context.clusterDomain}`;

/** A Kubernetes Service as WDS knows it (4.6); undefined for those it leaves out. */
export function compileService(
  service: KubeService,
  namespace: Namespace | undefined,
  context: CompileContext,
  binding: WaypointBinding = {},
): Service | undefined {
  const spec = service.spec ?? {};
  if (spec.type === 'ExternalName') return undefined;
  const loadBalancing = loadBalancingOf(service, namespace);
  return {
    name: service.metadata.name ?? '',
    namespace: service.metadata.namespace ?? '',
    hostname: serviceHostname(service, context),
    vips: vipsOf(service, context),
    ports: tcpPorts(service).map((port) => ({
      servicePort: port.port,
      targetPort: typeof port.targetPort === 'string' ? 0 : (port.targetPort ?? port.port),
      appProtocol: appProtocolOf(port),
    })),
    subjectAltNames: [],
    ...(binding.waypoint !== undefined && { waypoint: binding.waypoint }),
    weightedWaypoints: binding.weightedWaypoints ?? [],
    ...(loadBalancing !== undefined && { loadBalancing }),
    ipFamilies: familiesOf(service),
    canonical: true,
    visibility: 'PUBLIC',
  };
}

function vipsOf(service: KubeService, context: CompileContext): NetworkAddress[] {
  const { clusterIP, clusterIPs } = service.spec ?? {};
  const listed = clusterIPs !== undefined && clusterIPs.length > 0 ? clusterIPs : [clusterIP ?? ''];
  const vips: NetworkAddress[] = [];
  for (const text of listed) {
    const address = text === '' || text === 'None' ? undefined : canonicalIp(text);
    if (address !== undefined) vips.push({ network: context.network, address });
  }
  return vips;
}

type KubePort = NonNullable<NonNullable<KubeService['spec']>['ports']>[number];

const tcpPorts = (service: KubeService): KubePort[] => (service.spec?.ports ?? []).filter((port) => (port.protocol ?? 'TCP') === 'TCP');

const PROTOCOLS: Readonly<Record<string, AppProtocol>> = {
  http: 'HTTP11',
  'http/1.1': 'HTTP11',
  'kubernetes.io/ws': 'HTTP11',
  'kubernetes.io/wss': 'TLS',
  http2: 'HTTP2',
  'kubernetes.io/h2c': 'HTTP2',
  grpc: 'GRPC',
  'grpc-web': 'GRPC',
  tcp: 'TCP',
  mongo: 'TCP',
  mysql: 'TCP',
  redis: 'TCP',
  https: 'TLS',
  tls: 'TLS',
};

/** `appProtocol`, else the port's name up to its first hyphen (`grpc-web` counts whole). */
export function appProtocolOf(port: { name?: string; appProtocol?: string }): AppProtocol {
  if (port.appProtocol !== undefined && port.appProtocol !== '') return PROTOCOLS[port.appProtocol.toLowerCase()] ?? 'UNKNOWN';
  const name = (port.name ?? '').toLowerCase();
  return PROTOCOLS[name.startsWith('grpc-web') ? 'grpc-web' : (name.split('-')[0] ?? '')] ?? 'UNKNOWN';
}

function familiesOf(service: KubeService): IpFamilies {
  const families = service.spec?.ipFamilies ?? [];
  if (families.length === 2) return 'DUAL';
  if (families[0] === 'IPv4') return 'IPV4_ONLY';
  return families[0] === 'IPv6' ? 'IPV6_ONLY' : 'AUTOMATIC';
}

/** What a Service takes from its namespace; when that does not change, its services need no work. */
export const namespaceInheritance = (namespace: Namespace | undefined): string =>
  JSON.stringify([
    namespace?.metadata.annotations?.[TRAFFIC_DISTRIBUTION_ANNOTATION] ?? '',
    namespace?.metadata.annotations?.[USE_WAYPOINT_CANARY_WEIGHT] ?? '',
    waypointInheritance(namespace),
  ]);

/** The labels: which waypoint to use, and what the selectors of listeners and of NetworkPolicies may look at. */
export const waypointInheritance = (namespace: Namespace | undefined): string =>
  Object.entries(namespace?.metadata.labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join();

/** Whether a Service with a selector picks pods with these labels (an empty selector picks none). */
export function selectsPod(service: KubeService, labels: Readonly<Record<string, string>> | undefined): boolean {
  const selector = service.spec?.selector;
  if (selector === undefined || service.spec?.type === 'ExternalName') return false;
  for (const _ in selector) return hasLabels(labels, selector);
  return false;
}

/** Without an array per object: changes ask it of every pod there is. */
export function hasLabels(labels: Readonly<Record<string, string>> | undefined, wanted: Readonly<Record<string, string>>): boolean {
  for (const key in wanted) if (labels?.[key] !== wanted[key]) return false;
  return true;
}

/** The Service's ports as this pod serves them; a named port the pod does not have is left out. */
export function portsOnPod(service: KubeService, pod: Pod): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const port of tcpPorts(service)) {
    const targetPort = typeof port.targetPort === 'string' ? namedPort(pod, port.targetPort) : (port.targetPort ?? port.port);
    if (targetPort !== undefined) ports.push({ servicePort: port.port, targetPort, appProtocol: appProtocolOf(port) });
  }
  return ports;
}

function namedPort(pod: Pod, name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  for (const container of pod.spec.containers) {
    for (const port of container.ports ?? []) if (port.name === name && (port.protocol ?? 'TCP') === 'TCP') return port.containerPort;
  }
  return undefined;
}

/** The Service's ports at a workload that has its own `ports`, by their names; a named port it does not have is left out. */
export function portsOnEndpoint(service: KubeService, own: Readonly<Record<string, number>>): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const port of tcpPorts(service)) {
    const target = port.targetPort ?? port.port;
    const isNamed = typeof target === 'string' && !/^\d+$/.test(target);
    const targetPort = isNamed ? own[target] : (own[port.name ?? ''] ?? Number(target));
    if (targetPort !== undefined) ports.push({ servicePort: port.port, targetPort, appProtocol: appProtocolOf(port) });
  }
  return ports;
}

/** The Service's ports at an address that no pod stands for, by port name from the slice. */
export function portsOnSlice(
  service: KubeService,
  slicePorts: readonly { readonly name?: string; readonly port?: number }[],
): ServicePort[] {
  const ports: ServicePort[] = [];
  for (const port of tcpPorts(service)) {
    const targetPort = slicePorts.find((candidate) => (candidate.name ?? '') === (port.name ?? ''))?.port;
    if (targetPort !== undefined) ports.push({ servicePort: port.port, targetPort, appProtocol: appProtocolOf(port) });
  }
  return ports;
}
