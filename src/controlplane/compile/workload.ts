import type { EndpointSlice, Service as KubeService, Node, Pod, ServiceEntry } from '../../platform/kubernetes/index.ts';
import {
  canonicalIp,
  canonicalName,
  canonicalRevision,
  type GatewayAddress,
  type Locality,
  type NetworkFacts,
  podUid,
  type ServicePort,
  serviceKey,
  type Workload,
  workloadNameOf,
} from '../wire.ts';
import { speaksTunnel } from './endpoint.ts';
import { type CompileContext, portsOnPod, portsOnSlice, serviceHostname } from './service.ts';
import { servicesAt } from './service-entry.ts';

const REDIRECTION = 'ambient.istio.io/redirection';
const NETWORK_LABEL = 'topology.istio.io/network';
const NO_LOCALITY: Locality = { region: '', zone: '', subzone: '' };

/** What a pod's workload is made of besides the pod. */
export interface PodSurroundings {
  readonly node: Node | undefined;
  /** The Services of its namespace that select it. */
  readonly services: readonly KubeService[];
  /** The ServiceEntries of its namespace that select it, in their order. */
  readonly entries: readonly ServiceEntry[];
  /** Keys of the policies that apply to it by selector, sorted. */
  readonly policies: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly networkPolicy?: NetworkFacts;
  /** Of the pods of a sandwiched waypoint. */
  readonly applicationTunnel?: NonNullable<Workload['applicationTunnel']>;
}

export const uidOfPod = (pod: Pod, context: CompileContext): string =>
  podUid(context.clusterId, pod.metadata.namespace ?? '', pod.metadata.name ?? '');

/** Whether a pod is a workload: it has an address and has not ended. */
export const isInMesh = (pod: Pod): boolean =>
  pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed' && addressesOf(pod).length > 0;

/** A pod as WDS knows it (4.6); undefined while it has no address and once it has ended. */
export function compilePod(pod: Pod, around: PodSurroundings, context: CompileContext): Workload | undefined {
  const { metadata, spec, status } = pod;
  if (!isInMesh(pod)) return undefined;
  const addresses = addressesOf(pod);
  const labels = metadata.labels ?? {};
  const nativeTunnel = speaksTunnel(labels);
  const isCaptured = metadata.annotations?.[REDIRECTION] === 'enabled';
  const isReady =
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true;
  const workloadName = workloadNameOf(pod);
  const services = new Map<string, readonly ServicePort[]>();
  for (const service of [...around.services].sort((a, b) => compare(a.metadata.name ?? '', b.metadata.name ?? ''))) {
    services.set(
      serviceKey({ namespace: service.metadata.namespace ?? '', hostname: serviceHostname(service, context) }),
      portsOnPod(service, pod),
    );
  }
  for (const entry of around.entries) for (const [key, ports] of servicesAt(entry)) if (!services.has(key)) services.set(key, ports);
  return {
    uid: uidOfPod(pod, context),
    name: metadata.name ?? '',
    namespace: metadata.namespace ?? '',
    addresses,
    hostname: '',
    network: labels[NETWORK_LABEL] ?? context.network,
    tunnelProtocol: nativeTunnel || isCaptured ? 'HBONE' : 'NONE',
    trustDomain: context.trustDomain,
    serviceAccount: spec.serviceAccountName || 'default',
    node: spec.nodeName ?? '',
    canonicalName: canonicalName(labels, workloadName),
    canonicalRevision: canonicalRevision(labels),
    workloadType: 'POD', // as istiod: the name below is the controller's
    workloadName,
    nativeTunnel,
    ...(around.waypoint !== undefined && { waypoint: around.waypoint }),
    ...(around.applicationTunnel !== undefined && { applicationTunnel: around.applicationTunnel }),
    authorizationPolicies: around.policies,
    status: isReady ? 'HEALTHY' : 'UNHEALTHY',
    clusterId: context.clusterId,
    services,
    locality: localityOf(around.node),
    networkMode: spec.hostNetwork === true ? 'HOST_NETWORK' : 'STANDARD',
    capacity: 1,
    ...(around.networkPolicy !== undefined && { networkPolicy: around.networkPolicy }),
  };
}

export function addressesOf(pod: Pod): string[] {
  const listed = pod.status?.podIPs?.map((entry) => entry.ip ?? '') ?? [];
  const texts = listed.length > 0 ? listed : [pod.status?.podIP ?? ''];
  return texts.flatMap((text) => (text === '' ? [] : (canonicalIp(text) ?? [])));
}

export function localityOf(node: Node | undefined): Locality {
  const labels = node?.metadata.labels;
  if (labels === undefined) return NO_LOCALITY;
  return {
    region: labels['topology.kubernetes.io/region'] ?? '',
    zone: labels['topology.kubernetes.io/zone'] ?? '',
    subzone: labels['topology.istio.io/subzone'] ?? '',
  };
}

/** Addresses of a slice that no pod stands for, as workloads (4.6); by address. */
export function compileSlice(slice: EndpointSlice, service: KubeService | undefined, context: CompileContext): Workload[] {
  if (service === undefined || slice.addressType === 'FQDN') return [];
  const namespace = slice.metadata.namespace ?? '';
  const name = slice.metadata.name ?? '';
  const services = new Map([
    [serviceKey({ namespace, hostname: serviceHostname(service, context) }), portsOnSlice(service, slice.ports ?? [])],
  ]);
  const workloads = new Map<string, Workload>();
  for (const endpoint of slice.endpoints ?? []) {
    if (endpoint.targetRef?.kind === 'Pod') continue;
    for (const text of endpoint.addresses) {
      const address = canonicalIp(text);
      if (address === undefined) continue;
      const uid = `${context.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`;
      workloads.set(uid, {
        uid,
        name,
        namespace,
        addresses: [address],
        hostname: '',
        network: context.network,
        tunnelProtocol: 'NONE',
        trustDomain: context.trustDomain,
        serviceAccount: 'default',
        node: '',
        canonicalName: service.metadata.name ?? '',
        canonicalRevision: 'latest',
        workloadType: 'POD',
        workloadName: name,
        nativeTunnel: false,
        authorizationPolicies: [],
        status: endpoint.conditions?.ready === false ? 'UNHEALTHY' : 'HEALTHY',
        clusterId: context.clusterId,
        services,
        locality: NO_LOCALITY,
        networkMode: 'HOST_NETWORK',
        capacity: 1,
      });
    }
  }
  return [...workloads.values()];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
