/** Conditions and times as the objects of the API carry them. */
import type { Condition } from '../platform/kubernetes/index.ts';

/** Where nodes keep their heartbeat. */
export const LEASE_NAMESPACE = 'kube-node-lease';

export const isConditionTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false;

/** Kubernetes timestamps have whole seconds. */
export const timestamp = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;
/** Leases and a few others carry microseconds. */
export const microTimestamp = (at: number): string => new Date(at).toISOString().replace('Z', '000Z');

/** Keeps `lastTransitionTime` of conditions whose status did not change. */
export function withTransitionTimes(next: readonly Condition[], previous: readonly Condition[] | undefined, now: string): Condition[] {
  return next.map((condition) => {
    const before = previous?.find(({ type }) => type === condition.type);
    const lastTransitionTime = before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
    return { ...condition, lastTransitionTime };
  });
}
