/** PodDisruptionBudgets: how many of their pods may go now. The API server refuses evictions beyond that. */
import {
  type Deployment,
  DeploymentKind,
  matchesLabelSelector,
  objectKey,
  type Pod,
  type PodDisruptionBudget,
  PodDisruptionBudgetKind,
  PodKind,
  type ReplicaSet,
  ReplicaSetKind,
} from '../../platform/kubernetes/index.ts';
import { timestamp, withTransitionTimes } from '../conditions.ts';
import { type ControllerContext, controllerOf, controllerQueue, enqueueAll, isActive, isPodReady, readFresh } from './context.ts';
import { canonicalJson, scaledValue } from './selectors.ts';

export function startDisruptionBudgets(context: ControllerContext): void {
  const budgets = context.informer(PodDisruptionBudgetKind);
  const pods = context.informer(PodKind);
  const sets = context.informer(ReplicaSetKind);
  const deployments = context.informer(DeploymentKind);
  const queue = controllerQueue(context, 'disruption', async (namespace, name) => {
    await Promise.all([pods.synced, sets.synced, deployments.synced]);
    const budget = await readFresh(context.client, PodDisruptionBudgetKind, namespace, name);
    if (budget?.spec === undefined || budget.metadata?.deletionTimestamp !== undefined) return undefined;
    const chosen = [...pods.inNamespace(namespace)].filter(
      (pod) => isActive(pod) && matchesLabelSelector(budget.spec?.selector, pod.metadata?.labels),
    );
    const expected = expectedPods(
      chosen,
      (set) => sets.get(namespace, set),
      (deployment) => deployments.get(namespace, deployment),
    );
    const status = budgetStatus(budget, chosen, expected, Date.now());
    if (canonicalJson(status) !== canonicalJson(budget.status ?? {}))
      await context.client.patchStatus(PodDisruptionBudgetKind, name, { status }, { namespace });
    return undefined;
  });
  enqueueAll(budgets, queue);
  const podChanged = (pod: Pod, before?: Pod): void => {
    for (const budget of budgets.inNamespace(pod.metadata?.namespace ?? 'default')) {
      const matches = (each: Pod | undefined) => each !== undefined && matchesLabelSelector(budget.spec?.selector, each.metadata?.labels);
      if (matches(pod) || matches(before)) queue.add(objectKey(budget));
    }
  };
  pods.addHandlers({ onAdd: podChanged, onUpdate: podChanged, onDelete: podChanged });
  // a scaled Deployment changes how many are expected before any pod changes
  deployments.addHandlers({
    onUpdate: (deployment, before) => {
      if (deployment.spec?.replicas === before?.spec?.replicas) return;
      for (const budget of budgets.inNamespace(deployment.metadata?.namespace ?? 'default')) queue.add(objectKey(budget));
    },
  });
}

/** The pods that their controllers want; a pod without one counts for itself. */
export function expectedPods(
  pods: readonly Pod[],
  setOf: (name: string) => ReplicaSet | undefined,
  deploymentOf: (name: string) => Deployment | undefined,
): number {
  const wanted = new Map<string, number>();
  for (const pod of pods) {
    const set = controllerOf(pod)?.kind === 'ReplicaSet' ? setOf(controllerOf(pod)!.name) : undefined;
    const owner = set === undefined ? undefined : controllerOf(set);
    const deployment = owner?.kind === 'Deployment' ? deploymentOf(owner.name) : undefined;
    const counted = deployment ?? set;
    wanted.set(counted?.metadata?.uid ?? pod.metadata?.uid ?? '', counted?.spec?.replicas ?? 1);
  }
  return [...wanted.values()].reduce((sum, count) => sum + count, 0);
}

/** `policy/v1` PodDisruptionBudgetStatus for the active pods of a budget. Pure. */
export function budgetStatus(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  expected: number,
  now: number,
): NonNullable<PodDisruptionBudget['status']> {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  const desiredHealthy =
    maxUnavailable === undefined
      ? scaledValue(minAvailable, expected, 1, 'up')
      : Math.max(0, expected - scaledValue(maxUnavailable, expected, 0, 'up'));
  const currentHealthy = pods.filter(isPodReady).length;
  const disruptionsAllowed = expected === 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  const condition = {
    type: 'DisruptionAllowed',
    status: disruptionsAllowed > 0 ? 'True' : 'False',
    reason: disruptionsAllowed > 0 ? 'SufficientPods' : 'InsufficientPods',
    message: '',
    observedGeneration: budget.metadata?.generation ?? 0,
  };
  return {
    observedGeneration: budget.metadata?.generation ?? 0,
    expectedPods: expected,
    desiredHealthy,
    currentHealthy,
    disruptionsAllowed,
    conditions: withTransitionTimes([condition], budget.status?.conditions, timestamp(now)),
  };
}
