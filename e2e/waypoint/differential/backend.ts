/** The endpoints behind the proxies: they keep what reaches them, octet by octet, and answer as the request's `x-do` field asks. */
import type { SocketEvents, TcpSocket } from '../../../src/platform/net/index.ts';
import { socketHandlers } from '../../../src/platform/net/index.ts';
import { type Message, readMessage } from './message.ts';

/** What one request looked like when it arrived. */
export type Arrival = { readonly backend: string } & (
  | { readonly message: Message; readonly isWhole: boolean }
  | { readonly malformed: string }
);

/** Octets of a response by name; `{n}` stands for the number of the arrival at this backend within the case, from 1. */
export type Scripts = Readonly<Record<string, { readonly send: string; readonly thenClose?: boolean; readonly afterMs?: number }>>;

/** The request that shows whether a connection can be used on. */
export const PROBE_LINE = 'GET /probe HTTP/1.1';

const plain = (name: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Backend: ${name}\r\nContent-Length: ${name.length + 3}\r\n\r\nok ${name}`;

/** All backends of one proxy. */
export class Backends {
  readonly scripts: Scripts;
  readonly #listeners: { stop(force?: boolean): void }[] = [];
  readonly #connections = new Set<BackendConnection>();
  #arrivals: Arrival[] = [];
  #counts = new Map<string, number>();
  /** When something came last. */
  movedAt = 0;

  constructor(scripts: Scripts) {
    this.scripts = scripts;
  }

  /** To be called where the address is. */
  listen(name: string, hostname: string, port: number): void {
    this.#listeners.push(
      Bun.listen<SocketEvents>({
        hostname,
        port,
        allowHalfOpen: true,
        data: deaf,
        socket: {
          ...socketHandlers,
          open: (socket) => {
            const connection = new BackendConnection(this, name, socket);
            socket.data = connection;
            this.#connections.add(connection);
          },
        },
      }),
    );
  }

  get arrivals(): readonly Arrival[] {
    return this.#arrivals;
  }

  /** Nothing is half received or waits for its answer. */
  get isQuiet(): boolean {
    return [...this.#connections].every((connection) => connection.isQuiet);
  }

  /** Forgets what came, for the next case. */
  reset(): void {
    this.#arrivals = [];
    this.#counts = new Map();
    for (const connection of this.#connections) connection.forget();
  }

  arrived(arrival: Arrival): void {
    this.movedAt = performance.now();
    this.#arrivals.push(arrival);
  }

  left(connection: BackendConnection): void {
    this.#connections.delete(connection);
  }

  /** The answer to a request, or undefined: close without one. */
  answerTo(name: string, message: Message): { send: string; thenClose?: boolean; afterMs?: number } | undefined {
    const asked = message.headers.find(([field]) => field === 'x-do')?.[1] ?? '';
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    const isAgain = count > 1;
    if (message.startLine === PROBE_LINE) return { send: 'HTTP/1.1 200 OK\r\nX-Probe: 1\r\nContent-Length: 0\r\n\r\n' };
    const ok = { send: plain(name) };
    if (asked === '') return ok;
    if (asked === 'close') return undefined;
    if (asked === 'close-once') return isAgain ? ok : undefined;
    const slow = /^slow-(\d+)(-once)?$/.exec(asked);
    if (slow !== null) return slow[2] !== undefined && isAgain ? ok : { ...ok, afterMs: Number(slow[1]) };
    const status = /^status-(\d+)(-once)?$/.exec(asked);
    if (status !== null) {
      if (status[2] !== undefined && isAgain) return ok;
      return { send: `HTTP/1.1 ${status[1]} Some\r\nX-Backend: ${name}\r\nX-Attempt: ${count}\r\nContent-Length: 4\r\n\r\nnope` };
    }
    return this.scripts[asked] ?? { send: `HTTP/1.1 500 Unknown Script\r\nContent-Length: 0\r\n\r\n` };
  }

  stop(): void {
    for (const listener of this.#listeners) listener.stop(true);
  }
}

class BackendConnection implements SocketEvents {
  readonly #backends: Backends;
  readonly #name: string;
  readonly #socket: TcpSocket;
  #bytes = '';
  #isWaiting = false;
  #hasContinued = false;
  #isForgotten = false;
  #isTunnel = false;

  constructor(backends: Backends, name: string, socket: TcpSocket) {
    this.#backends = backends;
    this.#name = name;
    this.#socket = socket;
  }

  get isQuiet(): boolean {
    return this.#isForgotten || (this.#bytes === '' && !this.#isWaiting);
  }

  /** Another case has begun: what is left of the last one does not count. */
  forget(): void {
    if (!this.isQuiet || this.#isTunnel) this.#isForgotten = true;
  }

  onData(chunk: Buffer): void {
    this.#backends.movedAt = performance.now();
    if (this.#isTunnel) {
      this.#socket.write(chunk);
      return;
    }
    this.#bytes += chunk.toString('latin1');
    this.#read(false);
  }

  onEnd(): void {
    this.#read(true);
    this.#socket.end();
  }

  onDrain(): void {}

  onClose(): void {
    this.#read(true);
    this.#bytes = '';
    this.#isWaiting = false;
    this.#backends.left(this);
  }

  #read(isClosed: boolean): void {
    while (this.#bytes !== '' && !this.#isWaiting) {
      const reading = readMessage(this.#bytes, 0, undefined, isClosed);
      if (reading === 'more') {
        this.#continue();
        return;
      }
      if ('malformed' in reading) {
        this.#keep({ backend: this.#name, malformed: reading.malformed });
        this.#bytes = '';
        this.#socket.terminate();
        return;
      }
      this.#bytes = this.#bytes.slice(reading.end);
      this.#hasContinued = false;
      this.#keep({ backend: this.#name, message: reading, isWhole: !reading.isPartial });
      if (!isClosed) this.#answer(reading);
    }
  }

  /** A client that waits for leave to send its body gets it; one whose answer does not depend on the body gets that. */
  #continue(): void {
    const early = /\r\nx-do: (early[^\r]+)\r\n[\s\S]*\r\n\r\n/.exec(this.#bytes)?.[1];
    if (early !== undefined && !this.#hasContinued) {
      this.#hasContinued = true;
      this.#socket.end(Buffer.from(this.#backends.scripts[early]?.send ?? '', 'latin1'));
      return;
    }
    if (this.#hasContinued || !/\r\nexpect: *100-continue\r\n[\s\S]*\r\n\r\n/i.test(this.#bytes)) return;
    this.#hasContinued = true;
    this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  }

  #keep(arrival: Arrival): void {
    if (!this.#isForgotten) this.#backends.arrived(arrival);
  }

  #answer(message: Message): void {
    const upgrade = message.headers.find(([name]) => name === 'upgrade')?.[1];
    const asked = message.headers.find(([name]) => name === 'x-do')?.[1];
    if (upgrade !== undefined && asked === undefined) {
      this.#isTunnel = true;
      this.#socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\nX-Backend: ${this.#name}\r\n\r\n`,
      );
      if (this.#bytes !== '') this.#socket.write(Buffer.from(this.#bytes, 'latin1'));
      this.#bytes = '';
      return;
    }
    const answer = this.#backends.answerTo(this.#name, message);
    if (answer === undefined) {
      this.#socket.end();
      return;
    }
    const isHead = message.startLine.startsWith('HEAD ') && asked === undefined;
    const send = isHead ? answer.send.slice(0, answer.send.indexOf('\r\n\r\n') + 4) : answer.send;
    const write = (): void => {
      this.#isWaiting = false;
      this.#socket.write(Buffer.from(send, 'latin1'));
      if (answer.thenClose) this.#socket.end();
      else this.#read(false);
    };
    if (answer.afterMs === undefined) write();
    else {
      this.#isWaiting = true;
      setTimeout(write, answer.afterMs);
    }
  }
}

const deaf: SocketEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
