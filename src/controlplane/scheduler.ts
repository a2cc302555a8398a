/** Runs `work` soon after the first `request`; requests meanwhile join it. The delay is never extended, so a storm cannot starve it. */
export class Batch {
  readonly #work: () => void | Promise<void>;
  readonly #delayMs: number;
  readonly #onError: (error: Error) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRunning = false;
  #isRequested = false;
  #isStopped = false;

  constructor(delayMs: number, work: () => void | Promise<void>, onError: (error: Error) => void) {
    this.#delayMs = delayMs;
    this.#work = work;
    this.#onError = onError;
  }

  request(): void {
    if (this.#isStopped) return;
    if (this.#isRunning) this.#isRequested = true;
    else this.#timer ??= setTimeout(() => void this.#run(), this.#delayMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#isRunning = true;
    try {
      await this.#work();
    } catch (error) {
      this.#onError(error as Error);
    }
    this.#isRunning = false;
    if (!this.#isRequested) return;
    this.#isRequested = false;
    this.request();
  }
}
