/** Octets that came before their time, in order, in one piece of memory that grows as they come. */

/** Memory for the first of them. */
const FIRST = 4096;
const NOTHING = new Uint8Array(0);

export class Backlog {
  #memory: Uint8Array = NOTHING;
  #from = 0;
  #to = 0;

  get isEmpty(): boolean {
    return this.#from === this.#to;
  }

  /** Those not yet dropped; valid until the next `add`. */
  get bytes(): Uint8Array {
    return this.#memory.subarray(this.#from, this.#to);
  }

  /** `chunk` is only valid during the call. */
  add(chunk: Uint8Array): void {
    if (this.#to + chunk.length > this.#memory.length) {
      const kept = this.bytes;
      // Doubling: however small the pieces are, each octet is copied a few times only.
      const larger = new Uint8Array(Math.max(FIRST, 2 * (kept.length + chunk.length)));
      larger.set(kept);
      this.#memory = larger;
      this.#from = 0;
      this.#to = kept.length;
    }
    this.#memory.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  /** The first `octets` have been used; nothing happens to what was cleared meanwhile. */
  drop(octets: number): void {
    this.#from = Math.min(this.#to, this.#from + octets);
    if (this.isEmpty) this.clear();
  }

  clear(): void {
    this.#memory = NOTHING;
    this.#from = 0;
    this.#to = 0;
  }
}
