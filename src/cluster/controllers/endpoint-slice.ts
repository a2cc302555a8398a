/** EndpointSlices: which pods stand behind a Service, and in what condition. */
import {
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  EndpointSliceKind,
  isNotFound,
  matchesLabelSelector,
  type Node,
  NodeKind,
  objectKey,
  type Pod,
  PodKind,
  type Service,
  ServiceKind,
} from '../../platform/kubernetes/index.ts';
import { type ControllerContext, controllerQueue, enqueueAll, isPodReady, ownerReference, readFresh } from './context.ts';
import { canonicalJson, randomSuffix } from './selectors.ts';

export const SERVICE_LABEL = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'endpointslice-controller.k8s.io';
/** As the real controller. */
const MAX_ENDPOINTS = 100;

export interface DesiredSlice {
  readonly ports: EndpointPort[];
  readonly endpoints: Endpoint[];
}

/** Pods whose named ports have different numbers go into different slices. */
export function desiredSlices(service: Service, pods: readonly Pod[], zoneOf: (node: string) => string | undefined): DesiredSlice[] {
  const groups = new Map<string, { ports: EndpointPort[]; endpoints: Endpoint[] }>();
  for (const pod of [...pods].sort((a, b) => (a.metadata?.name ?? '').localeCompare(b.metadata?.name ?? ''))) {
    if ((pod.status?.podIP ?? '') === '' || pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') continue;
    const ports = endpointPorts(service, pod);
    const key = canonicalJson(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    group.endpoints.push(endpoint(service, pod, zoneOf));
    groups.set(key, group);
  }
  const slices: DesiredSlice[] = [];
  for (const { ports, endpoints } of groups.values()) {
    for (let at = 0; at < endpoints.length; at += MAX_ENDPOINTS) slices.push({ ports, endpoints: endpoints.slice(at, at + MAX_ENDPOINTS) });
  }
  // A service without pods still has a slice: "nobody" is an answer, "nothing known" is not.
  return slices.length > 0 ? slices : [{ ports: [], endpoints: [] }];
}

function endpointPorts(service: Service, pod: Pod): EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const { name, port, protocol = 'TCP', targetPort, appProtocol } of service.spec?.ports ?? []) {
    const target = targetPort ?? port;
    const number = typeof target === 'number' ? target : namedPort(pod, target, protocol);
    if (number !== undefined) ports.push({ name: name ?? '', port: number, protocol, ...(appProtocol !== undefined && { appProtocol }) });
  }
  return ports;
}

function namedPort(pod: Pod, name: string, protocol: string): number | undefined {
  for (const container of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
    const found = container.ports?.find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}

function endpoint(service: Service, pod: Pod, zoneOf: (node: string) => string | undefined): Endpoint {
  const { name, namespace, uid, deletionTimestamp } = pod.metadata ?? {};
  const serving = isPodReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const zone = zoneOf(pod.spec?.nodeName ?? '');
  const { hostname, subdomain, nodeName } = pod.spec ?? {};
  return {
    addresses: [pod.status?.podIP ?? ''],
    conditions: { ready: service.spec?.publishNotReadyAddresses === true || (serving && !terminating), serving, terminating },
    ...(hostname !== undefined && subdomain === service.metadata?.name && { hostname }),
    ...(nodeName !== undefined && { nodeName }),
    ...(zone !== undefined && { zone }),
    targetRef: {
      kind: 'Pod',
      ...(namespace !== undefined && { namespace }),
      ...(name !== undefined && { name }),
      ...(uid !== undefined && { uid }),
    },
  };
}

export function startEndpointSlices(context: ControllerContext): void {
  const services = context.informer(ServiceKind);
  const pods = context.informer(PodKind);
  const nodes = context.informer(NodeKind);
  const slices = context.informer(EndpointSliceKind);
  const queue = controllerQueue(context, 'endpointslice', async (namespace, name) => {
    await Promise.all([pods.synced, nodes.synced, services.synced]);
    const service = await readFresh(context.client, ServiceKind, namespace, name);
    const selector = service?.spec?.selector;
    if (
      service === undefined ||
      service.metadata?.deletionTimestamp !== undefined ||
      selector === undefined ||
      Object.keys(selector).length === 0
    )
      return undefined;
    const chosen = [...pods.inNamespace(namespace)].filter((pod) => matchesLabelSelector({ matchLabels: selector }, pod.metadata?.labels));
    const wanted = desiredSlices(service, chosen, (node) => nodes.get('', node)?.metadata?.labels?.['topology.kubernetes.io/zone']);
    const listed = await context.client.listAll(EndpointSliceKind, {
      namespace,
      labelSelector: `${SERVICE_LABEL}=${name},${MANAGED_BY}=${MANAGER}`,
    });
    await write(context, service, wanted, listed.items);
    return undefined;
  });
  enqueueAll(services, queue);
  const podChanged = (pod: Pod, before?: Pod): void => {
    for (const service of services.inNamespace(pod.metadata?.namespace ?? 'default')) {
      const selector = service.spec?.selector;
      if (selector === undefined) continue;
      const matches = (each: Pod | undefined): boolean =>
        each !== undefined && matchesLabelSelector({ matchLabels: selector }, each.metadata?.labels);
      if (matches(pod) || matches(before)) queue.add(objectKey(service));
    }
  };
  pods.addHandlers({ onAdd: podChanged, onUpdate: podChanged, onDelete: podChanged });
  const sliceGone = (slice: EndpointSlice): void => {
    const service = slice.metadata?.labels?.[SERVICE_LABEL];
    if (service !== undefined && slice.metadata?.labels?.[MANAGED_BY] === MANAGER) queue.add(`${slice.metadata?.namespace}/${service}`);
  };
  slices.addHandlers({ onDelete: sliceGone, onUpdate: sliceGone });
  const zone = (node: Node): string | undefined => node.metadata?.labels?.['topology.kubernetes.io/zone'];
  nodes.addHandlers({
    onUpdate: (node, before) => {
      if (zone(node) !== zone(before)) for (const service of services.all()) queue.add(objectKey(service));
    },
  });
}

async function write(
  context: ControllerContext,
  service: Service,
  wanted: readonly DesiredSlice[],
  present: readonly EndpointSlice[],
): Promise<void> {
  const { client } = context;
  const { name = '', namespace = 'default' } = service.metadata ?? {};
  const free = [...present];
  for (const slice of wanted) {
    const ports = canonicalJson(slice.ports);
    // The slice that already has these ports, else any that is left over.
    const at = Math.max(
      free.findIndex((each) => canonicalJson(each.ports ?? []) === ports),
      free.length > wanted.length - 1 ? 0 : -1,
    );
    const reuse = at < 0 ? undefined : free.splice(at, 1)[0];
    if (reuse === undefined) {
      await client.create(EndpointSliceKind, {
        metadata: {
          name: `${name}-${randomSuffix()}`,
          namespace,
          labels: { ...service.metadata?.labels, [SERVICE_LABEL]: name, [MANAGED_BY]: MANAGER },
          ownerReferences: [ownerReference(service, 'v1', 'Service')],
        },
        addressType: 'IPv4',
        endpoints: slice.endpoints,
        ports: slice.ports,
      });
    } else if (canonicalJson([reuse.ports ?? [], reuse.endpoints ?? []]) !== canonicalJson([slice.ports, slice.endpoints])) {
      await client.update(EndpointSliceKind, { ...reuse, endpoints: slice.endpoints, ports: slice.ports });
    }
  }
  for (const slice of free) {
    await client.delete(EndpointSliceKind, slice.metadata?.name ?? '', { namespace }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
}
