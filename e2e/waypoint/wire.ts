/** Both ends of raw TCP connections inside a lab's namespace: what is sent and in which pieces is the test's own choice. */
import {
  Dial,
  type DialEvents,
  type DialFailure,
  type SocketEvents,
  SocketWriter,
  TcpListener,
  type TcpSocket,
} from '../../src/platform/net/index.ts';

/** Where sockets are made: a lab, or a pod beside it. */
export interface Place {
  readonly netns: number;
}

/** How long anything may take that a test waits for. */
const PATIENCE_MS = 8000;

export interface Message {
  readonly start: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, string>>;
  /** The head as it came. */
  readonly head: string;
}

/** One end of a connection. Text is latin1, so a character is an octet. */
export class Wire implements DialEvents, SocketEvents {
  /** What came and was not taken by one of the readers. */
  text = '';
  received = 0;
  isEnded = false;
  isClosed = false;
  closeError: Error | undefined;
  /** Called instead of collecting. */
  onChunk: ((chunk: Buffer) => void) | undefined;
  readonly #connected = Promise.withResolvers<void>();
  #socket: TcpSocket | undefined;
  #writer: SocketWriter | undefined;
  #wakers: (() => void)[] = [];

  onConnected(socket: TcpSocket): void {
    this.#socket = socket;
    this.#writer = new SocketWriter(socket);
    socket.data = this;
    this.#connected.resolve();
  }
  onDialFailed(failure: DialFailure): void {
    this.#connected.reject(new Error(failure.message));
  }
  get connected(): Promise<void> {
    return this.#connected.promise;
  }
  onData(chunk: Buffer): void {
    this.received += chunk.length;
    if (this.onChunk === undefined) this.text += chunk.toString('latin1');
    else this.onChunk(chunk);
    this.#wake();
  }
  onEnd(): void {
    this.isEnded = true;
    this.#wake();
  }
  onDrain(): void {
    this.#writer?.drain();
    this.#wake();
  }
  onClose(error: Error | undefined): void {
    this.isEnded = true;
    this.isClosed = true;
    this.closeError = error;
    this.#wake();
  }
  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }

  send(data: string | Uint8Array): void {
    this.#writer?.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
  }
  get queued(): number {
    return this.#writer?.queued ?? 0;
  }
  /** Half-closes. */
  finish(): void {
    this.#writer?.finish();
  }
  /** Closes in both directions, as a program that exits: FIN, and RST for whatever still comes. */
  close(): void {
    this.#socket?.end();
  }
  reset(): void {
    this.#socket?.terminate();
  }
  pause(): void {
    this.#socket?.pause();
  }
  resume(): void {
    this.#socket?.resume();
  }

  /** Waits until `isTrue`; fails when the connection is over before, or it takes too long. */
  async until(what: string, isTrue: () => boolean, patience = PATIENCE_MS): Promise<void> {
    const timer = setTimeout(() => this.#wake(), patience);
    const deadline = performance.now() + patience - 50;
    try {
      while (!isTrue()) {
        if (this.isClosed || (this.isEnded && !/end|close/.test(what)))
          throw new Error(`the connection ended before ${what}; it said ${JSON.stringify(this.text.slice(0, 500))}`);
        if (performance.now() > deadline) throw new Error(`waited in vain for ${what}; had ${JSON.stringify(this.text.slice(0, 500))}`);
        await new Promise<void>((wake) => this.#wakers.push(wake));
      }
    } finally {
      clearTimeout(timer);
    }
  }
  /** Takes everything up to and with `mark`. */
  async through(mark: string): Promise<string> {
    await this.until(JSON.stringify(mark), () => this.text.includes(mark));
    return this.take(this.text.indexOf(mark) + mark.length);
  }
  async octets(count: number): Promise<string> {
    await this.until(`${count} octets`, () => this.text.length >= count);
    return this.take(count);
  }
  async ended(): Promise<string> {
    await this.until('the end', () => this.isEnded);
    return this.take(this.text.length);
  }
  async closed(): Promise<void> {
    await this.until('the close', () => this.isClosed);
  }
  take(count: number): string {
    const taken = this.text.slice(0, count);
    this.text = this.text.slice(count);
    return taken;
  }

  /** Reads one HTTP/1 message. `isBodyless`: the answer to HEAD, or 1xx, 204, 304. */
  async message(isBodyless = false): Promise<Message> {
    const head = await this.through('\r\n\r\n');
    const [start = '', ...lines] = head.slice(0, -4).split('\r\n');
    const headers = fieldsOf(lines);
    const status = start.startsWith('HTTP/') ? Number(start.split(' ')[1]) : 0;
    const base = { start, status, headers, head, trailers: {} };
    if (isBodyless || (status >= 100 && status < 200) || status === 204 || status === 304) return { ...base, body: '' };
    if (headers['transfer-encoding'] === 'chunked') return { ...base, ...(await this.#chunks()) };
    const length = headers['content-length'];
    if (length !== undefined) return { ...base, body: await this.octets(Number(length)) };
    return { ...base, body: status === 0 ? '' : await this.ended() };
  }

  async #chunks(): Promise<{ body: string; trailers: Record<string, string> }> {
    let body = '';
    for (;;) {
      const size = Number.parseInt(await this.through('\r\n'), 16);
      if (size === 0) break;
      body += await this.octets(size);
      await this.through('\r\n');
    }
    const lines: string[] = [];
    for (let line = await this.through('\r\n'); line !== '\r\n'; line = await this.through('\r\n')) lines.push(line.slice(0, -2));
    return { body, trailers: fieldsOf(lines) };
  }
}

const fieldsOf = (lines: readonly string[]): Record<string, string> => {
  const fields: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    fields[name] = name in fields ? `${fields[name]}, ${value}` : value;
  }
  return fields;
};

/** A client of a port that `lab.open` gave. */
export async function connect(lab: Place, port: number): Promise<Wire> {
  const wire = new Wire();
  new Dial({ address: '127.0.0.1', port, networkNamespace: lab.netns, timeout: PATIENCE_MS }, wire);
  await wire.connected;
  return wire;
}

export class RawServer {
  /** In the order they came. */
  readonly wires: Wire[] = [];
  readonly #listener: TcpListener;
  #taken = 0;
  #waiting: ((wire: Wire) => void)[] = [];
  accept: ((wire: Wire) => void) | undefined;

  constructor(lab: Place, ip: string, port: number, accept?: (wire: Wire) => void) {
    this.accept = accept;
    this.#listener = new TcpListener({ address: ip, port, networkNamespace: lab.netns, reusePort: false }, (socket) => {
      const wire = new Wire();
      wire.onConnected(socket);
      this.wires.push(wire);
      this.accept?.(wire);
      this.#waiting.shift()?.(this.wires[this.#taken++]!);
      return wire;
    });
    this.#listener.serve();
  }

  /** The next connection nobody asked for yet. */
  next(): Promise<Wire> {
    const known = this.wires[this.#taken];
    if (known === undefined)
      return new Promise((resolve, reject) => {
        const taker = (wire: Wire): void => {
          clearTimeout(timer);
          resolve(wire);
        };
        const timer = setTimeout(() => {
          this.#waiting.splice(this.#waiting.indexOf(taker), 1);
          reject(new Error('waited in vain for a connection'));
        }, PATIENCE_MS);
        this.#waiting.push(taker);
      });
    this.#taken++;
    return Promise.resolve(known);
  }

  /** Connections that came until now are of no interest. */
  forget(): void {
    this.#taken = this.wires.length;
  }

  stop(): void {
    this.#listener.close();
    for (const wire of this.wires) wire.reset();
  }
}

/** Answers each request on each connection by `answer`, whose text is sent as it is. */
export const answering =
  (answer: (request: Message, wire: Wire) => string | Promise<string>) =>
  (wire: Wire): void => {
    const serve = async (): Promise<void> => {
      while (!wire.isEnded) {
        await wire.until('a request or the end', () => wire.text.includes('\r\n\r\n') || wire.isEnded);
        if (!wire.text.includes('\r\n\r\n')) break;
        wire.send(await answer(await wire.message(), wire));
      }
      wire.finish();
    };
    // A client that goes is no fault of the server.
    serve().catch(() => wire.reset());
  };
