/** A TLS stream that is routed by its server name: reads the ClientHello, then lets its next reader have it. */
import { CLIENT_HELLO_LIMIT, readServerName } from '../../protocol/index.ts';
import type { Channel, ChannelEvents } from './channel.ts';
import { LIMITS } from './limits.ts';

export class ServerNameReader implements ChannelEvents {
  readonly #channel: Channel;
  readonly #decided: (serverName: string) => void;
  readonly #timer: ReturnType<typeof setTimeout>;
  #seen: Uint8Array = new Uint8Array(0);
  #isOver = false;

  /** `decided` gives the channel its next reader. The name is empty when there is none, or no TLS. */
  constructor(channel: Channel, decided: (serverName: string) => void) {
    this.#channel = channel;
    this.#decided = decided;
    channel.events = this;
    this.#timer = setTimeout(() => this.#decide(''), LIMITS.HEAD_TIMEOUT);
  }

  onChannelData(chunk: Uint8Array): void {
    this.#seen = this.#seen.length === 0 ? chunk.slice() : Buffer.concat([this.#seen, chunk]);
    const found = readServerName(this.#seen);
    if (found.kind === 'name') this.#decide(found.name);
    else if (found.kind === 'invalid' || this.#seen.length > CLIENT_HELLO_LIMIT) this.#decide('');
  }

  onChannelEnd(): void {
    this.#decide('');
    this.#channel.events.onChannelEnd();
  }

  onChannelDrained(): void {}

  onChannelClosed(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #decide(serverName: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#decided(serverName);
    if (this.#seen.length > 0) this.#channel.events.onChannelData(this.#seen);
  }
}
