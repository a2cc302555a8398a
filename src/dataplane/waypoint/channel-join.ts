/** Two channels as one connection: bytes, half closes and back-pressure both ways. What comes before there is a second one is kept within the client's window. */
import type { TrafficSeries } from '../core/traffic-metrics.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import type { ResponseFlag } from './response-flags.ts';

/** Told once: `flag` undefined when both sides ended in order. */
export type JoinEnded = (flag: ResponseFlag | undefined, detail: string) => void;

export class ChannelJoin implements ChannelEvents {
  readonly #downstream: Channel;
  readonly #ended: JoinEnded;
  readonly #upstreamSide: UpstreamSide;
  #upstream: Channel | undefined;
  #early: Uint8Array[] = [];
  #earlyOctets = 0;
  #hasEnded = false;
  #downOwed = 0;
  #upOwed = 0;
  #isUpstreamDone = false;
  #isOver = false;
  /** From the client, and to it. */
  received = 0;
  sent = 0;
  /** Whether anything has moved since this was last set to false. */
  hasMoved = false;
  series: TrafficSeries | undefined;

  constructor(downstream: Channel, ended: JoinEnded) {
    this.#downstream = downstream;
    this.#ended = ended;
    this.#upstreamSide = new UpstreamSide(this);
    downstream.events = this;
  }

  attach(upstream: Channel): void {
    if (this.#isOver) {
      upstream.abort();
      return;
    }
    this.#upstream = upstream;
    upstream.events = this.#upstreamSide;
    for (const part of this.#early) upstream.write(part);
    this.#early = [];
    const early = this.#earlyOctets;
    this.#earlyOctets = 0;
    if (early > 0) this.#giveBack(upstream, early);
    if (this.#hasEnded) upstream.finish();
  }

  /** Ends both sides at once, unless they ended before. */
  end(flag: ResponseFlag | undefined, detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (flag !== undefined) {
      this.#downstream.abort();
      this.#upstream?.abort();
    }
    this.#ended(flag, detail);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  // The client's side.

  onChannelData(chunk: Uint8Array): void {
    this.hasMoved = true;
    this.received += chunk.length;
    if (this.series !== undefined) this.series.received.value += chunk.length;
    const upstream = this.#upstream;
    if (upstream === undefined) {
      this.#early.push(chunk.slice());
      this.#earlyOctets += chunk.length;
      return;
    }
    upstream.write(chunk);
    this.#giveBack(upstream, chunk.length);
  }

  onChannelEnd(): void {
    this.#hasEnded = true;
    this.#upstream?.finish();
  }

  onChannelDrained(): void {
    const owed = this.#upOwed;
    this.#upOwed = 0;
    if (owed > 0) this.#upstream?.consumed(owed);
  }

  onChannelClosed(isClean: boolean, detail: string): void {
    if (!isClean) this.end('DC', detail);
    else if (this.#isUpstreamDone) this.end(undefined, '');
  }

  // The endpoint's side.

  upstreamData(chunk: Uint8Array): void {
    this.hasMoved = true;
    this.sent += chunk.length;
    if (this.series !== undefined) this.series.sent.value += chunk.length;
    this.#downstream.write(chunk);
    if (this.#downstream.isBackedUp) this.#upOwed += chunk.length;
    else this.#upstream?.consumed(chunk.length);
  }

  upstreamEnded(): void {
    this.#downstream.finish();
  }

  upstreamDrained(): void {
    const owed = this.#downOwed;
    this.#downOwed = 0;
    if (owed > 0) this.#downstream.consumed(owed);
  }

  upstreamClosed(isClean: boolean, detail: string): void {
    if (this.#isOver) return;
    if (isClean) {
      // What the endpoint said last may still be on its way to a slow client.
      this.#isUpstreamDone = true;
      if (!this.#downstream.isBackedUp) this.end(undefined, '');
    } else {
      const isRefused = detail.startsWith('tunnel refused') && this.sent === 0;
      this.end(isRefused ? 'UF' : 'UC', detail);
    }
  }

  #giveBack(upstream: Channel, octets: number): void {
    if (upstream.isBackedUp) this.#downOwed += octets;
    else this.#downstream.consumed(octets);
  }
}

/** The endpoint's events under other names. */
class UpstreamSide implements ChannelEvents {
  readonly #join: ChannelJoin;
  constructor(join: ChannelJoin) {
    this.#join = join;
  }
  onChannelData(chunk: Uint8Array): void {
    this.#join.upstreamData(chunk);
  }
  onChannelEnd(): void {
    this.#join.upstreamEnded();
  }
  onChannelDrained(): void {
    this.#join.upstreamDrained();
  }
  onChannelClosed(isClean: boolean, detail: string): void {
    this.#join.upstreamClosed(isClean, detail);
  }
}
