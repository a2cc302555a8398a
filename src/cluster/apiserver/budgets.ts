import { matchesLabelSelector, type Pod, type PodDisruptionBudget } from '../../platform/kubernetes/kinds/index.ts';
import type { Context } from './context.ts';
import { Refusal } from './errors.ts';
import { clone } from './json.ts';
import { replace, type WriteOptions } from './operations.ts';
import type { Entry } from './store.ts';

const BUDGETS = 'policy/poddisruptionbudgets';

/**
 * Takes one disruption from the budget of a pod that is to be evicted. Throws 429 when none is left, which `kubectl drain` tries again.
 * Pods that do not run, or that are not ready while enough others are, cost nothing.
 */
export function spendBudget(context: Context, entry: Entry, options: WriteOptions): void {
  const pod = entry.object as unknown as Pod; // checked against the Pod schema when it was stored
  if (pod.metadata.deletionTimestamp !== undefined || pod.status?.phase !== 'Running') return;
  const found = context.store.list(BUDGETS, entry.namespace).filter((candidate) => {
    const budget = candidate.object as unknown as PodDisruptionBudget;
    return matchesLabelSelector(budget.spec?.selector, pod.metadata.labels);
  });
  const first = found[0];
  if (first === undefined) return;
  if (found.length > 1)
    throw new Refusal(
      500,
      'InternalError',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  const { spec, status, metadata } = first.object as unknown as PodDisruptionBudget;
  const isReady = pod.status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  if (!isReady && (spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow' || (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 1)))
    return;
  const isCurrent = (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
  if (!isCurrent || (status?.disruptionsAllowed ?? 0) < 1) {
    const detail = isCurrent
      ? `The disruption budget ${first.name} needs ${status?.desiredHealthy ?? 0} healthy pods and has ${status?.currentHealthy ?? 0} currently`
      : `The disruption budget ${first.name} is still being processed by the server.`;
    throw new Refusal(429, 'TooManyRequests', "Cannot evict pod as it would violate the pod's disruption budget.", {
      causes: [{ reason: 'DisruptionBudget', message: detail, field: '' }],
    });
  }
  if (options.dryRun) return;
  const next = clone(first.object);
  next['status'] = { ...status, disruptionsAllowed: (status?.disruptionsAllowed ?? 0) - 1 };
  const type = context.types.byKey(BUDGETS)!;
  replace(context, type, type.version, first, next, { ...options, subresource: 'status' });
}
