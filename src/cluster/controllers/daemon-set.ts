/** DaemonSets: one pod on every node that fits, exchanged a few at a time when the template changes. */
import {
  type DaemonSet,
  DaemonSetKind,
  isNotFound,
  labelSelectorString,
  type Node,
  NodeKind,
  type Pod,
  PodKind,
} from '../../platform/kubernetes/index.ts';
import {
  type ControllerContext,
  controllerQueue,
  enqueueAll,
  enqueueOwner,
  isActive,
  isOwnedBy,
  isPodAvailable,
  isPodReady,
  ownerReference,
  readFresh,
} from './context.ts';
import { type DaemonLimits, type DaemonPod, daemonPlan } from './daemon-rollout.ts';
import { matchesNode, tolerates } from './scheduler.ts';
import { randomSuffix, scaledValue, templateHash } from './selectors.ts';

const HASH_LABEL = 'controller-revision-hash';
/** What every daemon pod tolerates, as the real controller adds it. */
const TOLERATIONS = [
  'not-ready',
  'unreachable',
  'disk-pressure',
  'memory-pressure',
  'pid-pressure',
  'unschedulable',
  'network-unavailable',
].map((name) => ({
  key: `node.kubernetes.io/${name}`,
  operator: 'Exists',
}));

export function startDaemonSets(context: ControllerContext): void {
  const sets = context.informer(DaemonSetKind);
  const queue = controllerQueue(context, 'daemonset', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(sets, queue);
  enqueueOwner(context.informer(PodKind), 'DaemonSet', queue);
  const all = (): void => {
    for (const set of sets.all()) queue.add(`${set.metadata?.namespace}/${set.metadata?.name}`);
  };
  const signature = (node: Node): string => JSON.stringify([node.spec?.taints, node.spec?.unschedulable, node.metadata?.labels]);
  context.informer(NodeKind).addHandlers({
    onAdd: all,
    onDelete: all,
    onUpdate: (node, before) => {
      if (signature(node) !== signature(before)) all();
    },
  });
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<number | undefined> {
  const { client } = context;
  const set = await readFresh(client, DaemonSetKind, namespace, name);
  if (set?.spec === undefined) return undefined;
  const [nodes, listed] = await Promise.all([
    client.listAll(NodeKind),
    client.listAll(PodKind, { namespace, labelSelector: labelSelectorString(set.spec.selector) }),
  ]);
  const hash = templateHash(set.spec.template);
  const owned = listed.items.filter((pod) => isOwnedBy(pod, set));
  const model: Pod = podFor(set, hash, '');
  const eligible = nodes.items.filter(
    (node) =>
      matchesNode(model, node) &&
      (node.spec?.taints ?? []).every((taint) => taint.effect === 'PreferNoSchedule' || tolerates(model, taint)),
  );
  const byNode = Map.groupBy(owned, (pod) => pod.spec?.nodeName ?? '');
  const podsOf = (node: Node): readonly Pod[] => byNode.get(node.metadata?.name ?? '') ?? [];

  if (set.metadata?.deletionTimestamp === undefined) {
    const isOver = (pod: Pod): boolean => !isActive(pod) && pod.metadata?.deletionTimestamp === undefined;
    const names = new Set(eligible.map((node) => node.metadata?.name));
    const misplaced = owned.filter((pod) => isActive(pod) && !names.has(pod.spec?.nodeName));
    const { create, remove: outdated } = daemonPlan(
      eligible.map((node) => ({
        name: node.metadata?.name ?? '',
        pods: podsOf(node)
          .filter((pod) => !isOver(pod))
          .map((pod) => ({ pod, ...stateOf(pod, set, hash) })),
      })),
      limitsOf(set, eligible.length),
    );
    const gone = [...eligible.flatMap(podsOf).filter(isOver), ...misplaced, ...outdated.map(({ pod }) => pod)];
    await Promise.all(gone.map((pod) => remove(context, pod)));
    await Promise.all(create.map((node) => client.create(PodKind, podFor(set, hash, node))));
  }
  return await writeStatus(context, set, hash, eligible.map(podsOf), owned);
}

function stateOf(pod: Pod, set: DaemonSet, hash: string): DaemonPod {
  return {
    current: pod.metadata?.labels?.[HASH_LABEL] === hash,
    available: isPodAvailable(pod, set.spec?.minReadySeconds ?? 0, Date.now()),
    leaving: !isActive(pod),
  };
}

function limitsOf(set: DaemonSet, nodes: number): DaemonLimits | undefined {
  const { type, rollingUpdate } = set.spec?.updateStrategy ?? {};
  if (type === 'OnDelete') return undefined;
  return {
    maxSurge: scaledValue(rollingUpdate?.maxSurge, nodes, 0, 'up'),
    maxUnavailable: scaledValue(rollingUpdate?.maxUnavailable, nodes, 1, 'up'),
  };
}

async function remove(context: ControllerContext, pod: Pod): Promise<void> {
  const { name = '', namespace = 'default', uid = '' } = pod.metadata ?? {};
  await context.client.delete(PodKind, name, { namespace, preconditions: { uid } }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}

function podFor(set: DaemonSet, hash: string, node: string): Pod {
  const template = set.spec!.template;
  return {
    metadata: {
      name: `${set.metadata?.name}-${randomSuffix()}`,
      namespace: set.metadata?.namespace ?? 'default',
      labels: { ...template.metadata?.labels, [HASH_LABEL]: hash },
      ...(template.metadata?.annotations && { annotations: template.metadata.annotations }),
      ownerReferences: [ownerReference(set, 'apps/v1', 'DaemonSet')],
    },
    spec: { ...template.spec, nodeName: node, tolerations: [...(template.spec.tolerations ?? []), ...TOLERATIONS] },
  };
}

/** `nodes`: the pods of every node that should run one. */
async function writeStatus(
  context: ControllerContext,
  set: DaemonSet,
  hash: string,
  nodes: readonly (readonly Pod[])[],
  owned: readonly Pod[],
): Promise<number | undefined> {
  const now = Date.now();
  const minReady = set.spec?.minReadySeconds ?? 0;
  const active = nodes.map((pods) => pods.filter(isActive)).filter((pods) => pods.length > 0);
  const available = active.filter((pods) => pods.some((pod) => isPodAvailable(pod, minReady, now)));
  const placed = new Set(active.flat());
  const status = {
    currentNumberScheduled: active.length,
    desiredNumberScheduled: nodes.length,
    numberMisscheduled: new Set(owned.filter((pod) => isActive(pod) && !placed.has(pod)).map((pod) => pod.spec?.nodeName)).size,
    numberReady: active.filter((pods) => pods.some(isPodReady)).length,
    numberAvailable: available.length,
    numberUnavailable: nodes.length - available.length,
    // a node where the old pod still runs beside the new one is not there yet
    updatedNumberScheduled: active.filter((pods) => pods.every((pod) => pod.metadata?.labels?.[HASH_LABEL] === hash)).length,
    observedGeneration: set.metadata?.generation ?? 0,
  };
  const same =
    (Object.keys(status) as (keyof typeof status)[]).every((key) => (set.status?.[key] ?? 0) === status[key]) && set.status !== undefined;
  if (!same)
    await context.client.patchStatus(
      DaemonSetKind,
      set.metadata?.name ?? '',
      { status },
      { namespace: set.metadata?.namespace ?? 'default' },
    );
  return active.flat().some((pod) => isPodReady(pod) && !isPodAvailable(pod, minReady, now)) ? Math.max(200, minReady * 250) : undefined;
}
