/** The frames of an HTTP/2 connection go into a channel. Before there is a channel they wait. */
import type { Http2Output } from '../../protocol/index.ts';
import type { Channel } from './channel.ts';

export class FrameOutput implements Http2Output {
  #channel: Channel | undefined;
  #early: Uint8Array[] = [];

  constructor(channel?: Channel) {
    this.#channel = channel;
  }

  attach(channel: Channel): void {
    this.#channel = channel;
    for (const bytes of this.#early.splice(0)) channel.write(bytes);
  }

  write(bytes: Uint8Array): void {
    if (this.#channel === undefined) this.#early.push(bytes.slice());
    else this.#channel.write(bytes);
  }

  writeData(head: Uint8Array, payload: Uint8Array): void {
    this.write(head);
    if (payload.length > 0) this.write(payload);
  }
}
