/** How a rolling update goes on: from what there is to the next counts. Pure. */
export interface RolloutInput {
  readonly replicas: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  readonly current: { readonly desired: number; readonly available: number };
  /** Oldest first. */
  readonly old: readonly { readonly desired: number; readonly available: number }[];
}
export interface RolloutStep {
  readonly current: number;
  readonly old: readonly number[];
}

const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);

/** New pods up to replicas + maxSurge in total; old pods down as long as replicas − maxUnavailable stay available. */
export function rolloutStep(input: RolloutInput): RolloutStep {
  const { replicas, current, old } = input;
  // Both zero would stand still for ever: Kubernetes then takes maxUnavailable for 1.
  const maxUnavailable = input.maxSurge === 0 && input.maxUnavailable === 0 ? 1 : input.maxUnavailable;
  const oldDesired = sum(old.map(({ desired }) => desired));
  const room = replicas + input.maxSurge - (current.desired + oldDesired);
  const next = current.desired > replicas ? replicas : Math.min(replicas, current.desired + Math.max(0, room));

  const minAvailable = replicas - maxUnavailable;
  const newUnavailable = Math.max(0, next - current.available);
  let removable = Math.max(0, next + oldDesired - minAvailable - newUnavailable);
  const result = old.map(({ desired }) => desired);
  // Unhealthy old pods first: taking them away costs nothing.
  for (const [index, each] of old.entries()) {
    const take = Math.min(removable, Math.max(0, each.desired - each.available));
    result[index] = result[index]! - take;
    removable -= take;
  }
  let spare = Math.max(0, Math.min(removable, sum(old.map(({ available }) => available)) + current.available - minAvailable));
  for (const index of old.keys()) {
    const take = Math.min(spare, result[index]!);
    result[index] = result[index]! - take;
    spare -= take;
  }
  return { current: next, old: result };
}
