/**
 * Container logs. A container writes straight into its file (so it does not depend on this process); the keeper notes now and then how
 * long the file was at which time, which dates lines to within the interval, and cuts files that grow too large.
 */
import fs from 'node:fs';
import type { PodManager } from './pod-manager.ts';

/** As kubelet's containerLogMaxSize; one earlier part is kept beside it. */
export const MAX_LOG_BYTES = 10 * 1024 * 1024;
const INTERVAL_MS = 250;
const MAX_MARKS = 20_000;

interface Mark {
  readonly offset: number;
  readonly at: number;
}

export class LogKeeper {
  readonly #manager: PodManager;
  readonly #timer: ReturnType<typeof setInterval>;
  static readonly #marks = new Map<string, Mark[]>();

  constructor(manager: PodManager) {
    this.#manager = manager;
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** When the byte at `offset` was written, as near as is known. */
  static timeOf(file: string, offset: number): number {
    const marks = LogKeeper.#marks.get(file) ?? [];
    let low = 0;
    let high = marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (marks[middle]!.offset > offset) high = middle;
      else low = middle + 1;
    }
    return marks[low]?.at ?? fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  }

  #look(): void {
    const present = new Set<string>();
    for (const worker of this.#manager.all()) {
      for (const runner of [...worker.init, ...worker.containers]) {
        if (runner.record.attempt < 0) continue;
        const file = runner.logFile();
        present.add(file);
        this.#mark(file);
      }
    }
    for (const file of LogKeeper.#marks.keys()) if (!present.has(file)) LogKeeper.#marks.delete(file);
  }

  #mark(file: string): void {
    const size = fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    let marks = LogKeeper.#marks.get(file);
    if (marks === undefined) {
      marks = [];
      LogKeeper.#marks.set(file, marks);
    }
    if (size > MAX_LOG_BYTES) {
      fs.copyFileSync(file, `${file}.1`);
      fs.truncateSync(file, 0); // the writer appends, so it goes on at the new end
      marks.length = 0;
      return;
    }
    if (size === (marks.at(-1)?.offset ?? 0)) return;
    marks.push({ offset: size, at: Date.now() });
    if (marks.length > MAX_MARKS) marks.splice(0, MAX_MARKS / 2);
  }
}
