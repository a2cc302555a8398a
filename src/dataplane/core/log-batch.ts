/**
 * The sink of this proxy's log. One system call per turn of the loop, and the reader it wakes, cost a busy proxy a tenth of its time
 * (measured with one connection per request); lines therefore wait a moment for others.
 */
import fs from 'node:fs';
import type { LogSink } from '../../platform/telemetry/index.ts';

/** How long a line may wait, in milliseconds. */
const FLUSH_AFTER_MS = 10;
/** Bytes that wait here; past it the log's own limit and count of lost lines take over. */
const MAX_BATCH_BYTES = 256 * 1024;

export class LogBatch {
  readonly #write: (bytes: Uint8Array) => number;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(write: (bytes: Uint8Array) => number = (bytes) => fs.writeSync(1, bytes)) {
    this.#write = write;
  }

  readonly sink: LogSink = (bytes) => {
    if (this.#bytes >= MAX_BATCH_BYTES) {
      this.flush();
      if (this.#bytes >= MAX_BATCH_BYTES) throw Object.assign(new Error('the log waits for its reader'), { code: 'EAGAIN' });
    }
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, FLUSH_AFTER_MS);
    return bytes.length;
  };

  /** Writes what the reader takes now; the rest is tried again. */
  flush(): void {
    if (this.#bytes === 0) return;
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
    let taken = bytes.length;
    try {
      taken = this.#write(bytes);
    } catch (error) {
      // Any other error means that the reader is gone: there is nobody left to tell.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') taken = 0;
    }
    const rest = bytes.subarray(taken);
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    if (rest.length > 0)
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.flush();
      }, FLUSH_AFTER_MS);
  }

  /** For the end of the process: waits a little for a full pipe. */
  close(): void {
    for (let i = 0; i < 200 && this.#bytes > 0; i++) {
      this.flush();
      if (this.#bytes > 0) Bun.sleepSync(1);
    }
    clearTimeout(this.#timer);
  }
}
