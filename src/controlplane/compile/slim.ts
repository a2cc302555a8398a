import type { EndpointSlice, KubeObject, Namespace, Node, Pod, Service } from '../../platform/kubernetes/index.ts';

/** Copies of objects with only what is compiled: ten thousand pods are kept in memory. */

const REDIRECTION = 'ambient.istio.io/redirection';
const POD_ANNOTATIONS = new Set([REDIRECTION]);

export function slimPod(pod: Pod): Pod {
  const { status, spec } = pod;
  const ready = status?.conditions?.find((condition) => condition.type === 'Ready');
  return {
    metadata: slimMeta(pod, POD_ANNOTATIONS),
    spec: {
      containers: spec.containers
        .filter((container) => (container.ports ?? []).some((port) => port.name))
        .map((container) => ({ name: container.name, ports: container.ports!.filter((port) => port.name) })),
      ...(spec.nodeName !== undefined && { nodeName: spec.nodeName }),
      ...(spec.serviceAccountName !== undefined && { serviceAccountName: spec.serviceAccountName }),
      ...(spec.hostNetwork === true && { hostNetwork: true }),
    },
    status: {
      ...(status?.phase !== undefined && { phase: status.phase }),
      ...(ready !== undefined && { conditions: [{ type: 'Ready', status: ready.status }] }),
      ...(status?.hostIP !== undefined && { hostIP: status.hostIP }),
      ...(status?.hostIPs !== undefined && { hostIPs: status.hostIPs }),
      ...(status?.podIP !== undefined && { podIP: status.podIP }),
      ...(status?.podIPs !== undefined && { podIPs: status.podIPs }),
    },
  };
}

export const slimNamespace = (namespace: Namespace): Namespace => ({
  metadata: slimMeta(namespace),
  ...(namespace.status?.phase !== undefined && { status: { phase: namespace.status.phase } }),
});
export const slimNode = (node: Node): Node => ({ metadata: slimMeta(node) });
export const slimService = (service: Service): Service => ({
  metadata: slimMeta(service),
  ...(service.spec !== undefined && { spec: service.spec }),
  ...(service.status?.conditions !== undefined && { status: { conditions: service.status.conditions } }),
});
export const slimEndpointSlice = (slice: EndpointSlice): EndpointSlice => ({
  metadata: slimMeta(slice),
  addressType: slice.addressType,
  endpoints: slice.endpoints,
  ...(slice.ports !== undefined && { ports: slice.ports }),
});

function slimMeta(object: KubeObject, annotations?: ReadonlySet<string>): Pod['metadata'] {
  const meta = object.metadata!;
  const kept = annotations === undefined ? meta.annotations : pick(meta.annotations, annotations);
  return {
    ...(meta.name !== undefined && { name: meta.name }),
    ...(meta.namespace !== undefined && { namespace: meta.namespace }),
    ...(meta.uid !== undefined && { uid: meta.uid }),
    ...(meta.resourceVersion !== undefined && { resourceVersion: meta.resourceVersion }),
    ...(meta.generation !== undefined && { generation: meta.generation }),
    ...(meta.creationTimestamp !== undefined && { creationTimestamp: meta.creationTimestamp }),
    ...(meta.deletionTimestamp !== undefined && { deletionTimestamp: meta.deletionTimestamp }),
    ...(meta.labels !== undefined && { labels: meta.labels }),
    ...(kept !== undefined && { annotations: kept }),
    ...(meta.ownerReferences !== undefined && { ownerReferences: meta.ownerReferences as NonNullable<Pod['metadata']['ownerReferences']> }),
  };
}

function pick(from: Record<string, string> | undefined, keys: ReadonlySet<string>): Record<string, string> | undefined {
  let kept: Record<string, string> | undefined;
  for (const key of keys) {
    const value = from?.[key];
    if (value !== undefined) kept = { ...kept, [key]: value };
  }
  return kept;
}

/** In place: nobody else holds what a watch delivers. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata?.managedFields !== undefined) delete object.metadata.managedFields;
  return object;
}
