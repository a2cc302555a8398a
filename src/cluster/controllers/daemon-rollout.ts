/** Which daemon pods to make and to take away, node by node. Pure. */
export interface DaemonPod {
  /** Of the current template. */
  readonly current: boolean;
  /** Ready for at least minReadySeconds. */
  readonly available: boolean;
  /** Being deleted, or ended: it still holds its place until it is gone. */
  readonly leaving: boolean;
}
export interface DaemonNode<P extends DaemonPod> {
  readonly name: string;
  readonly pods: readonly P[];
}
export interface DaemonLimits {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}
export interface DaemonPlan<P extends DaemonPod> {
  /** Nodes that get a pod of the current template. */
  readonly create: readonly string[];
  readonly remove: readonly P[];
}

/**
 * With a surge, a node gets its new pod beside the old one, on at most maxSurge nodes at a time, and the old one goes when the new one is available.
 * Without, the old pod goes first, on as many nodes as may be without an available pod. Undefined limits (OnDelete) leave old pods alone.
 */
export function daemonPlan<P extends DaemonPod>(nodes: readonly DaemonNode<P>[], limits: DaemonLimits | undefined): DaemonPlan<P> {
  const maxSurge = limits?.maxSurge ?? 0;
  // Both zero would stand still for ever: Kubernetes then takes maxUnavailable for 1.
  const maxUnavailable = maxSurge === 0 ? Math.max(1, limits?.maxUnavailable ?? 0) : (limits?.maxUnavailable ?? 0);
  const create: string[] = [];
  const remove: P[] = [];
  const outdated: { name: string; old: P; surges: boolean }[] = [];
  let unavailable = 0;
  for (const { name, pods } of nodes) {
    const active = pods.filter((pod) => !pod.leaving);
    const next = keepBest(
      active.filter((pod) => pod.current),
      remove,
    );
    const old = keepBest(
      active.filter((pod) => !pod.current),
      remove,
    );
    if (!active.some((pod) => pod.available)) unavailable++;
    if (old === undefined) {
      // Without a surge the pod that goes has to be gone: two of one daemon would fight over the node's ports.
      if (next === undefined && (pods.length === 0 || maxSurge > 0)) create.push(name);
    } else if (next?.available === true) remove.push(old);
    else if (limits === undefined) {
      if (next !== undefined) remove.push(next);
    } else outdated.push({ name, old, surges: next !== undefined });
  }
  let surging = outdated.filter(({ surges }) => surges).length;
  for (const { name, old, surges } of outdated) {
    if (maxSurge > 0) {
      if (surges) continue;
      // a node whose old pod serves nobody need not wait for its turn
      if (old.available && surging >= maxSurge) continue;
      create.push(name);
      surging++;
    } else if (!old.available) remove.push(old);
    else if (unavailable < maxUnavailable) {
      remove.push(old);
      unavailable++;
    }
  }
  return { create, remove };
}

/** The pod that is furthest along; the others of its kind on the node go. */
function keepBest<P extends DaemonPod>(pods: readonly P[], remove: P[]): P | undefined {
  const [kept, ...others] = pods.toSorted((a, b) => Number(b.available) - Number(a.available));
  remove.push(...others);
  return kept;
}
