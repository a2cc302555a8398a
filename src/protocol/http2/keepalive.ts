import type { FrameWriter } from './frame-writer.ts';
import { readUint32, writeUint32 } from './frames.ts';
import { LIMITS } from './limits.ts';

/** Marks our PINGs, so that a stray acknowledgement is not taken for one of ours. */
const PING_MARK = 0x4c41544e;

/** Everything about time: PINGs (liveness, and the round trips that end a drain) and the deadline of the SETTINGS exchange. */
export class Keepalive {
  private readonly writer: FrameWriter;
  private readonly interval: number;
  private readonly timeout: number;
  private readonly payload = new Uint8Array(8);
  /** `undefined` until the first call that carries a time. */
  private now: number | undefined;
  private settingsDeadline = Number.POSITIVE_INFINITY;
  private nextPing = Number.POSITIVE_INFINITY;
  /** When the oldest PING without answer must have been answered. */
  private answerDeadline = Number.POSITIVE_INFINITY;
  private sent = 0;
  private acknowledged = 0;

  constructor(writer: FrameWriter, interval: number, timeout: number) {
    this.writer = writer;
    this.interval = interval;
    this.timeout = timeout;
    writeUint32(this.payload, 0, PING_MARK);
  }

  see(now: number): void {
    if (this.now === undefined) {
      this.settingsDeadline = now + LIMITS.SETTINGS_TIMEOUT;
      this.nextPing = now + this.interval;
      if (this.sent > this.acknowledged) this.answerDeadline = now + this.timeout;
    }
    this.now = now;
  }

  settingsAcknowledged(): void {
    this.settingsDeadline = Number.POSITIVE_INFINITY;
  }

  /** Sends a PING and returns its number. */
  ping(): number {
    this.sent = (this.sent + 1) >>> 0;
    writeUint32(this.payload, 4, this.sent);
    this.writer.ping(this.payload, false);
    if (this.answerDeadline === Number.POSITIVE_INFINITY && this.now !== undefined) this.answerDeadline = this.now + this.timeout;
    return this.sent;
  }

  /** Takes a PING acknowledgement; returns the highest number acknowledged, 0 when it is not one of ours. */
  answered(payload: Uint8Array): number {
    const number = readUint32(payload, 4);
    if (readUint32(payload, 0) !== PING_MARK || number > this.sent || number <= this.acknowledged) return 0;
    this.acknowledged = number;
    this.answerDeadline = number === this.sent || this.now === undefined ? Number.POSITIVE_INFINITY : this.now + this.timeout;
    return number;
  }

  get deadline(): number {
    if (this.now === undefined) return 0;
    return Math.min(this.settingsDeadline, this.nextPing, this.answerDeadline);
  }

  /** Sends what is due; the result says what was missed. */
  tick(now: number): 'settings' | 'ping' | undefined {
    this.see(now);
    if (now >= this.settingsDeadline) return 'settings';
    if (now >= this.answerDeadline) return 'ping';
    if (now >= this.nextPing) {
      this.nextPing = now + this.interval;
      if (this.sent === this.acknowledged) this.ping();
    }
    return undefined;
  }
}
