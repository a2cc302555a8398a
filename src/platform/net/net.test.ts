import { afterAll, expect, test } from 'bun:test';
import { bindSocket, closeDescriptor, libc, localEndpoint, openTcp } from '../linux/index.ts';
import {
  Dial,
  type DialEvents,
  type DialFailure,
  onConnectionFault,
  type SocketEvents,
  SocketWriter,
  TcpListener,
  type TcpSocket,
} from './index.ts';

const closers: (() => void)[] = [];
afterAll(() => {
  for (const close of closers) close();
});

/** Collects what happens on a connection. */
class Recorder implements DialEvents {
  readonly connected = Promise.withResolvers<TcpSocket>();
  readonly failed = Promise.withResolvers<DialFailure>();
  readonly ended = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<Error | undefined>();
  readonly written = Promise.withResolvers<void>();
  text = '';
  onConnected(socket: TcpSocket): void {
    this.connected.resolve(socket);
  }
  onDialFailed(failure: DialFailure): void {
    this.failed.resolve(failure);
  }
  onData(chunk: Buffer): void {
    this.text += chunk.toString();
  }
  onEnd(): void {
    this.ended.resolve();
  }
  onDrain(): void {
    this.written.resolve();
  }
  onClose(error: Error | undefined): void {
    this.closed.resolve(error);
    this.ended.resolve();
  }
}

function listenLocally(accept: (socket: TcpSocket) => SocketEvents | undefined, address = '127.0.0.1'): number {
  for (let port = 21_000 + Math.floor(Math.random() * 9000); ; port++) {
    try {
      const listener = new TcpListener({ address, port, reusePort: false }, accept);
      closers.push(() => listener.close());
      listener.serve();
      return port;
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
  }
}

test('a half-closed connection still carries the answer', async () => {
  const server = new Recorder();
  let accepted: TcpSocket | undefined;
  const port = listenLocally((socket) => {
    accepted = socket;
    return server;
  });
  const client = new Recorder();
  new Dial({ address: '127.0.0.1', port, timeout: 2000 }, client);
  const socket = await client.connected.promise;
  socket.write('question');
  socket.shutdown();
  await server.ended.promise;
  expect(server.text).toBe('question');
  accepted!.write('answer');
  accepted!.shutdown();
  await client.ended.promise;
  expect(client.text).toBe('answer');
  expect(await client.closed.promise).toBeUndefined();
});

test('a refused connection fails with its reason', async () => {
  const client = new Recorder();
  new Dial({ address: '127.0.0.1', port: 1, timeout: 2000 }, client);
  expect(await client.failed.promise).toEqual({ stage: 'connect', code: 'ECONNREFUSED', message: 'connection refused (ECONNREFUSED)' });
});

test('a dial ends at its time limit', async () => {
  // The kernel ignores further attempts once the queue of a listener that accepts nothing is full.
  const full = openTcp({ family: 4 });
  closers.push(() => closeDescriptor(full));
  expect(bindSocket(full, '127.0.0.1')).toBeUndefined();
  libc.listen(full, 0);
  const { port } = localEndpoint(full);
  const first = new Recorder();
  new Dial({ address: '127.0.0.1', port, timeout: 2000 }, first);
  await first.connected.promise;
  const late = new Recorder();
  new Dial({ address: '127.0.0.1', port, timeout: 200 }, late);
  expect(await late.failed.promise).toEqual({ stage: 'connect', code: 'ETIMEDOUT', message: 'deadline has elapsed (ETIMEDOUT)' });
});

test('a dial from an address that is not the host reaches the listener with it', async () => {
  const seen = Promise.withResolvers<string>();
  const port = listenLocally((socket) => {
    seen.resolve(socket.remoteAddress);
    return undefined;
  }, '0.0.0.0');
  new Dial({ address: '127.0.0.1', port, source: '127.0.0.77', sourceRequired: true, timeout: 2000 }, new Recorder());
  expect(await seen.promise).toBe('127.0.0.77');
});

test('a source address the kernel refuses is an error when it is required', async () => {
  const client = new Recorder();
  new Dial({ address: '127.0.0.1', port: 9, source: '::1', sourceRequired: true, timeout: 500 }, client);
  expect((await client.failed.promise).stage).toBe('connect');
});

test('connections wait in the kernel until the listener serves', async () => {
  let port = 0;
  const server = new Recorder();
  let accepted: TcpSocket | undefined;
  let listener: TcpListener | undefined;
  for (port = 31_000; listener === undefined; port++) {
    try {
      listener = new TcpListener({ address: '::', port, reusePort: true }, (socket) => {
        accepted = socket;
        socket.write('hello');
        return server;
      });
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
  }
  port--;
  const held = listener;
  closers.push(() => held.close());
  const client = new Recorder();
  new Dial({ address: '127.0.0.1', port, timeout: 2000 }, client);
  const socket = await client.connected.promise;
  held.serve();
  // Serving again exchanges the listener without a gap.
  held.serve();
  socket.shutdown();
  await server.ended.promise;
  accepted!.shutdown();
  await client.ended.promise;
  expect(client.text).toBe('hello');
});

test('a writer keeps what the kernel does not take and finishes after it', async () => {
  const size = 8 * 1024 * 1024;
  let received = 0;
  const done = Promise.withResolvers<void>();
  const accepted = Promise.withResolvers<TcpSocket>();
  const port = listenLocally((socket) => {
    accepted.resolve(socket);
    socket.pause();
    return {
      onData(chunk) {
        received += chunk.length;
      },
      onEnd: () => done.resolve(),
      onDrain() {},
      onClose: () => done.resolve(),
    };
  });
  class Sender extends Recorder {
    writer: SocketWriter | undefined;
    override onDrain(): void {
      this.writer?.drain();
    }
  }
  const client = new Sender();
  new Dial({ address: '127.0.0.1', port, timeout: 2000 }, client);
  const socket = await client.connected.promise;
  client.writer = new SocketWriter(socket);
  const taken = client.writer.write(Buffer.alloc(size, 1));
  expect(taken + client.writer.queued).toBe(size);
  expect(client.writer.queued).toBeGreaterThan(0);
  client.writer.finish();
  (await accepted.promise).resume();
  await done.promise;
  expect(received).toBe(size);
});

test('a bug in a handler ends its connection, is reported, and spares the others', async () => {
  const reported = Promise.withResolvers<Error>();
  onConnectionFault((error) => reported.resolve(error));
  const port = listenLocally(() => ({
    onData() {
      throw new TypeError('a bug');
    },
    onEnd() {},
    onDrain() {},
    onClose() {},
  }));
  const client = new Recorder();
  new Dial({ address: '127.0.0.1', port, timeout: 2000 }, client);
  (await client.connected.promise).write('x');
  expect((await reported.promise).message).toBe('a bug');
  await client.ended.promise;
});
