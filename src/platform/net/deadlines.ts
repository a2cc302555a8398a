/** Many coarse deadlines with one timer: dials, handshakes, keepalives. Cheaper than a timer per connection, exact to {@link DEADLINE_RESOLUTION_MS}. */

import { reportFault } from './fault.ts';

/** How late a deadline may be noticed. */
export const DEADLINE_RESOLUTION_MS = 250;

export interface Deadline {
  /** Milliseconds on the clock of `performance.now()`; `Infinity` for never. Read at every turn, so it may move. */
  readonly dueAt: number;
  onDeadline(now: number): void;
}

export class Deadlines {
  readonly #items = new Set<Deadline>();
  #timer: ReturnType<typeof setInterval> | undefined;

  add(item: Deadline): void {
    this.#items.add(item);
    this.#timer ??= setInterval(() => this.#turn(), DEADLINE_RESOLUTION_MS);
  }

  delete(item: Deadline): void {
    this.#items.delete(item);
  }

  get size(): number {
    return this.#items.size;
  }

  #turn(): void {
    const now = performance.now();
    for (const item of this.#items) {
      if (item.dueAt > now) continue;
      try {
        item.onDeadline(now);
      } catch (error) {
        this.#items.delete(item);
        reportFault(error);
      }
    }
    // An idle process shall not wake up.
    if (this.#items.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

/** The deadlines of this process. */
export const deadlines = new Deadlines();
