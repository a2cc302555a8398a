/** ReplicaSets: as many pods as asked for. */
import {
  isNotFound,
  labelSelectorString,
  matchesLabelSelector,
  type Pod,
  PodKind,
  type ReplicaSet,
  ReplicaSetKind,
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
import { randomSuffix } from './selectors.ts';

/** Pods made in one go, as the real controller's burst. */
const BURST = 100;

export function startReplicaSets(context: ControllerContext): void {
  const queue = controllerQueue(context, 'replicaset', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(context.informer(ReplicaSetKind), queue);
  enqueueOwner(context.informer(PodKind), 'ReplicaSet', queue);
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<number | undefined> {
  const { client } = context;
  // Read fresh, not from the watch: acting on an old list would make pods twice.
  const set = await readFresh(client, ReplicaSetKind, namespace, name);
  if (set?.spec === undefined) return undefined;
  const listed = await client.listAll(PodKind, { namespace, labelSelector: labelSelectorString(set.spec.selector) });
  const owned = listed.items.filter((pod) => isOwnedBy(pod, set) && isActive(pod));
  const wanted = set.spec.replicas ?? 1;
  if (set.metadata?.deletionTimestamp === undefined) {
    if (owned.length < wanted) {
      const count = Math.min(BURST, wanted - owned.length);
      const made = await Promise.all(Array.from({ length: count }, () => client.create(PodKind, podFrom(set), { namespace })));
      for (const pod of made) context.events.pod(pod, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata?.name}`);
      owned.push(...made);
    } else if (owned.length > wanted) {
      const surplus = [...owned].sort(byUsefulness).slice(0, owned.length - wanted);
      await Promise.all(
        surplus.map((pod) =>
          client
            .delete(PodKind, pod.metadata?.name ?? '', { namespace, preconditions: { uid: pod.metadata?.uid ?? '' } })
            .catch((error: unknown) => {
              if (!isNotFound(error)) throw error;
            }),
        ),
      );
      for (const pod of surplus) owned.splice(owned.indexOf(pod), 1);
    }
  }
  return await writeStatus(context, set, owned);
}

export function podFrom(set: ReplicaSet): Pod {
  const template = set.spec!.template;
  return {
    metadata: {
      name: `${set.metadata?.name}-${randomSuffix()}`,
      namespace: set.metadata?.namespace ?? 'default',
      ...(template.metadata?.labels && { labels: template.metadata.labels }),
      ...(template.metadata?.annotations && { annotations: template.metadata.annotations }),
      ...(template.metadata?.finalizers && { finalizers: template.metadata.finalizers }),
      ownerReferences: [ownerReference(set, 'apps/v1', 'ReplicaSet')],
    },
    spec: template.spec,
  };
}

/** Those that are missed least come first: without a node, pending, not ready, youngest. */
function byUsefulness(a: Pod, b: Pod): number {
  const rank = (pod: Pod): number => (pod.spec?.nodeName === undefined ? 0 : pod.status?.phase !== 'Running' ? 1 : isPodReady(pod) ? 3 : 2);
  return rank(a) - rank(b) || (b.metadata?.creationTimestamp ?? '').localeCompare(a.metadata?.creationTimestamp ?? '');
}

async function writeStatus(context: ControllerContext, set: ReplicaSet, pods: readonly Pod[]): Promise<number | undefined> {
  const now = Date.now();
  const minReady = set.spec?.minReadySeconds ?? 0;
  const ready = pods.filter(isPodReady);
  const available = ready.filter((pod) => isPodAvailable(pod, minReady, now));
  const status = {
    replicas: pods.length,
    fullyLabeledReplicas: pods.filter((pod) =>
      matchesLabelSelector({ matchLabels: set.spec?.template.metadata?.labels ?? {} }, pod.metadata?.labels),
    ).length,
    readyReplicas: ready.length,
    availableReplicas: available.length,
    observedGeneration: set.metadata?.generation ?? 0,
  };
  const before = set.status;
  const same = (Object.keys(status) as (keyof typeof status)[]).every((key) => (before?.[key] ?? 0) === status[key]);
  if (!same)
    await context.client.patchStatus(
      ReplicaSetKind,
      set.metadata?.name ?? '',
      { status },
      { namespace: set.metadata?.namespace ?? 'default' },
    );
  return ready.length > available.length ? Math.max(200, (minReady * 1000) / 4) : undefined;
}
