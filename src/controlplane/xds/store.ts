/** The resources of one xDS type, by name, with what is needed to send them without encoding them again. */

export interface NewResource {
  /** The message itself, without `Any`. */
  readonly value: Uint8Array;
  readonly aliases?: readonly string[];
  /** Names that belong to this one: a workload's services. Asking for a service brings its workloads, and the other way round. */
  readonly links?: readonly string[];
}

export interface StoredResource {
  readonly name: string;
  /** A hash of the content: the same after a restart. */
  readonly version: string;
  /** A `Resource` as field 2 of `DeltaDiscoveryResponse`, tag and length included. */
  readonly encoded: Uint8Array;
  readonly aliases: readonly string[];
  readonly links: readonly string[];
  /** The store's generation when this content was put. */
  readonly changedAt: number;
}

export interface Change {
  readonly name: string;
  readonly aliases: readonly string[];
}

const NONE: readonly string[] = [];

export class ResourceStore {
  readonly typeUrl: string;
  readonly #resources = new Map<string, StoredResource>();
  readonly #byAlias = new Map<string, string[]>();
  readonly #byLink = new Map<string, Set<string>>();
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  #generation = 0;
  #everything: { readonly generation: number; readonly bytes: Uint8Array } | undefined;

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
  }

  /** Grows by one with each change set. */
  get generation(): number {
    return this.#generation;
  }
  get size(): number {
    return this.#resources.size;
  }

  get(name: string): StoredResource | undefined {
    return this.#resources.get(name);
  }
  all(): IterableIterator<StoredResource> {
    return this.#resources.values();
  }
  /** Primary names that an alias stands for. */
  byAlias(alias: string): readonly string[] {
    return this.#byAlias.get(alias) ?? NONE;
  }
  /** The name itself and everything linked with it. */
  *related(name: string): IterableIterator<string> {
    yield name;
    for (const link of this.#resources.get(name)?.links ?? NONE) if (this.#resources.has(link)) yield link;
    for (const other of this.#byLink.get(name) ?? NONE) yield other;
  }

  onChange(listener: (changes: readonly Change[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Puts and removes (`undefined`); what has the same content stays untouched. Returns what really changed. */
  apply(updates: ReadonlyMap<string, NewResource | undefined>): readonly Change[] {
    const changes: Change[] = [];
    for (const [name, update] of updates) {
      const before = this.#resources.get(name);
      if (update === undefined) {
        if (before === undefined) continue;
        this.#unindex(before);
        this.#resources.delete(name);
        changes.push({ name, aliases: before.aliases });
        continue;
      }
      const version = contentVersion(update.value);
      if (before?.version === version) continue;
      if (before !== undefined) this.#unindex(before);
      const stored: StoredResource = {
        name,
        version,
        encoded: encodeResource(this.typeUrl, name, version, update.value, update.aliases ?? NONE),
        aliases: update.aliases ?? NONE,
        links: update.links ?? NONE,
        changedAt: this.#generation + 1,
      };
      this.#resources.set(name, stored);
      this.#index(stored);
      changes.push({ name, aliases: before === undefined ? stored.aliases : [...new Set([...before.aliases, ...stored.aliases])] });
    }
    if (changes.length === 0) return changes;
    this.#generation++;
    this.#everything = undefined;
    for (const listener of this.#listeners) listener(changes);
    return changes;
  }

  /** Every resource in one piece, made once for all clients that connect between two changes. */
  encodeAll(): Uint8Array {
    if (this.#everything?.generation !== this.#generation) {
      this.#everything = {
        generation: this.#generation,
        bytes: Buffer.concat([...this.#resources.values()].map((resource) => resource.encoded)),
      };
    }
    return this.#everything.bytes;
  }

  #index(resource: StoredResource): void {
    for (const alias of resource.aliases) {
      const names = this.#byAlias.get(alias);
      if (names === undefined) this.#byAlias.set(alias, [resource.name]);
      else names.push(resource.name);
    }
    for (const link of resource.links) {
      const names = this.#byLink.get(link);
      if (names === undefined) this.#byLink.set(link, new Set([resource.name]));
      else names.add(resource.name);
    }
  }

  #unindex(resource: StoredResource): void {
    for (const alias of resource.aliases) {
      const rest = (this.#byAlias.get(alias) ?? []).filter((name) => name !== resource.name);
      if (rest.length === 0) this.#byAlias.delete(alias);
      else this.#byAlias.set(alias, rest);
    }
    for (const link of resource.links) {
      const names = this.#byLink.get(link);
      names?.delete(resource.name);
      if (names?.size === 0) this.#byLink.delete(link);
    }
  }
}

/** 64 bits of SHA-256: two contents of one name would have to collide to hide a change. */
export function contentVersion(value: Uint8Array): string {
  return new Bun.CryptoHasher('sha256').update(value).digest('hex').slice(0, 16);
}

/** `Resource{version 1, resource 2 (Any), name 3, aliases 4}` as a field 2. */
function encodeResource(typeUrl: string, name: string, version: string, value: Uint8Array, aliases: readonly string[]): Uint8Array {
  const any = Buffer.concat([text(1, typeUrl), bytes(2, value)]);
  return bytes(2, Buffer.concat([text(1, version), bytes(2, any), text(3, name), ...aliases.map((alias) => text(4, alias))]));
}

/** A length-delimited protobuf field. */
export function bytes(field: number, value: Uint8Array): Uint8Array {
  const head = [(field << 3) | 2];
  for (let rest = value.length; ; rest >>>= 7) {
    if (rest < 0x80) {
      head.push(rest);
      break;
    }
    head.push((rest & 0x7f) | 0x80);
  }
  return Buffer.concat([Uint8Array.from(head), value]);
}

export const text = (field: number, value: string): Uint8Array =>
  value === '' ? new Uint8Array(0) : bytes(field, Buffer.from(value, 'utf8'));
