/** An HTTP/1.1 client that tries nothing twice. Kept connections are used in turn, and no longer than a few seconds. */
import net from 'node:net';
import type { WebClient } from './web-load.ts';

const MOST_AGE_MS = 2_000;
const CRLF2 = Buffer.from('\r\n\r\n');

interface Waiting {
  readonly onBody: (text: string) => void;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

export class Http1Connections implements WebClient {
  readonly #host: string;
  readonly #port: number;
  readonly #isKept: boolean;
  readonly #idle: Connection[] = [];

  constructor(target: string, way: 'fresh' | 'kept') {
    const [host = '', port = '80'] = target.split(':');
    this.#host = host;
    this.#port = Number(port);
    this.#isKept = way === 'kept';
  }

  async get(path: string, onBody: (text: string) => void, signal: AbortSignal): Promise<void> {
    let connection = this.#idle.shift();
    while (connection !== undefined && !connection.isUsable) {
      connection.close();
      connection = this.#idle.shift();
    }
    connection ??= new Connection(this.#host, this.#port);
    const stop = (): void => connection.fail('no whole answer within the deadline');
    signal.addEventListener('abort', stop, { once: true });
    try {
      await connection.get(path, this.#isKept, onBody);
      if (this.#isKept && connection.isUsable) this.#idle.push(connection);
      else connection.close();
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

class Connection {
  readonly #socket: net.Socket;
  readonly #host: string;
  readonly #since = Date.now();
  #waiting: Waiting | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  /** What is left of the body: octets, or a chunk's; -1 while the head has not come. */
  #left = -1;
  #isChunked = false;
  #isReusable = true;
  #problem = '';

  constructor(host: string, port: number) {
    this.#host = host;
    this.#socket = net.connect({ host, port });
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk) => this.#read(Buffer.from(chunk)));
    this.#socket.on('error', (error) => this.fail(error.message));
    this.#socket.on('end', () => this.fail('the connection ended'));
    this.#socket.on('close', () => this.fail('the connection was closed'));
  }

  get isUsable(): boolean {
    return this.#isReusable && this.#problem === '' && Date.now() - this.#since < MOST_AGE_MS;
  }

  get(path: string, isKept: boolean, onBody: (text: string) => void): Promise<void> {
    this.#left = -1;
    this.#isReusable = isKept;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting = { onBody, done: resolve, failed: reject };
    if (this.#problem !== '') this.fail(this.#problem);
    else this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n${isKept ? '' : 'connection: close\r\n'}\r\n`);
    return promise;
  }

  close(): void {
    this.#problem ||= 'closed';
    this.#socket.destroy();
  }

  fail(reason: string): void {
    this.#problem ||= reason;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.failed(new Error(`${this.#left < 0 ? 'no answer' : 'half an answer'}: ${reason}`));
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    if (this.#waiting === undefined) {
      this.fail('octets nobody asked for');
      return;
    }
    if (this.#left < 0 && !this.#readHead()) return;
    if (this.#isChunked) this.#readChunks();
    else {
      const part = this.#buffer.subarray(0, this.#left);
      this.#buffer = this.#buffer.subarray(part.length);
      this.#left -= part.length;
      this.#waiting?.onBody(part.toString());
      if (this.#left === 0) this.#finish();
    }
  }

  #readHead(): boolean {
    const at = this.#buffer.indexOf(CRLF2);
    if (at < 0) return false;
    const head = this.#buffer.subarray(0, at).toString('latin1');
    this.#buffer = this.#buffer.subarray(at + CRLF2.length);
    const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1];
    if (/^connection: *close/im.test(head)) this.#isReusable = false;
    if (status !== '200') {
      this.fail(`status ${status ?? head.slice(0, 40)}`);
      return false;
    }
    this.#isChunked = /^transfer-encoding: *chunked/im.test(head);
    this.#left = this.#isChunked ? 0 : Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.POSITIVE_INFINITY);
    return true;
  }

  #readChunks(): void {
    for (;;) {
      if (this.#left > 0) {
        const part = this.#buffer.subarray(0, Math.max(0, Math.min(this.#left - 2, this.#buffer.length)));
        if (part.length > 0) this.#waiting?.onBody(part.toString());
        const taken = Math.min(this.#left, this.#buffer.length);
        this.#buffer = this.#buffer.subarray(taken);
        this.#left -= taken;
        if (this.#left > 0) return;
      }
      const at = this.#buffer.indexOf('\r\n');
      if (at < 0) return;
      const size = Number.parseInt(this.#buffer.subarray(0, at).toString('latin1'), 16);
      if (size === 0 && this.#buffer.length < at + 4) return;
      this.#buffer = this.#buffer.subarray(at + (size === 0 ? 4 : 2));
      if (size === 0) {
        this.#finish();
        return;
      }
      this.#left = size + 2;
    }
  }

  #finish(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.done();
  }
}
