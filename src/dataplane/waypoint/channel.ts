/** One stream of bytes in both directions, whatever carries it: a tunnel's stream or a TCP connection. What the HTTP sessions of a waypoint stand on. */

export interface ChannelEvents {
  /** `chunk` is only valid during the call. Its octets count against the sender's window until `consumed` gives them back. */
  onChannelData(chunk: Uint8Array): void;
  /** The peer will send no more; it may still read. */
  onChannelEnd(): void;
  /** After `isBackedUp` was true: everything written has been taken. */
  onChannelDrained(): void;
  /** The channel is gone, once, last. `isClean`: the peer closed in order. `detail` is for a log. */
  onChannelClosed(isClean: boolean, detail: string): void;
}

const deaf: ChannelEvents = { onChannelData() {}, onChannelEnd() {}, onChannelDrained() {}, onChannelClosed() {} };

export abstract class Channel {
  /** May be exchanged at any time. */
  events: ChannelEvents = deaf;
  /** Takes all of `bytes` (only valid during the call); what cannot be sent yet is kept. Nothing happens once the channel is over. */
  abstract write(bytes: Uint8Array): void;
  /** While true, whoever produces bytes holds back until `onChannelDrained`. */
  abstract get isBackedUp(): boolean;
  /** No more will be written; the peer learns it when everything before has been sent. */
  abstract finish(): void;
  /** Ends it at once, in both directions. No event follows. */
  abstract abort(): void;
  /** The receiver is done with so many octets. */
  abstract consumed(length: number): void;
}
