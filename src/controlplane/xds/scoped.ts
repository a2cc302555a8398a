import { type Change, type NewResource, ResourceStore } from './store.ts';

/** Scopes that clients may name before anything is in them: a name costs a store, and whoever may connect could make up names. */
const NAMED_SCOPES_LIMIT = 10_000;

type Listener = (store: ResourceStore, changes: readonly Change[]) => void;

/** One type of which each client sees only what concerns it: a store for each scope (a waypoint, `namespace/name`). */
export class ScopedStores {
  readonly typeUrl: string;
  readonly #stores = new Map<string, ResourceStore>();
  readonly #listeners = new Set<Listener>();

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
  }

  /** Resources in all scopes together. */
  get size(): number {
    let size = 0;
    for (const store of this.#stores.values()) size += store.size;
    return size;
  }
  scopes(): IterableIterator<string> {
    return this.#stores.keys();
  }

  /** The store of a scope, made when it is first asked for. */
  scope(name: string): ResourceStore {
    let store = this.#stores.get(name);
    if (store === undefined) {
      const made = new ResourceStore(this.typeUrl);
      store = made;
      this.#stores.set(name, made);
      made.onChange((changes) => {
        for (const listener of this.#listeners) listener(made, changes);
      });
    }
    return store;
  }

  /** For a client that says which scope is its own; undefined when too many were made up. */
  named(name: string): ResourceStore | undefined {
    return this.#stores.has(name) || this.#stores.size < NAMED_SCOPES_LIMIT ? this.scope(name) : undefined;
  }

  onChange(listener: Listener): void {
    this.#listeners.add(listener);
  }

  /** Puts and removes by scope; the number of resources that really changed. */
  apply(updates: ReadonlyMap<string, ReadonlyMap<string, NewResource | undefined>>): number {
    let count = 0;
    for (const [scope, resources] of updates) count += this.scope(scope).apply(resources).length;
    return count;
  }
}
