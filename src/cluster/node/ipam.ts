/** Pod addresses of one node: handed out in turn, so an address rests before it is used again, and remembered across restarts. */
import { readJson, writeJson } from '../files.ts';

interface Stored {
  readonly next: number;
  readonly byOwner: Readonly<Record<string, string>>;
}

/** .0 is the network, .1 the gateway, .255 the broadcast address. */
const FIRST = 2;
const LAST = 254;

export class AddressPool {
  readonly #file: string;
  readonly #prefix: string;
  readonly #byOwner: Map<string, string>;
  #next: number;

  /** `cidr` is a /24. */
  constructor(cidr: string, file: string) {
    this.#file = file;
    this.#prefix = cidr.slice(0, cidr.lastIndexOf('.') + 1);
    const stored = readJson<Stored>(file);
    this.#byOwner = new Map(Object.entries(stored?.byOwner ?? {}));
    this.#next = stored?.next ?? FIRST;
  }

  /** The owner's address (the same on every call), or undefined when all are taken. */
  allocate(owner: string): string | undefined {
    const had = this.#byOwner.get(owner);
    if (had !== undefined) return had;
    const taken = new Set(this.#byOwner.values());
    for (let tried = FIRST; tried <= LAST; tried++) {
      const address = `${this.#prefix}${this.#next}`;
      this.#next = this.#next >= LAST ? FIRST : this.#next + 1;
      if (taken.has(address)) continue;
      this.#byOwner.set(owner, address);
      this.#save();
      return address;
    }
    return undefined;
  }

  release(owner: string): void {
    if (this.#byOwner.delete(owner)) this.#save();
  }

  owners(): IterableIterator<string> {
    return this.#byOwner.keys();
  }

  #save(): void {
    writeJson(this.#file, { next: this.#next, byOwner: Object.fromEntries(this.#byOwner) } satisfies Stored);
  }
}
