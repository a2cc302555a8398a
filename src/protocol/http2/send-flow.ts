import type { FloodGuard } from './flood-guard.ts';
import type { FrameWriter } from './frame-writer.ts';
import { DEFAULT_WINDOW } from './frames.ts';
import { Blocked, type StreamState } from './stream.ts';
import type { Http2Handler } from './types.ts';

/** Octets a stream may send in its turn while others wait for the connection window too. */
const TURN = 65_536;

/** The sending side of flow control: both windows, and whose turn it is when the connection window reopens. */
export class SendFlow {
  /** Octets this end may still send on the connection. */
  connectionWindow: number = DEFAULT_WINDOW;
  private readonly writer: FrameWriter;
  private readonly handler: Http2Handler;
  private readonly guard: FloodGuard;
  private readonly queue: StreamState[] = [];
  private turnOf: StreamState | undefined;
  private turnLeft = 0;
  private isScheduling = false;
  private isStopped = false;

  constructor(writer: FrameWriter, handler: Http2Handler, guard: FloodGuard) {
    this.writer = writer;
    this.handler = handler;
    this.guard = guard;
  }

  capacity(stream: StreamState): number {
    let room = Math.min(stream.sendWindow, this.connectionWindow);
    if (this.turnOf === stream && this.turnLeft < room) room = this.turnLeft;
    return Math.max(room, 0);
  }

  /** Sends what fits and returns its length. */
  send(stream: StreamState, chunk: Uint8Array, endStream: boolean): number {
    const size = chunk.length;
    const room = this.capacity(stream);
    const taken = Math.min(size, room);
    const ends = endStream && taken === size;
    if (taken === 0 && !ends) {
      if (size > 0) this.block(stream);
      return 0;
    }
    stream.sendWindow -= taken;
    this.connectionWindow -= taken;
    if (this.turnOf === stream) this.turnLeft -= taken;
    this.guard.sent(taken);
    if (ends) stream.isLocalEnded = true;
    else if (taken < size) this.block(stream);
    const most = this.writer.maxFrameSize;
    if (taken === size && size <= most) this.writer.data(stream.id, chunk, ends);
    else {
      for (let at = 0; at < taken && !this.isStopped; at += most) {
        const end = Math.min(at + most, taken);
        this.writer.data(stream.id, chunk.subarray(at, end), ends && end === size);
      }
    }
    return taken;
  }

  private block(stream: StreamState): void {
    if (stream.sendWindow <= 0) {
      if (stream.blocked === Blocked.NO) stream.blocked = Blocked.BY_OWN_WINDOW;
    } else if (stream.blocked !== Blocked.IN_QUEUE) {
      stream.blocked = Blocked.IN_QUEUE;
      this.queue.push(stream);
    }
  }

  /** The stream's own window changed; `schedule` is the caller's next step. */
  streamWindowOpened(stream: StreamState): void {
    if (stream.blocked === Blocked.BY_OWN_WINDOW && stream.sendWindow > 0) this.block(stream);
  }

  /** A stream is over. */
  forget(stream: StreamState): void {
    if (stream.blocked === Blocked.IN_QUEUE) this.queue.splice(this.queue.indexOf(stream), 1);
    stream.blocked = Blocked.NO;
  }

  stop(): void {
    this.isStopped = true;
    this.queue.length = 0;
  }

  /** Lets waiting streams send, one turn each, as long as the connection window lasts. Every turn sends something or leaves the queue, so this ends. */
  schedule(): void {
    if (this.isScheduling) return;
    this.isScheduling = true;
    try {
      this.takeTurns();
    } finally {
      this.turnOf = undefined;
      this.isScheduling = false;
    }
  }

  private takeTurns(): void {
    while (!this.isStopped && this.connectionWindow > 0) {
      const stream = this.queue.shift();
      if (stream === undefined) break;
      if (stream.sendWindow <= 0) {
        stream.blocked = Blocked.BY_OWN_WINDOW;
        continue;
      }
      stream.blocked = Blocked.NO;
      if (this.queue.length > 0) {
        this.turnOf = stream;
        this.turnLeft = TURN;
      }
      this.handler.onWritable(stream.id);
      this.turnOf = undefined;
    }
  }
}
