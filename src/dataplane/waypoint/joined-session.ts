/** What every session has that is a client's stream joined with one channel: it has no requests to wait for, and ends when nothing moves. */
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { Channel } from './channel.ts';
import { ChannelJoin } from './channel-join.ts';
import type { ChannelUser } from './connector.ts';
import { LIMITS } from './limits.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { Session } from './session.ts';

export abstract class JoinedSession implements Session, ChannelUser, Deadline {
  protected readonly join: ChannelJoin;
  protected readonly startedAt = performance.now();
  dueAt = performance.now() + LIMITS.IDLE_TCP;
  readonly isDone = false;

  constructor(channel: Channel) {
    this.join = new ChannelJoin(channel, (flag, detail) => {
      deadlines.delete(this);
      this.ended(flag, detail);
    });
    deadlines.add(this);
  }

  /** Once, after both sides have ended: `flag` undefined when in order. */
  protected abstract ended(flag: ResponseFlag | undefined, detail: string): void;
  abstract abort(): void;
  abstract failed(detail: string): void;

  drain(): void {}
  endIdle(): void {}

  attach(upstream: Channel): void {
    this.join.attach(upstream);
  }

  /** When nothing more may have moved by then. */
  protected nextDeadline(now: number): number {
    return now + LIMITS.IDLE_TCP;
  }

  onDeadline(now: number): void {
    if (this.join.hasMoved) {
      this.join.hasMoved = false;
      this.dueAt = this.nextDeadline(now);
    } else this.join.end('SI', 'nothing moved for the idle timeout');
  }
}
