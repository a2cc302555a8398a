/** A channel that is a TCP connection, in the clear or with TLS: to endpoints that are not in the mesh. */
import { type SocketEvents, SocketWriter, type TcpSocket } from '../../platform/net/index.ts';
import { Channel } from './channel.ts';

/** Octets handed out and not yet consumed before the socket is read no more. */
const RECEIVE_WINDOW = 1024 * 1024;

export class SocketChannel extends Channel implements SocketEvents {
  readonly #socket: TcpSocket;
  readonly #writer: SocketWriter;
  #unconsumed = 0;
  #isPaused = false;
  #ended = false;
  #closed = false;

  constructor(socket: TcpSocket) {
    super();
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    socket.data = this;
  }

  override get isBackedUp(): boolean {
    return this.#writer.queued > 0;
  }

  override write(bytes: Uint8Array): void {
    if (!this.#closed && !this.#writer.isFinished) this.#writer.write(bytes);
  }

  override finish(): void {
    if (this.#closed) return;
    this.#writer.finish();
    this.#settle();
  }

  override abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#writer.discard();
    this.#socket.terminate();
  }

  override consumed(length: number): void {
    this.#unconsumed -= length;
    if (!this.#isPaused || this.#closed || this.#unconsumed > RECEIVE_WINDOW / 2) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  onData(chunk: Buffer): void {
    if (this.#closed) return;
    this.#unconsumed += chunk.length;
    this.events.onChannelData(chunk);
    if (this.#unconsumed < RECEIVE_WINDOW || this.#isPaused || this.#closed) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  onEnd(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    this.events.onChannelEnd();
    this.#settle();
  }

  onDrain(): void {
    if (this.#closed) return;
    this.#writer.drain();
    if (this.#writer.queued > 0) return;
    this.#settle();
    if (!this.#closed) this.events.onChannelDrained();
  }

  onClose(error: Error | undefined): void {
    if (this.#closed) return;
    const hasSaidAll = this.#writer.isFinished && this.#writer.queued === 0;
    // When this end has finished, the peer's end and the close are one event, without the first of them being told.
    if (error === undefined) this.onEnd();
    if (this.#closed) return;
    this.#closed = true;
    this.#writer.discard();
    this.events.onChannelClosed(
      error === undefined && hasSaidAll,
      (error as NodeJS.ErrnoException | undefined)?.code ?? 'connection closed',
    );
  }

  #settle(): void {
    if (!this.#ended || !this.#writer.isFinished || this.#writer.queued > 0 || this.#closed) return;
    this.#closed = true;
    this.#socket.end();
    this.events.onChannelClosed(true, '');
  }
}
