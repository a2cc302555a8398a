/** What the controllers share. */
import {
  type Informer,
  isNotFound,
  type KubeClient,
  type KubeObject,
  objectKey,
  type Pod,
  type Resource,
} from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { messageOf } from '../error.ts';
import type { EventRecorder } from '../events.ts';
import { WorkQueue } from './work-queue.ts';

export interface ControllerContext {
  readonly client: KubeClient;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly events: EventRecorder;
  informer<T extends KubeObject>(resource: Resource<T>): Informer<T>;
}

const PARALLEL = 8;

/** A queue whose failures are logged; conflicts are ordinary (somebody else wrote first) and are not. */
export function controllerQueue(
  context: ControllerContext,
  name: string,
  reconcile: (namespace: string, object: string) => Promise<number | undefined>,
  parallel = PARALLEL,
): WorkQueue {
  const queue = new WorkQueue({
    name,
    parallel,
    reconcile: (key) => {
      const slash = key.indexOf('/');
      return slash < 0 ? reconcile('', key) : reconcile(key.slice(0, slash), key.slice(slash + 1));
    },
    onError: (key, error, delayMs) => {
      if (!context.signal.aborted)
        context.log.debug('reconcile failed', { controller: name, key, error: messageOf(error), retryMs: delayMs });
    },
  });
  context.signal.addEventListener('abort', () => queue.stop());
  return queue;
}

/** Queues every object of the kind whenever it changes. */
export function enqueueAll<T extends KubeObject>(informer: Informer<T>, queue: WorkQueue): void {
  const add = (object: T) => queue.add(objectKey(object));
  informer.addHandlers({ onAdd: add, onUpdate: add, onDelete: add });
}

/** Queues the object that controls a changed one, if it is of the kind. */
export function enqueueOwner<T extends KubeObject>(informer: Informer<T>, kind: string, queue: WorkQueue): void {
  const add = (object: T) => {
    const owner = controllerOf(object);
    if (owner?.kind === kind) queue.add(`${object.metadata?.namespace ?? 'default'}/${owner.name}`);
  };
  informer.addHandlers({ onAdd: add, onUpdate: add, onDelete: add });
}

export function controllerOf(object: KubeObject) {
  return object.metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

export const isOwnedBy = (object: KubeObject, owner: KubeObject): boolean => controllerOf(object)?.uid === owner.metadata?.uid;

export function ownerReference(owner: KubeObject, apiVersion: string, kind: string) {
  return { apiVersion, kind, name: owner.metadata?.name ?? '', uid: owner.metadata?.uid ?? '', controller: true, blockOwnerDeletion: true };
}

/** The object as it is now, undefined when it is gone. */
export async function readFresh<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  namespace: string,
  name: string,
): Promise<T | undefined> {
  try {
    return await client.get(resource, name, namespace === '' ? {} : { namespace });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** A pod that counts: not ended and not on its way out. */
export const isActive = (pod: Pod): boolean =>
  pod.metadata?.deletionTimestamp === undefined && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed';

export function isPodReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

/** Ready for at least `minReadySeconds`. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const ready = pod.status?.conditions?.find(({ type, status }) => type === 'Ready' && status === 'True');
  if (ready === undefined) return false;
  return minReadySeconds === 0 || now - Date.parse(ready.lastTransitionTime ?? '') >= minReadySeconds * 1000;
}
