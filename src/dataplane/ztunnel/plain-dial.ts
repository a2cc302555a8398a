/** A plain TCP connection of the proxy while it is being made, for whoever wants it, on either side. */
import type { DialEvents, DialFailure, TcpSocket } from '../../platform/net/index.ts';

export interface PlainDialer {
  /** The connection is up; within this call its events must be taken over. */
  plainConnected(socket: TcpSocket): void;
  plainFailed(failure: DialFailure): void;
}

export class PlainDial implements DialEvents {
  readonly #dialer: PlainDialer;
  constructor(dialer: PlainDialer) {
    this.#dialer = dialer;
  }
  onConnected(socket: TcpSocket): void {
    this.#dialer.plainConnected(socket);
  }
  onDialFailed(failure: DialFailure): void {
    this.#dialer.plainFailed(failure);
  }
  // The relay takes the socket's events over within `onConnected`.
  onData(): void {}
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}
