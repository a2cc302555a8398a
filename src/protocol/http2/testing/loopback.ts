import { createHttp2Connection } from '../connection.ts';
import { CLIENT_SETTINGS, SERVER_SETTINGS } from '../limits.ts';
import type { HeaderList, Http2Connection, Http2Handler, Http2Output, Http2Settings } from '../types.ts';

/** The machine on real sockets, as plainly as possible. For tests; the product's shell is in `platform/net`. */

type TestSocket = Bun.Socket<SocketState>;

interface SocketState {
  connection: Http2Connection | undefined;
  readonly waiting: Uint8Array[];
  isEnding: boolean;
}

const newState = (): SocketState => ({ connection: undefined, waiting: [], isEnding: false });

function flush(socket: TestSocket): void {
  const { waiting } = socket.data;
  while (waiting.length > 0) {
    const first = waiting[0]!;
    const written = socket.write(first);
    if (written < 0) return;
    if (written < first.length) {
      waiting[0] = first.subarray(written);
      return;
    }
    waiting.shift();
  }
  if (socket.data.isEnding) socket.end();
}

const outputTo = (socket: TestSocket): Http2Output => ({
  write: (bytes) => {
    socket.data.waiting.push(bytes.slice());
    flush(socket);
  },
  writeData: (head, payload) => {
    socket.data.waiting.push(head.slice(), payload.slice());
    flush(socket);
  },
});

const socketHandler = (open: (socket: TestSocket) => void): Bun.SocketHandler<SocketState> => ({
  open,
  data: (socket, chunk) => socket.data.connection?.receive(chunk, performance.now()),
  drain: flush,
  close: (socket) => socket.data.connection?.transportClosed(),
});

const END: HeaderList = [['x-end', 'yes']];
const HELLO = new TextEncoder().encode('hello world');

/** Answers every request: CONNECT and bodies are echoed as they arrive, a request without a body gets its own headers back and `hello world`. */
class EchoApplication implements Http2Handler {
  connection: Http2Connection | undefined;
  private readonly socket: TestSocket;
  private readonly closes: string[];
  /** What is still to be sent, per stream, and whether the stream ends with it. */
  private readonly pending = new Map<number, { chunks: Uint8Array[]; ends: boolean; wantsTrailers: boolean }>();

  constructor(socket: TestSocket, closes: string[]) {
    this.socket = socket;
    this.closes = closes;
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const waiting = this.pending.get(streamId);
    if (waiting !== undefined) {
      waiting.ends = true;
      this.pump(streamId);
      return;
    }
    const own = headers.filter(([name]) => name.startsWith('x-'));
    this.connection!.sendHeaders(streamId, [[':status', '200'], ...own], false);
    const wantsTrailers = own.some(([name]) => name === 'x-trailers');
    this.pending.set(streamId, { chunks: endStream ? [HELLO] : [], ends: endStream, wantsTrailers });
    this.pump(streamId);
  }

  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const waiting = this.pending.get(streamId);
    if (waiting === undefined) return;
    if (chunk.length > 0) waiting.chunks.push(chunk.slice());
    waiting.ends = endStream;
    this.pump(streamId);
  }

  private pump(streamId: number): void {
    const waiting = this.pending.get(streamId)!;
    const connection = this.connection!;
    while (waiting.chunks.length > 0) {
      const first = waiting.chunks[0]!;
      const taken = connection.sendData(streamId, first, false);
      if (first !== HELLO) connection.consumed(streamId, taken);
      if (taken < first.length) {
        waiting.chunks[0] = first.subarray(taken);
        return;
      }
      waiting.chunks.shift();
    }
    if (!waiting.ends) return;
    this.pending.delete(streamId);
    if (waiting.wantsTrailers) connection.sendHeaders(streamId, END, true);
    else connection.sendData(streamId, new Uint8Array(0), true);
  }

  onReset(streamId: number): void {
    this.pending.delete(streamId);
  }
  onWritable(streamId: number): void {
    this.pump(streamId);
  }
  onGoaway(): void {}
  onClose(reason: string): void {
    this.closes.push(reason);
    this.socket.data.isEnding = true;
    flush(this.socket);
  }
}

export interface EchoServer {
  readonly port: number;
  /** Why connections ended, in order. */
  readonly closes: readonly string[];
  stop(): void;
}

export function listenEcho(settings: Partial<Http2Settings> = {}): EchoServer {
  const closes: string[] = [];
  const listener = Bun.listen<SocketState>({
    hostname: '127.0.0.1',
    port: 0,
    socket: socketHandler((socket) => {
      socket.data = newState();
      const application = new EchoApplication(socket, closes);
      application.connection = createHttp2Connection('server', { ...SERVER_SETTINGS, ...settings }, application, outputTo(socket));
      socket.data.connection = application.connection;
    }),
  });
  return { port: listener.port, closes, stop: () => listener.stop(true) };
}

/** A client connection with the given handler; the transport closes after `onClose`. */
export async function connectClient(port: number, handler: Http2Handler, settings: Partial<Http2Settings> = {}): Promise<Http2Connection> {
  const socket = await Bun.connect<SocketState>({ hostname: '127.0.0.1', port, data: newState(), socket: socketHandler(() => {}) });
  const closing: Http2Handler = {
    onHeaders: (streamId, headers, endStream) => handler.onHeaders(streamId, headers, endStream),
    onData: (streamId, chunk, endStream) => handler.onData(streamId, chunk, endStream),
    onReset: (streamId, code, local) => handler.onReset(streamId, code, local),
    onWritable: (streamId) => handler.onWritable(streamId),
    onGoaway: (lastStreamId, code) => handler.onGoaway(lastStreamId, code),
    onClose: (reason, detail) => {
      handler.onClose(reason, detail);
      socket.data.isEnding = true;
      flush(socket);
    },
  };
  const connection = createHttp2Connection('client', { ...CLIENT_SETTINGS, ...settings }, closing, outputTo(socket));
  socket.data.connection = connection;
  return connection;
}
