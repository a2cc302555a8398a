/** An open-loop schedule: requests have intended start times that do not depend on how fast earlier ones were answered. */
export class Schedule {
  #intervalMs: number;
  #next: number;

  /** `now` in ms; the first request is due one interval later. */
  constructor(ratePerSecond: number, now: number) {
    this.#intervalMs = intervalOf(ratePerSecond);
    this.#next = now + this.#intervalMs;
  }

  /** From now on at another rate; 0 pauses. */
  setRate(ratePerSecond: number, now: number): void {
    this.#intervalMs = intervalOf(ratePerSecond);
    this.#next = now + this.#intervalMs;
  }

  /** Intended start times due by `now`, oldest first. A late caller gets every one it missed, with the time it should have started. */
  takeDue(now: number): number[] {
    const due: number[] = [];
    while (this.#next <= now) {
      due.push(this.#next);
      this.#next += this.#intervalMs;
    }
    return due;
  }

  /** ms until the next request is due; Infinity when paused. */
  msUntilNext(now: number): number {
    return Math.max(0, this.#next - now);
  }
}

const intervalOf = (ratePerSecond: number): number => (ratePerSecond > 0 ? 1000 / ratePerSecond : Number.POSITIVE_INFINITY);
