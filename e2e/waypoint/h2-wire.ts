/** HTTP/2 over a raw connection, in either role, with every frame in the test's own hands. */
import {
  CLIENT_SETTINGS,
  createHttp2Connection,
  ErrorCode,
  type HeaderList,
  type Http2Connection,
  type Http2Handler,
  type Http2Settings,
} from '../../src/protocol/index.ts';
import type { Wire } from './wire.ts';

const PATIENCE_MS = 10_000;
const encoder = new TextEncoder();

export const H2_SETTINGS: Http2Settings = {
  ...CLIENT_SETTINGS,
  streamWindow: 65_535,
  connectionWindow: 1024 * 1024,
  maxFrameSize: 16_384,
  maxHeaderListSize: 64 * 1024,
  maxConcurrentStreams: 1000,
  keepaliveInterval: Number.POSITIVE_INFINITY,
  keepaliveTimeout: Number.POSITIVE_INFINITY,
};

/** One stream, as this end has seen it. */
export class H2Stream {
  readonly id: number;
  readonly #peer: H2Peer;
  /** Every list that came: interim ones, the head, trailers. */
  readonly lists: HeaderList[] = [];
  body = '';
  received = 0;
  isEnded = false;
  /** Of a reset, else -1. */
  code = -1;
  /** Data is credited as it comes; off: the test does it. */
  credits = true;
  keepsBody = true;
  #pending: Uint8Array[] = [];
  #ends = false;

  constructor(peer: H2Peer, id: number) {
    this.#peer = peer;
    this.id = id;
  }

  get fields(): Record<string, string> {
    return Object.fromEntries(this.lists.find((list) => !list.some(([name, value]) => name === ':status' && value.startsWith('1'))) ?? []);
  }
  get status(): number {
    return Number(this.fields[':status'] ?? 0);
  }
  get trailers(): Record<string, string> {
    const last = this.lists.at(-1);
    return last === undefined || last.some(([name]) => name.startsWith(':')) ? {} : Object.fromEntries(last);
  }

  respond(fields: HeaderList, endStream = false): this {
    this.#peer.http2.sendHeaders(this.id, fields, endStream);
    return this;
  }
  send(data: string | Uint8Array, endStream = false): this {
    this.#pending.push(typeof data === 'string' ? encoder.encode(data) : data);
    this.#ends ||= endStream;
    this.pump();
    return this;
  }
  end(): this {
    return this.send('', true);
  }
  reset(code: ErrorCode = ErrorCode.CANCEL): void {
    this.#peer.http2.reset(this.id, code);
  }
  get queued(): number {
    return this.#pending.reduce((sum, part) => sum + part.length, 0);
  }
  pump(): void {
    while (this.#pending.length > 0) {
      const part = this.#pending[0]!;
      const isLast = this.#ends && this.#pending.length === 1;
      const taken = this.#peer.http2.sendData(this.id, part, isLast);
      if (taken < part.length) {
        this.#pending[0] = part.subarray(taken);
        return;
      }
      this.#pending.shift();
    }
  }

  until(what: string, isTrue: () => boolean): Promise<void> {
    return this.#peer.until(
      `${what} on stream ${this.id} (${JSON.stringify(this.lists)}, ${this.received} octets, code ${this.code})`,
      isTrue,
    );
  }
  async head(): Promise<this> {
    await this.until('a head', () => this.status > 0 || this.code >= 0);
    return this;
  }
  async ended(): Promise<this> {
    await this.until('the end', () => this.isEnded || this.code >= 0);
    return this;
  }
  async wasReset(): Promise<number> {
    await this.until('a reset', () => this.code >= 0);
    return this.code;
  }
}

export class H2Peer implements Http2Handler {
  readonly wire: Wire;
  readonly http2: Http2Connection;
  readonly streams = new Map<number, H2Stream>();
  /** Server: streams nobody asked for yet. */
  readonly #fresh: H2Stream[] = [];
  goaways: number[] = [];
  closeReason = '';
  #wakers: (() => void)[] = [];

  constructor(wire: Wire, role: 'client' | 'server', settings: Partial<Http2Settings> = {}) {
    this.wire = wire;
    this.http2 = createHttp2Connection(role, { ...H2_SETTINGS, ...settings }, this, {
      write: (bytes) => wire.send(bytes.slice()),
      writeData: (head, payload) => wire.send(Buffer.concat([head, payload])),
    });
    const early = Buffer.from(wire.take(wire.text.length), 'latin1');
    wire.onChunk = (chunk) => this.http2.receive(chunk, performance.now());
    if (early.length > 0) this.http2.receive(early, performance.now());
  }

  /** Client: opens a stream. */
  request(fields: HeaderList, endStream = true): H2Stream {
    const id = this.http2.request(fields, endStream);
    if (id === undefined) throw new Error('no more streams');
    const stream = new H2Stream(this, id);
    this.streams.set(id, stream);
    return stream;
  }
  get(path = '/', more: HeaderList = []): H2Stream {
    return this.request([...pseudo('GET', path), ...more]);
  }
  post(path = '/', more: HeaderList = []): H2Stream {
    return this.request([...pseudo('POST', path), ...more], false);
  }

  /** Server: the next stream of the client. */
  async next(): Promise<H2Stream> {
    await this.until('a stream', () => this.#fresh.length > 0);
    return this.#fresh.shift()!;
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    const timer = setTimeout(() => this.#wake(), PATIENCE_MS + 10);
    try {
      while (!isTrue()) {
        if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
        await new Promise<void>((wake) => this.#wakers.push(wake));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    let stream = this.streams.get(streamId);
    if (stream === undefined) {
      stream = new H2Stream(this, streamId);
      this.streams.set(streamId, stream);
      this.#fresh.push(stream);
    }
    stream.lists.push(headers);
    stream.isEnded ||= endStream;
    this.#wake();
  }
  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const stream = this.streams.get(streamId)!;
    stream.received += chunk.length;
    if (stream.keepsBody) stream.body += Buffer.from(chunk).toString('latin1');
    stream.isEnded ||= endStream;
    if (stream.credits) this.http2.consumed(streamId, chunk.length);
    this.#wake();
  }
  onReset(streamId: number, code: number): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.code = code;
    this.#wake();
  }
  onWritable(streamId: number): void {
    this.streams.get(streamId)?.pump();
  }
  onGoaway(_lastStreamId: number, code: number): void {
    this.goaways.push(code);
    this.#wake();
  }
  onClose(reason: string): void {
    this.closeReason = reason;
    this.wire.finish();
    this.#wake();
  }
  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}

export const pseudo = (method: string, path: string, authority = 'h2.default.svc.cluster.local'): HeaderList => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', authority],
  [':path', path],
];
