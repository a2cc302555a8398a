/** The status `kubectl rollout status` and `kubectl get deployments` read. Pure. */
import type { Condition, Deployment, ReplicaSet } from '../../platform/kubernetes/index.ts';
import { timestamp } from '../conditions.ts';
import { scaledValue } from './selectors.ts';

const DEFAULT_DEADLINE_S = 600;

export function deploymentStatus(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  sets: readonly ReplicaSet[],
  now: number,
): NonNullable<Deployment['status']> {
  const total = (pick: (status: NonNullable<ReplicaSet['status']>) => number | undefined): number =>
    sets.reduce((sum, set) => sum + (set.status === undefined ? 0 : (pick(set.status) ?? 0)), 0);
  const wanted = deployment.spec?.replicas ?? 1;
  const replicas = total((status) => status.replicas);
  const availableReplicas = total((status) => status.availableReplicas);
  const updatedReplicas = current?.status?.replicas ?? 0;
  const readyReplicas = total((status) => status.readyReplicas);
  const unavailableReplicas = Math.max(0, wanted - availableReplicas);
  const maxUnavailable = scaledValue(deployment.spec?.strategy?.rollingUpdate?.maxUnavailable, wanted, '25%', 'down');
  const isAvailable = availableReplicas >= wanted - maxUnavailable;
  const isComplete = updatedReplicas === wanted && replicas === wanted && availableReplicas === wanted;
  const before = deployment.status;
  const moved =
    before?.updatedReplicas !== updatedReplicas || before?.replicas !== replicas || before?.availableReplicas !== availableReplicas;

  const name = current?.metadata?.name;
  const available: Pick<Condition, 'type' | 'status' | 'reason' | 'message'> = isAvailable
    ? { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
  const conditions = [condition(available, before?.conditions, now, false)];
  const progress = before?.conditions?.find(({ type }) => type === 'Progressing');
  if (isComplete) {
    const done = {
      type: 'Progressing',
      status: 'True',
      reason: 'NewReplicaSetAvailable',
      message: `ReplicaSet "${name}" has successfully progressed.`,
    } as const;
    conditions.push(condition(done, before?.conditions, now, progress?.reason !== 'NewReplicaSetAvailable'));
  } else {
    const since = Date.parse(progress?.lastUpdateTime ?? timestamp(now));
    const expired =
      !moved &&
      progress !== undefined &&
      progress.reason !== 'NewReplicaSetAvailable' &&
      now - since > (deployment.spec?.progressDeadlineSeconds ?? DEFAULT_DEADLINE_S) * 1000;
    const next = expired
      ? ({
          type: 'Progressing',
          status: 'False',
          reason: 'ProgressDeadlineExceeded',
          message: `ReplicaSet "${name}" has timed out progressing.`,
        } as const)
      : ({ type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', message: `ReplicaSet "${name}" is progressing.` } as const);
    conditions.push(progress?.reason === 'ProgressDeadlineExceeded' && !moved ? progress : condition(next, before?.conditions, now, moved));
  }
  return {
    observedGeneration: deployment.metadata?.generation ?? 0,
    replicas,
    updatedReplicas,
    readyReplicas,
    availableReplicas,
    unavailableReplicas,
    conditions,
  };
}

function condition(
  next: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>,
  previous: readonly Condition[] | undefined,
  now: number,
  updated: boolean,
): Condition {
  const before = previous?.find(({ type }) => type === next.type);
  const at = timestamp(now);
  const same = before?.status === next.status;
  return {
    ...next,
    lastTransitionTime: same ? (before.lastTransitionTime ?? at) : at,
    lastUpdateTime: same && !updated && before.reason === next.reason ? (before.lastUpdateTime ?? at) : at,
  };
}
