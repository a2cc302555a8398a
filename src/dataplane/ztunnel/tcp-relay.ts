/** Joins two TCP connections: bytes, half closes and back-pressure both ways. */
import { type SocketEvents, SocketWriter, type TcpSocket } from '../../platform/net/index.ts';
import type { ByteCounts } from '../core/byte-counts.ts';
import { COMPLETE, type ConnectionEnd, endOf } from '../core/end-reason.ts';

class Side implements SocketEvents {
  readonly socket: TcpSocket;
  readonly writer: SocketWriter;
  readonly #relay: TcpRelay;
  readonly #isClient: boolean;
  /** The other end of the relay. */
  other!: Side;
  ended = false;
  isPaused = false;

  constructor(relay: TcpRelay, socket: TcpSocket, isClient: boolean) {
    this.#relay = relay;
    this.socket = socket;
    this.#isClient = isClient;
    this.writer = new SocketWriter(socket);
  }

  onData(chunk: Buffer): void {
    const length = chunk.length;
    if (this.#isClient) this.#relay.counts.addRequest(length);
    else this.#relay.counts.addResponse(length);
    if (this.other.writer.write(chunk) < length && !this.isPaused) {
      this.isPaused = true;
      this.socket.pause();
    }
  }

  onEnd(): void {
    if (this.ended) return;
    this.ended = true;
    this.other.writer.finish();
    this.#relay.finishIfDone();
  }

  onDrain(): void {
    this.writer.drain();
    if (this.writer.queued > 0) return;
    if (this.other.isPaused) {
      this.other.isPaused = false;
      this.other.socket.resume();
    }
    this.#relay.finishIfDone();
  }

  onClose(error: Error | undefined): void {
    this.writer.discard();
    if (error !== undefined) {
      this.#relay.abort(endOf('io', (error as NodeJS.ErrnoException).code ?? error.message));
      return;
    }
    this.onEnd();
    // Nobody reads what the other side sends now.
    if (!this.other.ended) this.#relay.abort(endOf('io', 'a side closed the connection'));
  }
}

export class TcpRelay {
  readonly counts: ByteCounts;
  readonly #client: Side;
  readonly #server: Side;
  readonly #ended: (end: ConnectionEnd) => void;
  #finished = false;

  /** Takes over both sockets' events. */
  constructor(client: TcpSocket, server: TcpSocket, counts: ByteCounts, ended: (end: ConnectionEnd) => void) {
    this.counts = counts;
    this.#ended = ended;
    this.#client = new Side(this, client, true);
    this.#server = new Side(this, server, false);
    this.#client.other = this.#server;
    this.#server.other = this.#client;
    client.data = this.#client;
    server.data = this.#server;
  }

  abort(end: ConnectionEnd): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#client.socket.terminate();
    this.#server.socket.terminate();
    this.#ended(end);
  }

  finishIfDone(): void {
    if (this.#finished || !this.#client.ended || !this.#server.ended) return;
    if (this.#client.writer.queued + this.#server.writer.queued > 0) return;
    this.#finished = true;
    this.#client.socket.end();
    this.#server.socket.end();
    this.#ended(COMPLETE);
  }
}
