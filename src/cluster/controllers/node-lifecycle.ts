/** Nodes whose heartbeat stops become NotReady, and so do their pods; pods of nodes that are gone are removed. */
import { isNotFound, LeaseKind, type Node, NodeKind, objectKey, type Pod, PodKind } from '../../platform/kubernetes/index.ts';
import { isConditionTrue, LEASE_NAMESPACE, timestamp } from '../conditions.ts';
import { messageOf } from '../error.ts';
import type { ControllerContext } from './context.ts';

const CHECK_MS = 2_000;
/** Kubernetes waits 40 s; the embedded nodes renew every 3 s. */
export const GRACE_MS = 15_000;
/** A pod of a node that does not exist waits this long, in case the node is only being registered again. */
const ORPHAN_MS = 20_000;

export function startNodeLifecycle(context: ControllerContext): void {
  const nodes = context.informer(NodeKind);
  const leases = context.informer(LeaseKind);
  const pods = context.informer(PodKind);
  /** When this process saw the lease change: clocks and outages of the API server do not matter. */
  const seen = new Map<string, { readonly renewTime: string; readonly at: number }>();
  const orphanSince = new Map<string, number>();

  const check = async (): Promise<void> => {
    const now = Date.now();
    for (const node of nodes.all()) {
      const name = node.metadata?.name ?? '';
      const renewTime = leases.get(LEASE_NAMESPACE, name)?.spec?.renewTime ?? '';
      const before = seen.get(name);
      if (before === undefined || before.renewTime !== renewTime) seen.set(name, { renewTime, at: now });
      else if (now - before.at > GRACE_MS && isReadyOrKnown(node)) await markLost(context, node, pods.all());
    }
    for (const name of seen.keys()) if (nodes.get('', name) === undefined) seen.delete(name);
    await removeOrphans(context, [...pods.all()], (name) => nodes.get('', name) !== undefined, orphanSince, now);
  };

  const loop = async (): Promise<void> => {
    await Promise.all([nodes.synced, leases.synced, pods.synced]);
    while (!context.signal.aborted) {
      try {
        await check();
      } catch (error) {
        // The API server was away: nobody could renew, so everybody gets a new period.
        seen.clear();
        context.log.debug('node check failed', { error: messageOf(error) });
      }
      await Bun.sleep(CHECK_MS);
    }
  };
  void loop().catch(() => {}); // ended before the first list
}

const isReadyOrKnown = (node: Node): boolean => node.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'Unknown';

async function markLost(context: ControllerContext, node: Node, pods: Iterable<Pod>): Promise<void> {
  const name = node.metadata?.name ?? '';
  const at = timestamp(Date.now());
  context.log.warn('node stopped sending heartbeats', { node: name });
  const conditions = (node.status?.conditions ?? []).map((condition) => ({
    ...condition,
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
    message: 'The node runtime stopped posting node status.',
    lastTransitionTime: condition.status === 'Unknown' ? condition.lastTransitionTime : at,
  }));
  await context.client.patchStatus(NodeKind, name, { status: { conditions } });
  for (const pod of pods) {
    if (pod.spec?.nodeName !== name || !isConditionTrue(pod.status?.conditions, 'Ready')) continue;
    const changed = (pod.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, status: 'False', reason: 'NodeNotReady', lastTransitionTime: at } : condition,
    );
    await context.client
      .patchStatus(
        PodKind,
        pod.metadata?.name ?? '',
        { status: { conditions: changed } },
        { namespace: pod.metadata?.namespace ?? 'default' },
      )
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }
}

async function removeOrphans(
  context: ControllerContext,
  pods: readonly Pod[],
  exists: (node: string) => boolean,
  since: Map<string, number>,
  now: number,
): Promise<void> {
  const present = new Set<string>();
  for (const pod of pods) {
    const node = pod.spec?.nodeName ?? '';
    if (node === '' || exists(node)) continue;
    const uid = pod.metadata?.uid ?? '';
    present.add(uid);
    const first = since.get(uid) ?? now;
    since.set(uid, first);
    if (now - first < ORPHAN_MS) continue;
    context.log.info('pod of a node that is gone removed', { pod: objectKey(pod), node });
    await context.client
      .delete(PodKind, pod.metadata?.name ?? '', {
        namespace: pod.metadata?.namespace ?? 'default',
        gracePeriodSeconds: 0,
        preconditions: { uid },
      })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }
  for (const uid of since.keys()) if (!present.has(uid)) since.delete(uid);
}
