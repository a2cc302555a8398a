/** Keys to reconcile: each at most once at a time, again when it changed meanwhile, later when it failed. */
import { delayAfter } from '../supervisor/backoff.ts';

const RETRY = { baseMs: 50, maxMs: 15_000 } as const;

export interface WorkQueueOptions {
  readonly name: string;
  readonly parallel: number;
  /** Returns milliseconds after which to look again, if the key wants that. */
  readonly reconcile: (key: string) => Promise<number | undefined>;
  readonly onError: (key: string, error: unknown, delayMs: number) => void;
}

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { readonly timer: ReturnType<typeof setTimeout>; readonly at: number }>();
  #stopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#stopped) return;
    this.#waiting.add(key);
    this.#pump();
  }

  /** An earlier look that is already planned stays. */
  addAfter(key: string, ms: number): void {
    const at = Date.now() + ms;
    const planned = this.#timers.get(key);
    if (this.#stopped || (planned !== undefined && planned.at <= at)) return;
    if (planned !== undefined) clearTimeout(planned.timer);
    const timer = setTimeout(() => {
      this.#timers.delete(key);
      this.add(key);
    }, ms);
    this.#timers.set(key, { timer, at });
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#active.size >= this.#options.parallel) return;
      if (this.#active.has(key)) continue;
      this.#waiting.delete(key);
      this.#active.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      const again = await this.#options.reconcile(key);
      this.#failures.delete(key);
      if (again !== undefined) this.addAfter(key, again);
    } catch (error) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      const delay = delayAfter(failures, RETRY);
      if (!this.#stopped) this.#options.onError(key, error, delay);
      this.addAfter(key, delay);
    } finally {
      this.#active.delete(key);
      this.#pump();
    }
  }
}
