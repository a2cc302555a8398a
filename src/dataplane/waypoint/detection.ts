/** A stream whose protocol has to be read off its first octets, within a limit of octets and, where it is not declared, of time. */
import { DETECTION_BYTES, type DetectedProtocol, detectProtocol } from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';

type Decided = Exclude<DetectedProtocol, 'more'>;

export class Detection implements ChannelEvents {
  readonly #channel: Channel;
  readonly #decided: (protocol: Decided) => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  #seen: Uint8Array | undefined;
  #isOver = false;

  /**
   * `decided` gives the channel its next reader, which then gets what was seen. `patience`: milliseconds until a client that says nothing is taken for
   * one that waits for the server to speak (`other`), or for whoever has limits of its own for silence.
   */
  constructor(channel: Channel, patience: number, decided: (protocol: Decided) => void) {
    this.#channel = channel;
    this.#decided = decided;
    channel.events = this;
    this.#timer = setTimeout(() => this.#decide('other', this.#seen), patience);
  }

  onChannelData(chunk: Uint8Array): void {
    const seen = this.#seen === undefined ? chunk : Buffer.concat([this.#seen, chunk]);
    const found = detectProtocol(seen);
    if (found !== 'more') this.#decide(found, seen);
    else if (seen.length >= DETECTION_BYTES) this.#decide('other', seen);
    else this.#seen = seen.slice();
  }

  onChannelEnd(): void {
    this.#decide('other', this.#seen);
    this.#channel.events.onChannelEnd();
  }

  onChannelDrained(): void {}

  onChannelClosed(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #decide(protocol: Decided, seen: Uint8Array | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#decided(protocol);
    if (seen !== undefined) this.#channel.events.onChannelData(seen);
  }
}
