/** One query forwarded to the nameservers, one after the other until one of them answers. */
import {
  type Deadline,
  Dial,
  type DialEvents,
  type DialFailure,
  deadlines,
  SocketWriter,
  type TcpSocket,
  type UdpEvents,
  UdpSocket,
} from '../../../platform/net/index.ts';
import { FrameReader, framed } from './framing.ts';
import { codeOf, isAnswerTo, type Query, REFUSED, SERVFAIL } from './message.ts';

export const DNS_PORT = 53;
/** To get a TCP connection to a nameserver; the contract's. */
const CONNECT_TIMEOUT_MS = 5000;
/** For each message of an answer over TCP. */
const TCP_ANSWER_TIMEOUT_MS = 5000;

/** The nameservers as one pod reaches them. */
export interface Upstream {
  readonly nameservers: readonly string[];
  readonly port: number;
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly networkNamespace: number | undefined;
  readonly mark: number | undefined;
  /** Index of the one to begin with: one that did not answer is not the first again. */
  first: number;
}

export interface ExchangeEvents {
  /** `message` is only valid during the call. A zone transfer has several, and an end without one. */
  onMessage(message: Buffer | undefined, isLast: boolean): void;
  onFailed(reason: string): void;
}

abstract class Exchange implements Deadline {
  dueAt = Number.POSITIVE_INFINITY;
  protected readonly upstream: Upstream;
  protected readonly query: Query;
  /** Ours: the id is exchanged for one nobody can guess. */
  protected readonly sent: Buffer;
  readonly #events: ExchangeEvents;
  readonly #begin: number;
  #tries = 0;
  #over = false;
  #hasMessages = false;
  #lastReason = 'no nameserver is configured';
  /** A nameserver's word that it cannot tell: better than none. */
  #fallback: Buffer | undefined;

  constructor(upstream: Upstream, asked: Buffer, query: Query, events: ExchangeEvents) {
    this.upstream = upstream;
    this.query = query;
    this.sent = Buffer.from(asked);
    this.#events = events;
    this.#begin = upstream.first;
    deadlines.add(this);
  }

  protected abstract ask(server: string): void;
  /** Lets go of the connection of the try. */
  protected abstract letGo(): void;

  start(): void {
    this.next();
  }

  /** Ends it; nobody is told. */
  abort(): void {
    this.#end();
  }

  onDeadline(): void {
    this.unanswered('no answer in time');
  }

  /** The nameserver of this try says nothing. */
  protected unanswered(reason: string): void {
    if (this.#over) return;
    if (this.#hasMessages) {
      this.#finish();
      return;
    }
    const { nameservers } = this.upstream;
    const index = (this.#begin + this.#tries - 1) % nameservers.length;
    this.#lastReason = `${nameservers[index]}: ${reason}`;
    if (this.upstream.first === index) this.upstream.first = (index + 1) % nameservers.length;
    this.next();
  }

  protected received(message: Buffer): void {
    if (this.#over || !isAnswerTo(this.sent, this.query, message)) return;
    const code = codeOf(message);
    const { nameservers } = this.upstream;
    if ((code === SERVFAIL || code === REFUSED) && !this.#hasMessages && this.#tries < nameservers.length) {
      this.#fallback = Buffer.from(message);
      this.next();
      return;
    }
    this.#hasMessages = true;
    if (this.query.isTransfer && this.isStream) {
      this.dueAt = performance.now() + TCP_ANSWER_TIMEOUT_MS;
      this.#events.onMessage(message, false);
      return;
    }
    this.#end();
    this.#events.onMessage(message, true);
  }

  protected abstract readonly isStream: boolean;

  protected next(): void {
    this.letGo();
    const { nameservers, attempts } = this.upstream;
    if (this.#tries >= nameservers.length * attempts || (this.#fallback && this.#tries >= nameservers.length)) {
      this.#finish();
      return;
    }
    const server = nameservers[(this.#begin + this.#tries++) % nameservers.length]!;
    this.sent.writeUInt16BE(randomId(), 0);
    try {
      this.ask(server);
    } catch (error) {
      // No socket, no route: the next nameserver may be luckier. Not from inside the caller's stack.
      queueMicrotask(() => this.unanswered((error as Error).message));
    }
  }

  #finish(): void {
    this.#end();
    if (this.#hasMessages) this.#events.onMessage(undefined, true);
    else if (this.#fallback) this.#events.onMessage(this.#fallback, true);
    else this.#events.onFailed(this.#lastReason);
  }

  #end(): void {
    this.#over = true;
    deadlines.delete(this);
    this.letGo();
  }
}

const ids = new Uint16Array(1);
const randomId = (): number => crypto.getRandomValues(ids)[0]!;

/** Each try from a port and with an id of its own; only the nameserver itself can answer it. */
export class UdpExchange extends Exchange implements UdpEvents {
  protected readonly isStream = false;
  #socket: UdpSocket | undefined;

  protected ask(server: string): void {
    const { port, networkNamespace, mark, timeoutMs } = this.upstream;
    this.dueAt = performance.now() + timeoutMs;
    this.#socket = new UdpSocket({ address: server, port, connect: true, networkNamespace, mark }, this);
    this.#socket.send(this.sent, port, server);
  }

  onDatagram(datagram: Buffer): void {
    this.received(datagram);
  }

  onUdpError(error: NodeJS.ErrnoException): void {
    this.unanswered(error.message);
  }

  protected letGo(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

export class TcpExchange extends Exchange {
  protected readonly isStream = true;
  #attempt: TcpAttempt | undefined;

  protected ask(server: string): void {
    // The dial has its own limit; this one begins when it is over.
    this.dueAt = Number.POSITIVE_INFINITY;
    const { port, networkNamespace, mark } = this.upstream;
    const attempt = new TcpAttempt(framed(this.sent), {
      connected: () => {
        this.dueAt = performance.now() + TCP_ANSWER_TIMEOUT_MS;
      },
      message: (bytes) => this.received(bytes),
      lost: (reason) => this.unanswered(reason),
    });
    this.#attempt = attempt;
    attempt.dial = new Dial({ address: server, port, networkNamespace, mark, timeout: CONNECT_TIMEOUT_MS }, attempt);
  }

  protected letGo(): void {
    this.#attempt?.abandon();
    this.#attempt = undefined;
  }
}

interface AttemptEvents {
  connected(): void;
  message(bytes: Buffer): void;
  lost(reason: string): void;
}

/** One TCP connection to a nameserver. */
class TcpAttempt implements DialEvents {
  dial: Dial | undefined;
  readonly #request: Buffer;
  readonly #events: AttemptEvents;
  readonly #writer = new SocketWriter();
  readonly #reader = new FrameReader();
  #socket: TcpSocket | undefined;
  #abandoned = false;

  constructor(request: Buffer, events: AttemptEvents) {
    this.#request = request;
    this.#events = events;
  }

  abandon(): void {
    this.#abandoned = true;
    this.dial?.cancel();
    this.#socket?.terminate();
    this.#socket = undefined;
    this.#writer.discard();
  }

  onConnected(socket: TcpSocket): void {
    this.#socket = socket;
    this.#writer.attach(socket);
    this.#writer.write(this.#request);
    this.#events.connected();
  }

  onDialFailed({ message }: DialFailure): void {
    if (!this.#abandoned) this.#events.lost(message);
  }

  onData(chunk: Buffer): void {
    this.#reader.push(chunk);
    for (let frame = this.#reader.next(); frame !== undefined && !this.#abandoned; frame = this.#reader.next()) this.#events.message(frame);
  }

  onEnd(): void {
    if (!this.#abandoned) this.#events.lost('the nameserver closed the connection without an answer');
  }

  onDrain(): void {
    this.#writer.drain();
  }

  onClose(error: Error | undefined): void {
    this.#socket = undefined;
    if (!this.#abandoned) this.#events.lost(error?.message ?? 'the nameserver closed the connection without an answer');
  }
}
