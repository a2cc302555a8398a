/** DaemonSets: one pod on every node that fits, exchanged a few at a time when the template changes. */
import { isNotFound } from '../../platform/kubernetes/index.ts';
import { DAEMON_SETS, type DaemonSet, NODES, type Node, PODS, type Pod } from '../kinds/index.ts';
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
import { matchesNode, tolerates } from './scheduler.ts';
import { randomSuffix, scaledValue, selectorText, templateHash } from './selectors.ts';

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
  const sets = context.informer(DAEMON_SETS);
  const queue = controllerQueue(context, 'daemonset', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(sets, queue);
  enqueueOwner(context.informer(PODS), 'DaemonSet', queue);
  const all = (): void => {
    for (const set of sets.all()) queue.add(`${set.metadata?.namespace}/${set.metadata?.name}`);
  };
  const signature = (node: Node): string => JSON.stringify([node.spec?.taints, node.spec?.unschedulable, node.metadata?.labels]);
  context.informer(NODES).addHandlers({
    onAdd: all,
    onDelete: all,
    onUpdate: (node, before) => {
      if (signature(node) !== signature(before)) all();
    },
  });
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<number | undefined> {
  const { client } = context;
  const set = await readFresh(client, DAEMON_SETS, namespace, name);
  if (set?.spec === undefined) return undefined;
  const [nodes, listed] = await Promise.all([
    client.listAll(NODES),
    client.listAll(PODS, { namespace, labelSelector: selectorText(set.spec.selector) }),
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

  if (set.metadata?.deletionTimestamp === undefined) {
    for (const node of eligible) {
      const here = byNode.get(node.metadata?.name ?? '') ?? [];
      const ended = here.filter((pod) => !isActive(pod) && pod.metadata?.deletionTimestamp === undefined);
      await Promise.all(ended.map((pod) => remove(context, pod)));
      // The old pod has to be gone: two of one daemon on a node would fight over its ports.
      if (here.length === ended.length) await client.create(PODS, podFor(set, hash, node.metadata?.name ?? ''));
      const surplus = here.filter(isActive).slice(1);
      await Promise.all(surplus.map((pod) => remove(context, pod)));
    }
    const names = new Set(eligible.map((node) => node.metadata?.name));
    for (const pod of owned) if (isActive(pod) && !names.has(pod.spec?.nodeName)) await remove(context, pod);
    if (set.spec.updateStrategy?.type !== 'OnDelete') await exchange(context, set, hash, owned, eligible.length);
  }
  return await writeStatus(context, set, hash, eligible, byNode);
}

/** Takes away old pods as long as no more than maxUnavailable nodes are without a ready one. */
async function exchange(context: ControllerContext, set: DaemonSet, hash: string, owned: readonly Pod[], nodes: number): Promise<void> {
  const outdated = owned.filter((pod) => isActive(pod) && pod.metadata?.labels?.[HASH_LABEL] !== hash);
  if (outdated.length === 0) return;
  const allowed = Math.max(1, scaledValue(set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable, nodes, 1, 'up'));
  const ready = owned.filter((pod) => isActive(pod) && isPodReady(pod)).length;
  let room = Math.max(0, allowed - (nodes - ready));
  for (const pod of outdated) {
    const free = !isPodReady(pod);
    if (!free && room-- <= 0) continue;
    await remove(context, pod);
  }
}

async function remove(context: ControllerContext, pod: Pod): Promise<void> {
  const { name = '', namespace = 'default', uid = '' } = pod.metadata ?? {};
  await context.client.delete(PODS, name, { namespace, preconditions: { uid } }).catch((error: unknown) => {
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

async function writeStatus(
  context: ControllerContext,
  set: DaemonSet,
  hash: string,
  eligible: readonly Node[],
  byNode: ReadonlyMap<string, readonly Pod[]>,
): Promise<number | undefined> {
  const now = Date.now();
  const minReady = set.spec?.minReadySeconds ?? 0;
  const active = eligible.map((node) => (byNode.get(node.metadata?.name ?? '') ?? []).find(isActive)).filter((pod) => pod !== undefined);
  const available = active.filter((pod) => isPodAvailable(pod, minReady, now));
  const names = new Set(eligible.map((node) => node.metadata?.name ?? ''));
  const status = {
    currentNumberScheduled: active.length,
    desiredNumberScheduled: eligible.length,
    numberMisscheduled: [...byNode].filter(([node, pods]) => !names.has(node) && pods.some(isActive)).length,
    numberReady: active.filter(isPodReady).length,
    numberAvailable: available.length,
    numberUnavailable: eligible.length - available.length,
    updatedNumberScheduled: active.filter((pod) => pod.metadata?.labels?.[HASH_LABEL] === hash).length,
    observedGeneration: set.metadata?.generation ?? 0,
  };
  const same =
    (Object.keys(status) as (keyof typeof status)[]).every((key) => (set.status?.[key] ?? 0) === status[key]) && set.status !== undefined;
  if (!same)
    await context.client.patchStatus(
      DAEMON_SETS,
      set.metadata?.name ?? '',
      { status },
      { namespace: set.metadata?.namespace ?? 'default' },
    );
  return active.some((pod) => isPodReady(pod) && !available.includes(pod)) ? Math.max(200, minReady * 250) : undefined;
}
