/** Deployments: one ReplicaSet per version of the template, exchanged step by step. */
import {
  type Deployment,
  DeploymentKind,
  isAlreadyExists,
  isNotFound,
  labelSelectorString,
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
  ownerReference,
  readFresh,
} from './context.ts';
import { deploymentStatus } from './deployment-status.ts';
import { rolloutStep } from './rollout.ts';
import { canonicalJson, scaledValue, templateHash } from './selectors.ts';

const HASH_LABEL = 'pod-template-hash';
const REVISION = 'deployment.kubernetes.io/revision';
const DESIRED = 'deployment.kubernetes.io/desired-replicas';
const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
const DEFAULT_HISTORY = 10;
/** Annotations that describe an apply, not the workload. */
const NOT_COPIED = ['kubectl.kubernetes.io/last-applied-configuration', REVISION, DESIRED, MAX_REPLICAS];

export function startDeployments(context: ControllerContext): void {
  const queue = controllerQueue(context, 'deployment', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(context.informer(DeploymentKind), queue);
  enqueueOwner(context.informer(ReplicaSetKind), 'Deployment', queue);
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<number | undefined> {
  const { client } = context;
  const deployment = await readFresh(client, DeploymentKind, namespace, name);
  if (deployment?.spec === undefined || deployment.metadata?.deletionTimestamp !== undefined) return undefined;
  const listed = await client.listAll(ReplicaSetKind, { namespace, labelSelector: labelSelectorString(deployment.spec.selector) });
  const sets = listed.items.filter((set) => isOwnedBy(set, deployment));
  const hash = templateHash(deployment.spec.template);
  const old = sets.filter((set) => set.metadata?.labels?.[HASH_LABEL] !== hash).sort(byRevision);
  let current = sets.find((set) => set.metadata?.labels?.[HASH_LABEL] === hash);
  const replicas = deployment.spec.replicas ?? 1;
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;

  if (deployment.spec.paused !== true) {
    if (current === undefined) current = await createSet(context, deployment, hash, revision);
    else if (revisionOf(current) < revision) current = await annotate(context, current, { [REVISION]: String(revision) });
    if (String(revisionOf(current)) !== deployment.metadata?.annotations?.[REVISION]) {
      await client.patch(DeploymentKind, name, { metadata: { annotations: { [REVISION]: String(revisionOf(current)) } } }, { namespace });
    }
    await roll(context, deployment, current, old, replicas);
    await trimHistory(context, deployment, old);
  } else if (current !== undefined) await scale(context, deployment, current, Math.max(0, replicas - desired(old)));

  const fresh = (
    await client.listAll(ReplicaSetKind, { namespace, labelSelector: labelSelectorString(deployment.spec.selector) })
  ).items.filter((set) => isOwnedBy(set, deployment));
  const status = deploymentStatus(
    deployment,
    fresh.find((set) => set.metadata?.labels?.[HASH_LABEL] === hash),
    fresh,
    Date.now(),
  );
  if (canonicalJson(status) !== canonicalJson(deployment.status ?? {}))
    await client.patchStatus(DeploymentKind, name, { status }, { namespace });
  const progressing = status.conditions?.find(({ type }) => type === 'Progressing');
  return progressing?.reason === 'ReplicaSetUpdated' || progressing?.reason === 'NewReplicaSetCreated' ? 5_000 : undefined;
}

const revisionOf = (set: ReplicaSet): number => Number(set.metadata?.annotations?.[REVISION] ?? 0);
const byRevision = (a: ReplicaSet, b: ReplicaSet): number => revisionOf(a) - revisionOf(b);
const desired = (sets: readonly ReplicaSet[]): number => sets.reduce((total, set) => total + (set.spec?.replicas ?? 0), 0);

async function roll(
  context: ControllerContext,
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
  replicas: number,
): Promise<void> {
  const { type, rollingUpdate } = deployment.spec?.strategy ?? {};
  if (type === 'Recreate') {
    for (const set of old) await scale(context, deployment, set, 0);
    if (await hasPods(context, deployment, old)) return; // looked at again when the ReplicaSets' status changes
    await scale(context, deployment, current, replicas);
    return;
  }
  const counts = (set: ReplicaSet) => ({
    desired: set.spec?.replicas ?? 0,
    available: Math.min(set.spec?.replicas ?? 0, set.status?.availableReplicas ?? 0),
  });
  const step = rolloutStep({
    replicas,
    maxSurge: scaledValue(rollingUpdate?.maxSurge, replicas, '25%', 'up'),
    maxUnavailable: scaledValue(rollingUpdate?.maxUnavailable, replicas, '25%', 'down'),
    current: counts(current),
    old: old.map(counts),
  });
  await scale(context, deployment, current, step.current);
  for (const [index, set] of old.entries()) await scale(context, deployment, set, step.old[index] ?? 0);
}

async function hasPods(context: ControllerContext, deployment: Deployment, sets: readonly ReplicaSet[]): Promise<boolean> {
  if (sets.length === 0) return false;
  const pods = await context.client.listAll(PodKind, {
    namespace: deployment.metadata?.namespace ?? 'default',
    labelSelector: labelSelectorString(deployment.spec?.selector),
  });
  return pods.items.some(
    (pod) => sets.some((set) => isOwnedBy(pod, set)) && (isActive(pod) || pod.metadata?.deletionTimestamp !== undefined),
  );
}

function ownAnnotations(deployment: Deployment, replicas: number): Record<string, string> {
  const copied = Object.entries(deployment.metadata?.annotations ?? {}).filter(([key]) => !NOT_COPIED.includes(key));
  const surge = scaledValue(deployment.spec?.strategy?.rollingUpdate?.maxSurge, replicas, '25%', 'up');
  return { ...Object.fromEntries(copied), [DESIRED]: String(replicas), [MAX_REPLICAS]: String(replicas + surge) };
}

async function createSet(context: ControllerContext, deployment: Deployment, hash: string, revision: number): Promise<ReplicaSet> {
  const { metadata, spec } = deployment;
  const namespace = metadata?.namespace ?? 'default';
  const { template, selector } = spec!;
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  const set: ReplicaSet = {
    metadata: {
      name: `${metadata?.name}-${hash}`,
      namespace,
      labels,
      annotations: { ...ownAnnotations(deployment, spec?.replicas ?? 1), [REVISION]: String(revision) },
      ownerReferences: [ownerReference(deployment, 'apps/v1', 'Deployment')],
    },
    spec: {
      replicas: 0,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(spec?.minReadySeconds !== undefined && { minReadySeconds: spec.minReadySeconds }),
    },
  };
  try {
    return await context.client.create(ReplicaSetKind, set);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return await context.client.get(ReplicaSetKind, set.metadata!.name!, { namespace });
  }
}

async function annotate(context: ControllerContext, set: ReplicaSet, annotations: Record<string, string>): Promise<ReplicaSet> {
  return await context.client.patch(
    ReplicaSetKind,
    set.metadata?.name ?? '',
    { metadata: { annotations } },
    { namespace: set.metadata?.namespace ?? 'default' },
  );
}

async function scale(context: ControllerContext, deployment: Deployment, set: ReplicaSet, replicas: number): Promise<void> {
  if ((set.spec?.replicas ?? 0) === replicas) return;
  await context.client.patch(
    ReplicaSetKind,
    set.metadata?.name ?? '',
    { metadata: { annotations: ownAnnotations(deployment, deployment.spec?.replicas ?? 1) }, spec: { replicas } },
    { namespace: set.metadata?.namespace ?? 'default' },
  );
}

async function trimHistory(context: ControllerContext, deployment: Deployment, old: readonly ReplicaSet[]): Promise<void> {
  const limit = deployment.spec?.revisionHistoryLimit ?? DEFAULT_HISTORY;
  const idle = old.filter((set) => (set.spec?.replicas ?? 0) === 0 && (set.status?.replicas ?? 0) === 0);
  for (const set of idle.slice(0, Math.max(0, idle.length - limit))) {
    await context.client
      .delete(ReplicaSetKind, set.metadata?.name ?? '', { namespace: set.metadata?.namespace ?? 'default' })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }
}
