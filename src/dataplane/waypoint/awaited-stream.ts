/** A stream for something this waypoint does not stand before: its node proxy may know of a binding a moment earlier. What comes meanwhile is kept. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { TunnelStream } from '../core/tunnel.ts';
import { Backlog } from './backlog.ts';
import { LIMITS } from './limits.ts';

export interface AwaitedStreamHost {
  /** Looks again. True: the stream has another reader now, or has been refused. */
  retry(stream: AwaitedStream, isLast: boolean): boolean;
  ended(stream: AwaitedStream): void;
}

export class AwaitedStream implements TunnelStream, Deadline {
  readonly #host: AwaitedStreamHost;
  readonly #backlog = new Backlog();
  #hasEnded: boolean;
  #isOver = false;
  readonly dueAt = performance.now() + LIMITS.BINDING;

  constructor(host: AwaitedStreamHost, hasEnded: boolean) {
    this.#host = host;
    this.#hasEnded = hasEnded;
    deadlines.add(this);
  }

  /** What has come so far; its window is still to be given back. */
  get early(): Uint8Array {
    return this.#backlog.bytes;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Something the waypoint knows has changed. */
  retry(): void {
    if (!this.#isOver && this.#host.retry(this, false)) this.#end();
  }

  onDeadline(): void {
    this.#giveUp();
  }

  onTunnelHeaders(_headers: unknown, endStream: boolean): void {
    if (endStream) this.#hasEnded = true;
  }

  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    this.#backlog.add(chunk);
    if (endStream) this.#hasEnded = true;
    if (this.#backlog.bytes.length > LIMITS.BINDING_OCTETS) this.#giveUp();
  }

  onTunnelReset(): void {
    this.#end();
  }

  onTunnelWritable(): void {}

  #giveUp(): void {
    if (this.#isOver) return;
    this.#host.retry(this, true);
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    deadlines.delete(this);
    this.#host.ended(this);
  }
}
