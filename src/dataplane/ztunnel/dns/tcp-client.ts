/** A DNS client on TCP: many queries on one connection, answered as soon as each can be (RFC 7766). */
import { type Deadline, deadlines, type SocketEvents, SocketWriter, type TcpSocket } from '../../../platform/net/index.ts';
import { FrameReader, framed } from './framing.ts';

/** A connection without a whole query or an answer for this long is closed, in milliseconds. */
export const TCP_IDLE_MS = 10_000;
/** Answers a client may leave unread, in octets. */
const MAX_UNREAD_BYTES = 256 * 1024;

export interface TcpClientHost {
  /** Answers now or later through `answerTcp`. */
  askedOverTcp(query: Buffer, client: TcpClient): void;
  tcpClientClosed(client: TcpClient): void;
  /** It does not read its answers. */
  tcpClientDeaf(client: TcpClient): void;
}

export class TcpClient implements SocketEvents, Deadline {
  dueAt = performance.now() + TCP_IDLE_MS;
  readonly #host: TcpClientHost;
  readonly #reader = new FrameReader();
  readonly #socket: TcpSocket;
  readonly #writer: SocketWriter;
  #waiting = 0;
  #isEnding = false;
  #isClosed = false;

  constructor(socket: TcpSocket, host: TcpClientHost) {
    this.#host = host;
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    deadlines.add(this);
  }

  /** `isLast` unless more messages answer the same query. Without a message the query stays unanswered. */
  answer(message: Uint8Array | undefined, isLast: boolean): void {
    if (isLast) this.#waiting--;
    if (this.#isClosed) return;
    if (message !== undefined) this.#writer.write(framed(message));
    this.#rest();
    if (this.#writer.queued > MAX_UNREAD_BYTES) {
      this.#host.tcpClientDeaf(this);
      this.close();
    } else this.#finishIfDone();
  }

  /** Takes no more queries; closes when those that wait are answered. */
  drain(): void {
    this.#isEnding = true;
    this.#finishIfDone();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    deadlines.delete(this);
    this.#writer.discard();
    this.#socket.terminate();
    this.#host.tcpClientClosed(this);
  }

  onData(chunk: Buffer): void {
    if (this.#isEnding || this.#isClosed) return;
    this.#reader.push(chunk);
    for (let query = this.#reader.next(); query !== undefined && !this.#isClosed; query = this.#reader.next()) {
      this.#waiting++;
      this.#host.askedOverTcp(query, this);
      this.#rest();
    }
  }

  onEnd(): void {
    this.drain();
  }

  onDrain(): void {
    this.#writer.drain();
    this.#rest();
  }

  onClose(): void {
    this.close();
  }

  onDeadline(): void {
    this.close();
  }

  /** Only whole queries and answers that are read keep the connection: not octets that trickle in. */
  #rest(): void {
    this.dueAt = this.#waiting > 0 && this.#writer.queued === 0 ? Number.POSITIVE_INFINITY : performance.now() + TCP_IDLE_MS;
  }

  #finishIfDone(): void {
    if (this.#isEnding && this.#waiting === 0) this.#writer.finish();
  }
}
