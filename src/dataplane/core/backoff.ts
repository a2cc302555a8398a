/** Delays between tries: doubling up to a limit, back to the start after a success. */
export class Backoff {
  readonly #first: number;
  readonly #limit: number;
  #next: number;

  /** Milliseconds. */
  constructor(first: number, limit: number) {
    this.#first = first;
    this.#limit = limit;
    this.#next = first;
  }

  next(): number {
    const delay = this.#next;
    this.#next = Math.min(this.#next * 2, this.#limit);
    return delay;
  }

  reset(): void {
    this.#next = this.#first;
  }
}
