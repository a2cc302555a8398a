/** Gives each pod a node: only nodes that fit, then the one with the fewest pods of the same owner, then the emptiest. */
import { isConflict, isNotFound, type Node, NodeKind, objectKey, type Pod, PodKind } from '../../platform/kubernetes/index.ts';
import { isConditionTrue, timestamp } from '../conditions.ts';
import { type ControllerContext, controllerOf, controllerQueue, isActive, readFresh } from './context.ts';
import { nodeRequirementMatches } from './selectors.ts';

/** A decision is remembered until the watch shows it, so that two pods in a row do not both see an empty node. */
const ASSUMED_MS = 10_000;
const RETRY_MS = 5_000;

export type Placement = { readonly ok: true; readonly node: string } | { readonly ok: false; readonly message: string };

export function choose(pod: Pod, nodes: readonly Node[], placed: readonly Pod[]): Placement {
  const reasons = new Map<string, number>();
  const fitting: Node[] = [];
  for (const node of nodes) {
    const reason = unfit(pod, node, placed);
    if (reason === undefined) fitting.push(node);
    else reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  if (fitting.length === 0) {
    const why = [...reasons].map(([reason, count]) => `${count} ${reason}`).join(', ');
    return { ok: false, message: `0/${nodes.length} nodes are available${why === '' ? '' : `: ${why}`}.` };
  }
  const owner = controllerOf(pod)?.uid;
  const score = (node: Node): readonly [number, number] => {
    const here = placed.filter(({ spec }) => spec?.nodeName === node.metadata?.name);
    return [owner === undefined ? 0 : here.filter((other) => controllerOf(other)?.uid === owner).length, here.length];
  };
  const ranked = fitting.map((node) => ({ name: node.metadata?.name ?? '', score: score(node) }));
  ranked.sort((a, b) => a.score[0] - b.score[0] || a.score[1] - b.score[1] || a.name.localeCompare(b.name));
  return { ok: true, node: ranked[0]!.name };
}

function unfit(pod: Pod, node: Node, placed: readonly Pod[]): string | undefined {
  if (!isConditionTrue(node.status?.conditions, 'Ready')) return 'node(s) were not ready';
  if (node.spec?.unschedulable === true && !tolerates(pod, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }))
    return 'node(s) were unschedulable';
  const taint = node.spec?.taints?.find((each) => each.effect !== 'PreferNoSchedule' && !tolerates(pod, each));
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  if (!matchesNode(pod, node)) return "node(s) didn't match Pod's node affinity/selector";
  const limit = Number(node.status?.allocatable?.['pods'] ?? Number.POSITIVE_INFINITY);
  if (placed.filter(({ spec }) => spec?.nodeName === node.metadata?.name).length >= limit) return 'Too many pods';
  return undefined;
}

export function matchesNode(pod: Pod, node: Node): boolean {
  const labels = node.metadata?.labels ?? {};
  for (const [key, value] of Object.entries(pod.spec?.nodeSelector ?? {})) if (labels[key] !== value) return false;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return true;
  const fields = { 'metadata.name': node.metadata?.name ?? '' };
  return terms.some(
    (term) =>
      (term.matchExpressions ?? []).every((each) => nodeRequirementMatches(each, labels)) &&
      (term.matchFields ?? []).every((each) => nodeRequirementMatches(each, fields)),
  );
}

export function tolerates(pod: Pod, taint: { readonly key: string; readonly value?: string; readonly effect: string }): boolean {
  return (pod.spec?.tolerations ?? []).some(
    ({ key, operator = 'Equal', value = '', effect }) =>
      (effect === undefined || effect === '' || effect === taint.effect) &&
      (operator === 'Exists' ? key === undefined || key === '' || key === taint.key : key === taint.key && value === (taint.value ?? '')),
  );
}

export function startScheduler(context: ControllerContext): void {
  const pods = context.informer(PodKind);
  const nodes = context.informer(NodeKind);
  const assumed = new Map<string, { readonly node: string; readonly at: number }>();
  const waiting = (pod: Pod): boolean =>
    (pod.spec?.nodeName ?? '') === '' && isActive(pod) && (pod.spec?.schedulerName ?? 'default-scheduler') === 'default-scheduler';

  const queue = controllerQueue(
    context,
    'scheduler',
    async (namespace, name) => {
      const pod = await readFresh(context.client, PodKind, namespace, name);
      if (pod === undefined || !waiting(pod)) return undefined;
      await Promise.all([pods.synced, nodes.synced]);
      const now = Date.now();
      for (const [uid, { at }] of assumed) if (now - at > ASSUMED_MS) assumed.delete(uid);
      const placed: Pod[] = [];
      for (const each of pods.all()) {
        const node = each.spec?.nodeName || assumed.get(each.metadata?.uid ?? '')?.node;
        if (node !== undefined && isActive(each)) placed.push({ ...each, spec: { ...each.spec!, nodeName: node } });
      }
      const decision = choose(pod, [...nodes.all()], placed);
      if (!decision.ok) {
        await markUnschedulable(context, pod, decision.message);
        return RETRY_MS;
      }
      await bind(context, pod, decision.node);
      assumed.set(pod.metadata?.uid ?? '', { node: decision.node, at: now });
      context.events.pod(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${decision.node}`);
      return undefined;
    },
    1,
  );
  const add = (pod: Pod): void => {
    if (waiting(pod)) queue.add(objectKey(pod));
  };
  pods.addHandlers({ onAdd: add, onUpdate: add });
  const again = (): void => {
    for (const pod of pods.all()) add(pod);
  };
  const signature = (node: Node): string =>
    JSON.stringify([node.spec, node.metadata?.labels, isConditionTrue(node.status?.conditions, 'Ready')]);
  nodes.addHandlers({
    onAdd: again,
    onUpdate: (node, before) => {
      if (signature(node) !== signature(before)) again();
    },
  });
}

async function bind(context: ControllerContext, pod: Pod, node: string): Promise<void> {
  const { name = '', namespace = 'default', uid } = pod.metadata ?? {};
  try {
    await context.client.raw(`${context.client.path(PodKind, { namespace, name })}/binding`, {
      method: 'POST',
      body: {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, uid },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      },
    });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error; // deleted or bound meanwhile
  }
}

async function markUnschedulable(context: ControllerContext, pod: Pod, message: string): Promise<void> {
  const before = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  context.events.pod(pod, 'Warning', 'FailedScheduling', message);
  if (before?.status === 'False' && before.message === message) return;
  const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: timestamp(Date.now()) };
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled');
  await context.client.patchStatus(
    PodKind,
    pod.metadata?.name ?? '',
    { status: { phase: 'Pending', conditions: [...others, condition] } },
    { namespace: pod.metadata?.namespace ?? 'default' },
  );
}
