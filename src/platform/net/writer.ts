/** Writing to one Bun socket: what the kernel does not take is kept, within what the callers' flow control allows, and written when it drains. */
import type { Socket } from 'bun';

/** Something that can be told to stop and to go on reading. */
export interface Source {
  pause(): void;
  resume(): void;
}

/** Bytes kept behind one socket before it is considered lost: flow control should stop its producers long before. */
export const MAX_QUEUED_BYTES = 40 * 1024 * 1024;

const NOTHING = 0;

export class SocketWriter {
  protected socket: Socket<unknown> | undefined;
  protected queue: Uint8Array[] = [];
  protected queuedBytes = NOTHING;
  #finWanted = false;
  #finSent = false;

  constructor(socket?: Socket<unknown>) {
    this.socket = socket;
  }

  /** The socket may be written to from now on. */
  attach(socket: Socket<unknown>): void {
    this.socket = socket;
  }

  /** Bytes taken over but not yet by the kernel. */
  get queued(): number {
    return this.queuedBytes;
  }

  /** Writes or keeps `chunk` (valid only during the call). Returns the bytes the kernel took at once. */
  write(chunk: Uint8Array): number {
    if (this.queuedBytes === 0 && this.socket !== undefined) {
      const taken = this.socket.write(chunk);
      if (taken >= chunk.length) return taken;
      const from = Math.max(taken, 0);
      this.keep(chunk, from);
      return from;
    }
    this.keep(chunk, 0);
    return 0;
  }

  /** The kernel has room again; returns the bytes it took now. */
  drain(): number {
    const socket = this.socket;
    if (socket === undefined) return 0;
    let written = 0;
    while (this.queue.length > 0) {
      const chunk = this.queue[0]!;
      const taken = socket.write(chunk);
      if (taken > 0) written += taken;
      if (taken < chunk.length) {
        if (taken > 0) this.queue[0] = chunk.subarray(taken);
        this.queuedBytes -= written;
        return written;
      }
      this.queue.shift();
    }
    this.queuedBytes -= written;
    if (this.#finWanted) this.#sendFin();
    return written;
  }

  /** Half-closes the socket once everything is written. */
  finish(): void {
    this.#finWanted = true;
    if (this.queuedBytes === 0 && this.socket !== undefined) this.#sendFin();
  }

  get isFinished(): boolean {
    return this.#finWanted;
  }

  /** The socket is gone: what it had not taken is dropped. */
  discard(): void {
    this.queue = [];
    this.queuedBytes = 0;
    this.socket = undefined;
  }

  protected keep(chunk: Uint8Array, from: number): void {
    const copy = Buffer.allocUnsafeSlow(chunk.length - from);
    copy.set(from === 0 ? chunk : chunk.subarray(from));
    this.queue.push(copy);
    this.queuedBytes += copy.length;
  }

  #sendFin(): void {
    if (this.#finSent) return;
    this.#finSent = true;
    this.socket?.shutdown();
  }
}
