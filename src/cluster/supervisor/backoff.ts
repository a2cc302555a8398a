/** Delays between restarts: the first at once, then doubling from a base to a limit, and from the start again after a long enough run. */
export interface BackoffLimits {
  readonly baseMs: number;
  readonly maxMs: number;
  /** A run this long forgives what was before. */
  readonly resetAfterMs: number;
}

export class Backoff {
  readonly #limits: BackoffLimits;
  #failures = 0;

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
  }

  /** Milliseconds to wait after a run of `ranMs` before the next. */
  next(ranMs: number): number {
    if (ranMs >= this.#limits.resetAfterMs) this.#failures = 0;
    return delayAfter(this.#failures++, this.#limits);
  }
}

/** The delay after `failures` earlier ones: 0, base, 2 base, 4 base … max. */
export function delayAfter(failures: number, limits: Pick<BackoffLimits, 'baseMs' | 'maxMs'>): number {
  if (failures <= 0) return 0;
  return Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(failures - 1, 30));
}
