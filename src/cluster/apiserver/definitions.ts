import type { CustomResourceDefinition } from '../../platform/kubernetes/kinds/index.ts';
import { type Context, timestamp } from './context.ts';
import { clone, equal, isObject } from './json.ts';
import { remove } from './operations.ts';
import { customType, resourceKey } from './resources.ts';
import type { Entry, StoredObject } from './store.ts';

const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
const FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';

/** Serves what CustomResourceDefinitions define, from the moment they are stored. */
export class Definitions {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
    for (const entry of context.store.list(CRDS)) this.#serve(entry);
    context.store.subscribe(CRDS, (change) => {
      if (change.type === 'DELETED') context.types.undefine(this.#keyOf(change.entry));
      else this.#serve(change.entry);
    });
    context.store.onEveryChange((resource, change) => {
      if (change.type === 'DELETED' && resource !== CRDS) this.#finishDeletion(resource);
    });
  }

  #keyOf(entry: Entry): string {
    return resourceKey(customType(entry.object as unknown as CustomResourceDefinition)); // checked against its schema when it was stored
  }

  #serve(entry: Entry): void {
    const definition = entry.object as unknown as CustomResourceDefinition;
    this.#context.types.define(definition);
    const key = this.#keyOf(entry);
    if (entry.object.metadata.deletionTimestamp !== undefined) {
      setImmediate(() => this.#removeInstances(key));
      return;
    }
    setImmediate(() => this.#accept(entry.name));
  }

  /** Writes the status that clients wait for: names accepted, established. */
  #accept(name: string): void {
    const entry = this.#context.store.get(CRDS, '', name);
    if (entry === undefined || entry.object.metadata.deletionTimestamp !== undefined) return;
    const next = clone(entry.object);
    const definition = next as unknown as CustomResourceDefinition;
    const now = timestamp(this.#context.now());
    const old = definition.status?.conditions ?? [];
    const condition = (type: string, reason: string, message: string) => ({
      type,
      status: 'True',
      lastTransitionTime: old.find((existing) => existing.type === type)?.lastTransitionTime ?? now,
      reason,
      message,
    });
    const storage = definition.spec.versions.find((version) => version.storage)?.name;
    definition.status = {
      conditions: [
        condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
      ],
      acceptedNames: definition.spec.names,
      storedVersions: [...new Set([...(definition.status?.storedVersions ?? []), ...(storage === undefined ? [] : [storage])])],
    };
    if (!(definition.metadata.finalizers ?? []).includes(FINALIZER))
      definition.metadata.finalizers = [...(definition.metadata.finalizers ?? []), FINALIZER];
    if (!equal(next, entry.object)) this.#context.store.put(CRDS, '', name, next);
  }

  /** Instances go before their definition. */
  #removeInstances(key: string): void {
    const type = this.#context.types.byKey(key);
    const instances = type === undefined || this.#context.types.isBuiltIn(key) ? [] : this.#context.store.list(key);
    for (const entry of instances) remove(this.#context, type!, entry, { dryRun: false });
    this.#finishDeletion(key);
  }

  #finishDeletion(key: string): void {
    const { store, types } = this.#context;
    if (!types.isBuiltIn(key) && store.list(key).length > 0) return;
    const entry = store
      .list(CRDS)
      .find((candidate) => candidate.object.metadata.deletionTimestamp !== undefined && this.#keyOf(candidate) === key);
    if (entry === undefined) return;
    const next: StoredObject = clone(entry.object);
    next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
    if (next.metadata.finalizers.length === 0) store.remove(CRDS, entry, next);
    else if (!equal(next, entry.object) && isObject(next['spec'])) store.put(CRDS, '', entry.name, next);
  }
}
