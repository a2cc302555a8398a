/** The end of a TLS connection that has nothing more to say: what was written last still arrives, and a peer that does not close its side is not waited for. */
import { type Deadline, deadlines, type SocketEvents, type TcpSocket } from '../../platform/net/index.ts';

/** A peer has this long to read our last words and close; closing TLS alone leaves the connection, and its descriptor, open until it does. */
export const FAREWELL_MS = 2_000;

export class Farewell implements SocketEvents, Deadline {
  readonly #socket: TcpSocket;
  dueAt = performance.now() + FAREWELL_MS;

  /** Takes over the socket's events. */
  constructor(socket: TcpSocket) {
    this.#socket = socket;
    socket.data = this;
    deadlines.add(this);
    // Not `end`: over TLS it takes the socket away from its object until the peer sends something, and nothing can close it meanwhile (Bun 1.4.5).
    socket.shutdown();
  }

  onDeadline(): void {
    this.#settle();
    this.#socket.terminate();
  }

  // Whatever it still sends has no reader.
  onData(): void {}
  onDrain(): void {}

  onEnd(): void {
    this.onDeadline();
  }

  onClose(): void {
    this.#settle();
  }

  #settle(): void {
    this.dueAt = Number.POSITIVE_INFINITY;
    deadlines.delete(this);
  }
}
