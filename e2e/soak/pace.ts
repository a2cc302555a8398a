/** Keeps the load at a share of the processors: requests take turns, and the time between turns follows the processor time used. */

/** Requests per second to begin with, and the range. */
const FIRST_RATE = 1_000;
const MIN_RATE = 20;
const MAX_RATE = 50_000;
const TICK_MS = 5;
/** How far one correction goes at most. */
const MAX_STEP = 1.25;
/** Turns nobody took do not add up to a burst. */
const MAX_CREDIT = 64;

export class Pace {
  rate = FIRST_RATE;
  #credit = 0;
  #waiting: (() => void)[] = [];
  #last = performance.now();
  #stopped = false;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Waits for the next turn. */
  turn(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#credit >= 1 && this.#waiting.length === 0) {
      this.#credit--;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** `used` and `wanted`: shares of the machine's processors. */
  adjust(used: number, wanted: number): void {
    const factor = Math.min(Math.max(wanted / Math.max(used, 0.01), 1 / MAX_STEP), MAX_STEP);
    // Half way: what was measured is already past.
    this.rate = Math.min(Math.max(this.rate * (1 + (factor - 1) / 2), MIN_RATE), MAX_RATE);
  }

  /** Everybody who waits goes on, and nobody waits any more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopped = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tick(): void {
    const now = performance.now();
    this.#credit = Math.min(this.#credit + ((now - this.#last) * this.rate) / 1000, Math.max(MAX_CREDIT, this.rate / 10));
    this.#last = now;
    const turns = Math.min(Math.floor(this.#credit), this.#waiting.length);
    this.#credit -= turns;
    for (const resolve of this.#waiting.splice(0, turns)) resolve();
  }
}
