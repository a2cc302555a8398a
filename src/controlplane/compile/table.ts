/** Objects by `namespace/name`, with the names of each namespace at hand. */
export class NamespacedTable<T> {
  readonly #byNamespace = new Map<string, Map<string, T>>();

  /** Puts or (with undefined) removes; returns what was there. */
  set(key: string, value: T | undefined): T | undefined {
    const namespace = key.slice(0, key.indexOf('/'));
    let table = this.#byNamespace.get(namespace);
    const before = table?.get(key);
    if (value === undefined) {
      table?.delete(key);
      if (table?.size === 0) this.#byNamespace.delete(namespace);
      return before;
    }
    if (table === undefined) {
      table = new Map();
      this.#byNamespace.set(namespace, table);
    }
    table.set(key, value);
    return before;
  }

  get(key: string): T | undefined {
    return this.#byNamespace.get(key.slice(0, key.indexOf('/')))?.get(key);
  }

  in(namespace: string): Iterable<T> {
    return this.#byNamespace.get(namespace)?.values() ?? [];
  }

  keysIn(namespace: string): Iterable<string> {
    return this.#byNamespace.get(namespace)?.keys() ?? [];
  }

  namespaces(): Iterable<string> {
    return this.#byNamespace.keys();
  }

  *all(): IterableIterator<T> {
    for (const table of this.#byNamespace.values()) yield* table.values();
  }
}
