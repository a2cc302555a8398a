/** What the proxy still waits for before it may take traffic. */
export class Readiness {
  readonly #pending = new Set<string>();

  wait(task: string): void {
    this.#pending.add(task);
  }

  done(task: string): void {
    this.#pending.delete(task);
  }

  set(task: string, isReady: boolean): void {
    if (isReady) this.done(task);
    else this.wait(task);
  }

  get pending(): string[] {
    return [...this.#pending].sort();
  }
}
