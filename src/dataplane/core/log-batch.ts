/**
 * The sink of this proxy's log. One system call per turn of the loop, and the reader it wakes, cost a busy proxy a tenth of its time
 * (measured with one connection per request); lines therefore wait a moment for others.
 */
import { writeStandardOutput } from '../../platform/linux/index.ts';
import type { LogSink } from '../../platform/telemetry/index.ts';

/** How long a line may wait, in milliseconds. */
const FLUSH_AFTER_MS = 10;
/** Bytes that wait here; past it the log's own limit and count of lost lines take over. */
const MAX_BATCH_BYTES = 256 * 1024;

/** Octets a pipe takes as a whole or not at all (PIPE_BUF), so that lines of several processes do not mix. */
const ATOMIC_BYTES = 4096;
const NEWLINE = 10;

export interface LogBatchOptions {
  /** Default: to standard output. */
  readonly write?: (bytes: Uint8Array) => number;
  /** Other processes write to the same place: only whole lines are written, as many at once as cannot be torn apart. */
  readonly isShared?: boolean;
}

export class LogBatch {
  readonly #write: (bytes: Uint8Array) => number;
  readonly #isShared: boolean;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ write = writeStandardOutput, isShared = false }: LogBatchOptions = {}) {
    this.#write = write;
    this.#isShared = isShared;
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
    let taken = 0;
    try {
      while (taken < bytes.length) {
        const piece = this.#isShared ? wholeLines(bytes, taken) : bytes;
        const written = this.#write(piece);
        taken += written;
        if (written < piece.length || !this.#isShared) break;
      }
    } catch (error) {
      // Any other error means that the reader is gone: there is nobody left to tell.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') taken = bytes.length;
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

/** From `start`, as many lines as go out together, at least one. The log hands over whole lines; one that is longer than the limit may be torn. */
function wholeLines(bytes: Uint8Array, start: number): Uint8Array {
  const limit = start + ATOMIC_BYTES;
  if (bytes.length <= limit) return bytes.subarray(start);
  const last = bytes.lastIndexOf(NEWLINE, limit - 1);
  const end = last >= start ? last : bytes.indexOf(NEWLINE, limit);
  return bytes.subarray(start, end < 0 ? bytes.length : end + 1);
}
