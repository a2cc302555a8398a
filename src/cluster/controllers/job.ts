/** Jobs: pods that have to end well a number of times. */
import { isNotFound, type Job, JobKind, type Pod, PodKind } from '../../platform/kubernetes/index.ts';
import { timestamp } from '../conditions.ts';

import {
  type ControllerContext,
  controllerQueue,
  enqueueAll,
  enqueueOwner,
  isActive,
  isOwnedBy,
  isPodReady,
  ownerReference,
  readFresh,
} from './context.ts';
import { canonicalJson, randomSuffix } from './selectors.ts';

const DEFAULT_BACKOFF_LIMIT = 6;
const UID_LABEL = 'batch.kubernetes.io/controller-uid';
const NAME_LABEL = 'batch.kubernetes.io/job-name';

export function startJobs(context: ControllerContext): void {
  const queue = controllerQueue(context, 'job', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(context.informer(JobKind), queue);
  enqueueOwner(context.informer(PodKind), 'Job', queue);
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<number | undefined> {
  const { client } = context;
  const job = await readFresh(client, JobKind, namespace, name);
  if (job?.spec === undefined || job.metadata?.deletionTimestamp !== undefined) return undefined;
  const over = job.status?.conditions?.find(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True');
  if (over !== undefined) return await expire(context, job, over.lastTransitionTime);
  const listed = await client.listAll(PodKind, { namespace, labelSelector: `${UID_LABEL}=${job.metadata?.uid}` });
  const pods = listed.items.filter((pod) => isOwnedBy(pod, job));
  const succeeded = pods.filter(({ status }) => status?.phase === 'Succeeded').length;
  const failed = pods.filter(({ status }) => status?.phase === 'Failed').length;
  const active = pods.filter(isActive);
  const now = timestamp(Date.now());
  const { parallelism = 1, backoffLimit = DEFAULT_BACKOFF_LIMIT, suspend } = job.spec;
  const completions = job.spec.completions ?? parallelism;
  const conditions = [...(job.status?.conditions ?? [])];
  const finish = (type: string, reason: string, message: string): void => {
    conditions.push({ type, status: 'True', reason, message, lastTransitionTime: now, lastProbeTime: now });
  };
  if (succeeded >= completions) finish('Complete', 'CompletionsReached', 'Reached expected number of succeeded pods');
  else if (failed > backoffLimit) finish('Failed', 'BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  const isOver = conditions.length > (job.status?.conditions ?? []).length;
  if (isOver || suspend === true) await Promise.all(active.map((pod) => remove(context, pod)));
  else {
    const missing = Math.min(parallelism, completions - succeeded) - active.length;
    for (let made = 0; made < missing; made++) active.push(await client.create(PodKind, podFrom(job)));
  }
  const status: NonNullable<Job['status']> = {
    active: isOver ? 0 : active.length,
    ready: isOver ? 0 : active.filter(isPodReady).length,
    succeeded,
    failed,
    startTime: job.status?.startTime ?? now,
    ...(conditions.some(({ type }) => type === 'Complete') && { completionTime: now }),
    ...(conditions.length > 0 && { conditions }),
  };
  if (canonicalJson(status) !== canonicalJson(job.status ?? {})) await client.patchStatus(JobKind, name, { status }, { namespace });
  return undefined;
}

async function expire(context: ControllerContext, job: Job, endedAt: string | undefined): Promise<number | undefined> {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  if (ttl === undefined) return undefined;
  const left = Date.parse(endedAt ?? '') + ttl * 1000 - Date.now();
  if (left > 0) return left;
  await context.client.delete(JobKind, job.metadata?.name ?? '', {
    namespace: job.metadata?.namespace ?? 'default',
    propagationPolicy: 'Background',
  });
  return undefined;
}

async function remove(context: ControllerContext, pod: Pod): Promise<void> {
  await context.client
    .delete(PodKind, pod.metadata?.name ?? '', { namespace: pod.metadata?.namespace ?? 'default' })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}

function podFrom(job: Job): Pod {
  const { name, uid, namespace = 'default' } = job.metadata ?? {};
  const template = job.spec!.template;
  return {
    metadata: {
      name: `${name}-${randomSuffix()}`,
      namespace,
      labels: { ...template.metadata?.labels, [UID_LABEL]: uid ?? '', [NAME_LABEL]: name ?? '', 'job-name': name ?? '' },
      ...(template.metadata?.annotations && { annotations: template.metadata.annotations }),
      ownerReferences: [ownerReference(job, 'batch/v1', 'Job')],
    },
    spec: template.spec,
  };
}
