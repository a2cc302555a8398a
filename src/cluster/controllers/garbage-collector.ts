/** Deletes objects whose owners are all gone. Knows owners of every kind the API server serves, custom ones included. */
import {
  type DiscoveredResource,
  Discovery,
  Informer,
  isConflict,
  isNotFound,
  type KubeObject,
  type Resource,
} from '../../platform/kubernetes/index.ts';
import { messageOf } from '../error.ts';
import type { ControllerContext } from './context.ts';
import { WorkQueue } from './work-queue.ts';

/** How often new kinds are looked for. */
const REFRESH_MS = 15_000;
/** Kinds that own nothing and change all the time. */
const IGNORED = new Set(['events', 'leases', 'endpoints']);

interface Kind {
  readonly resource: Resource<KubeObject>;
  readonly informer: Informer<KubeObject>;
  readonly stop: AbortController;
}

export function startGarbageCollector(context: ControllerContext): void {
  const kinds = new Map<string, Kind>();
  /** Owner uid → keys (`kind|namespace/name`) of what it owns. */
  const dependents = new Map<string, Set<string>>();
  const uids = new Set<string>();

  const queue = new WorkQueue({
    name: 'garbage-collector',
    parallel: 4,
    reconcile: async (key) => {
      await collect(context, kinds, key);
      return undefined;
    },
    onError: (key, error) => context.log.debug('garbage collection failed', { key, error: messageOf(error) }),
  });
  context.signal.addEventListener('abort', () => queue.stop());

  const handlersFor = (kindKey: string) => {
    const keyOf = (object: KubeObject): string => `${kindKey}|${object.metadata?.namespace ?? ''}/${object.metadata?.name ?? ''}`;
    const note = (object: KubeObject): void => {
      uids.add(object.metadata?.uid ?? '');
      for (const owner of object.metadata?.ownerReferences ?? []) {
        const set = dependents.get(owner.uid) ?? new Set<string>();
        set.add(keyOf(object));
        dependents.set(owner.uid, set);
        if (!uids.has(owner.uid)) queue.addAfter(keyOf(object), 1_000); // its owner may just not be listed yet
      }
    };
    return {
      onAdd: note,
      onUpdate: note,
      onDelete: (object: KubeObject): void => {
        const uid = object.metadata?.uid ?? '';
        uids.delete(uid);
        for (const dependent of dependents.get(uid) ?? []) queue.add(dependent);
        dependents.delete(uid);
        for (const owner of object.metadata?.ownerReferences ?? []) dependents.get(owner.uid)?.delete(keyOf(object));
      },
    };
  };

  const refresh = async (): Promise<void> => {
    const found = await discovered(context);
    for (const [key, resource] of found) {
      if (kinds.has(key)) continue;
      const stop = new AbortController();
      const informer = new Informer<KubeObject>(context.client, resource, {
        signal: AbortSignal.any([context.signal, stop.signal]),
        transform: ({ apiVersion, kind, metadata }) => ({
          ...(apiVersion !== undefined && { apiVersion }),
          ...(kind !== undefined && { kind }),
          ...(metadata !== undefined && { metadata }),
        }),
      });
      informer.addHandlers(handlersFor(key)).start();
      kinds.set(key, { resource, informer, stop });
    }
    for (const [key, kind] of kinds) {
      if (found.has(key)) continue;
      kind.stop.abort(new Error('the kind is no longer served'));
      kinds.delete(key);
    }
  };
  const loop = async (): Promise<void> => {
    while (!context.signal.aborted) {
      await refresh().catch((error: unknown) => context.log.debug('kinds could not be listed', { error: messageOf(error) }));
      await Bun.sleep(REFRESH_MS);
    }
  };
  void loop();
}

async function collect(context: ControllerContext, kinds: ReadonlyMap<string, Kind>, key: string): Promise<void> {
  const bar = key.indexOf('|');
  const kind = kinds.get(key.slice(0, bar));
  const [namespace = '', name = ''] = key.slice(bar + 1).split('/');
  if (kind === undefined) return;
  const scope = namespace === '' ? {} : { namespace };
  const object = await context.client.get(kind.resource, name, scope).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  const owners = object?.metadata?.ownerReferences ?? [];
  if (object === undefined || owners.length === 0 || object.metadata?.deletionTimestamp !== undefined) return;
  for (const owner of owners) if (await ownerExists(context, kinds, owner, namespace)) return;
  context.log.info('object without owners removed', { kind: kind.resource.kind, name: `${namespace}/${name}` });
  try {
    await context.client.delete(kind.resource, name, {
      ...scope,
      propagationPolicy: 'Background',
      preconditions: { uid: object.metadata?.uid ?? '' },
    });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

async function ownerExists(
  context: ControllerContext,
  kinds: ReadonlyMap<string, Kind>,
  owner: { readonly apiVersion: string; readonly kind: string; readonly name: string; readonly uid: string },
  namespace: string,
): Promise<boolean> {
  const group = owner.apiVersion.includes('/') ? owner.apiVersion.split('/')[0]! : '';
  const kind = [...kinds.values()].find(({ resource }) => resource.kind === owner.kind && resource.group === group);
  if (kind === undefined) return true; // a kind we do not know: better too much than too little is kept
  try {
    const found = await context.client.get(kind.resource, owner.name, kind.resource.namespaced ? { namespace } : {});
    return found.metadata?.uid === owner.uid;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function discovered(context: ControllerContext): Promise<Map<string, Resource<KubeObject>>> {
  const found = new Map<string, Resource<KubeObject>>();
  const all: readonly DiscoveredResource[] = await new Discovery(context.client.transport).all(); // a new one: kinds come and go
  for (const resource of all) {
    if (IGNORED.has(resource.plural) || resource.plural.includes('/')) continue;
    if (!resource.verbs.includes('list') || !resource.verbs.includes('watch') || !resource.verbs.includes('delete')) continue;
    const key = `${resource.group}/${resource.kind}`;
    if (!found.has(key)) found.set(key, resource as Resource<KubeObject>);
  }
  return found;
}
