/** Octets that came before their time, in order, in one piece of memory that grows as they come. */

/** Memory for the first of them. */
const FIRST = 4096;

export class Backlog {
  #bytes: Uint8Array = new Uint8Array(0);
  #filled = 0;

  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /** `chunk` is only valid during the call. */
  add(chunk: Uint8Array): void {
    const filled = this.#filled + chunk.length;
    if (filled > this.#bytes.length) {
      // Doubling: however small the pieces are, each octet is copied a few times only.
      const larger = new Uint8Array(Math.max(FIRST, filled, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#filled));
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.#filled);
    this.#filled = filled;
  }

  /** All of it, which is the caller's from here on. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#filled);
    this.#bytes = new Uint8Array(0);
    this.#filled = 0;
    return taken;
  }
}
