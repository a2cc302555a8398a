/** Who has to be looked at again when something changes: each owner names the keys it was made of. */
export class Dependents {
  readonly #keys = new Map<string, readonly string[]>();
  readonly #owners = new Map<string, Set<string>>();
  readonly #patterns = new Set<string>();
  readonly #isPattern: (key: string) => boolean;

  /** Keys that stand for many are few; they can be listed by themselves. */
  constructor(isPattern: (key: string) => boolean = () => false) {
    this.#isPattern = isPattern;
  }

  /** Replaces what `owner` depends on; none of it when it is gone. */
  set(owner: string, keys: readonly string[]): void {
    const before = this.#keys.get(owner) ?? [];
    for (const key of before) {
      const owners = this.#owners.get(key);
      owners?.delete(owner);
      if (owners?.size !== 0) continue;
      this.#owners.delete(key);
      this.#patterns.delete(key);
    }
    if (keys.length === 0) this.#keys.delete(owner);
    else this.#keys.set(owner, keys);
    for (const key of keys) {
      const owners = this.#owners.get(key);
      if (owners === undefined) this.#owners.set(key, new Set([owner]));
      else owners.add(owner);
      if (this.#isPattern(key)) this.#patterns.add(key);
    }
  }

  /** What `owner` depends on. */
  keysOf(owner: string): readonly string[] {
    return this.#keys.get(owner) ?? [];
  }
  of(key: string): Iterable<string> {
    return this.#owners.get(key) ?? [];
  }
  /** Every key somebody depends on. */
  keys(): IterableIterator<string> {
    return this.#owners.keys();
  }
  patterns(): IterableIterator<string> {
    return this.#patterns.values();
  }
}
