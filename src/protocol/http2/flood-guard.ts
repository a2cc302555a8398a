import { LIMITS } from './limits.ts';
import type { Http2CloseReason } from './types.ts';

/**
 * Counts what costs this end more than the peer, per window of time. Each method returns the reason to end the connection, or `undefined`.
 * Counters restart with each window: a peer may do twice the limit around a boundary, which is still harmless.
 */
export class FloodGuard {
  private windowStart = Number.NEGATIVE_INFINITY;
  private unansweredResets = 0;
  private lateResets = 0;
  private faultResets = 0;
  private settings = 0;
  private pings = 0;
  private empty = 0;
  private priorities = 0;
  private windowUpdates = 0;
  private headersReceived = 0;
  private dataReceived = 0;
  private octetsSent = 0;

  advance(now: number): void {
    if (now - this.windowStart < LIMITS.FLOOD_WINDOW) return;
    this.windowStart = now;
    this.unansweredResets = 0;
    this.lateResets = 0;
    this.faultResets = 0;
    this.settings = 0;
    this.pings = 0;
    this.empty = 0;
    this.priorities = 0;
    this.windowUpdates = 0;
    this.headersReceived = 0;
    this.dataReceived = 0;
    this.octetsSent = 0;
  }

  headers(): void {
    this.headersReceived++;
  }

  data(): void {
    this.dataReceived++;
  }

  sent(octets: number): void {
    this.octetsSent += octets;
  }

  unansweredReset(): Http2CloseReason | undefined {
    return ++this.unansweredResets > LIMITS.UNANSWERED_RESETS ? 'rapid-reset' : undefined;
  }

  /** RST_STREAM for a stream already over: ordinary once per stream (Envoy does it after a half close), a flood beyond that. */
  lateReset(): Http2CloseReason | undefined {
    return ++this.lateResets > LIMITS.UNANSWERED_RESETS + this.headersReceived ? 'rapid-reset' : undefined;
  }

  faultReset(): Http2CloseReason | undefined {
    return ++this.faultResets > LIMITS.FAULT_RESETS ? 'rapid-reset' : undefined;
  }

  settingsFrame(): Http2CloseReason | undefined {
    return ++this.settings > LIMITS.SETTINGS_FRAMES ? 'settings-flood' : undefined;
  }

  ping(): Http2CloseReason | undefined {
    return ++this.pings > LIMITS.PINGS + this.headersReceived + this.dataReceived ? 'ping-flood' : undefined;
  }

  emptyFrame(): Http2CloseReason | undefined {
    return ++this.empty > LIMITS.EMPTY_FRAMES ? 'empty-frames-flood' : undefined;
  }

  priority(): Http2CloseReason | undefined {
    return ++this.priorities > LIMITS.PRIORITY_FRAMES + 2 * this.headersReceived ? 'empty-frames-flood' : undefined;
  }

  windowUpdate(): Http2CloseReason | undefined {
    return ++this.windowUpdates > LIMITS.WINDOW_UPDATES + this.octetsSent / 1024 ? 'window-update-flood' : undefined;
  }
}
