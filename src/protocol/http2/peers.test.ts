import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { unlink } from 'node:fs/promises';
import * as http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectClient, listenEcho } from './testing/loopback.ts';
// A plain program, because the real Node runs it too.
// @ts-expect-error
import { EXPECTED, exerciseServer, startServer } from './testing/node-peer.mjs';
import { ErrorCode, type HeaderList, type Http2Connection, type Http2Handler } from './types.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const PEER = `${import.meta.dir}/testing/node-peer.mjs`;
const node = Bun.which('node');
const h2load = Bun.which('h2load');
const withNode = node === null ? test.skip : test;
const withH2load = h2load === null ? test.skip : test;
const why = (program: string | null, name: string): string => (program === null ? ` (skipped: the program ${name} is not installed)` : '');

/** A program for the real Node, with `http2` and the peer's functions at hand. */
const nodeProgram = (code: string): string[] => [
  node!,
  '--input-type=module',
  '-e',
  `import http2 from 'node:http2'; import * as peer from ${JSON.stringify(PEER)}; ${code}`,
];

const running: Bun.Subprocess[] = [];
const files: string[] = [];
afterAll(async () => {
  for (const file of files) await unlink(file);
  for (const child of running) child.kill();
});

async function outputOf(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'inherit' });
  running.push(child);
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text;
}

describe('our server', () => {
  test('serves node:http2’s client in this process', async () => {
    const server = listenEcho();
    expect(await exerciseServer(http2, server.port)).toEqual(EXPECTED);
    server.stop();
  });

  withNode(`serves the client of the real Node${why(node, 'node')}`, async () => {
    const server = listenEcho();
    expect(
      JSON.parse(await outputOf(nodeProgram(`console.log(JSON.stringify(await peer.exerciseServer(http2, ${server.port})))`))),
    ).toEqual(EXPECTED);
    server.stop();
    expect(server.closes).toEqual(['peer-goaway']);
  });

  withNode(`serves the client of the real Node with the smallest windows and frames${why(node, 'node')}`, async () => {
    const server = listenEcho({ streamWindow: 20_000, connectionWindow: 65_535, maxFrameSize: 16_384, maxHeaderListSize: 16_384 });
    expect(
      JSON.parse(await outputOf(nodeProgram(`console.log(JSON.stringify(await peer.exerciseServer(http2, ${server.port})))`))),
    ).toEqual(EXPECTED);
    server.stop();
  });

  withH2load(`serves h2load: requests on many streams of several connections${why(h2load, 'h2load')}`, async () => {
    const server = listenEcho();
    const report = await outputOf([h2load!, '-n', '6000', '-c', '6', '-m', '100', `http://127.0.0.1:${server.port}/`]);
    expect(report).toContain('requests: 6000 total, 6000 started, 6000 done, 6000 succeeded, 0 failed, 0 errored, 0 timeout');
    server.stop();
  });

  withH2load(`echoes the uploads of h2load through small windows${why(h2load, 'h2load')}`, async () => {
    const server = listenEcho({ streamWindow: 30_000, connectionWindow: 100_000 });
    const report = await outputOf([
      h2load!,
      '-n',
      '300',
      '-c',
      '3',
      '-m',
      '20',
      '-w',
      '15',
      '-W',
      '17',
      '-d',
      await uploadFile(),
      `http://127.0.0.1:${server.port}/`,
    ]);
    expect(report).toContain('300 succeeded, 0 failed, 0 errored, 0 timeout');
    expect(report).toContain(`(${300 * UPLOAD}) data`);
    server.stop();
  });
});

const UPLOAD = 120_000;
async function uploadFile(): Promise<string> {
  const path = join(tmpdir(), `lateen-h2load-${process.pid}`);
  files.push(path);
  await Bun.write(path, new Uint8Array(UPLOAD).fill(0x61));
  return path;
}

/** One answer, collected. */
interface Answer {
  readonly streamId: number;
  readonly lists: HeaderList[];
  size: number;
  readonly done: Promise<string>;
}

/** A client application on our machine: sends bodies of its own making and collects answers. */
class Collector implements Http2Handler {
  connection: Http2Connection | undefined;
  private readonly answers = new Map<number, Answer & { finish: (how: string) => void }>();
  private readonly left = new Map<number, number>();
  closed = Promise.withResolvers<string>();

  ask(headers: HeaderList, body: number): Answer {
    const streamId = this.connection!.request(headers, body === 0);
    if (streamId === undefined) throw new Error('no stream is available');
    const { promise, resolve } = Promise.withResolvers<string>();
    const answer = { streamId, lists: [], size: 0, done: promise, finish: resolve };
    this.answers.set(streamId, answer);
    this.left.set(streamId, body);
    if (body > 0) this.onWritable(streamId);
    return answer;
  }

  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const answer = this.answers.get(streamId)!;
    answer.lists.push(headers);
    if (endStream) answer.finish('end');
  }
  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void {
    const answer = this.answers.get(streamId)!;
    answer.size += chunk.length;
    this.connection!.consumed(streamId, chunk.length);
    if (endStream) answer.finish('end');
  }
  onReset(streamId: number, code: number): void {
    this.answers.get(streamId)!.finish(`reset ${code}`);
  }
  onWritable(streamId: number): void {
    const left = this.left.get(streamId)!;
    const piece = new Uint8Array(Math.min(left, 250_000)).fill(0x62);
    const taken = this.connection!.sendData(streamId, piece, piece.length === left);
    this.left.set(streamId, left - taken);
    if (taken === piece.length && taken < left) this.onWritable(streamId);
  }
  onGoaway(): void {}
  onClose(reason: string): void {
    this.closed.resolve(reason);
  }
}

const list = (method: string, path: string, ...more: HeaderList): HeaderList => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'localhost'],
  [':path', path],
  ...more,
];
const CONNECT: HeaderList = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.1:80'],
];

async function exerciseOurClient(port: number): Promise<void> {
  const application = new Collector();
  application.connection = await connectClient(port, application);
  const hello = application.ask(list('GET', '/', ['x-seen', 'é1']), 0);
  expect(await hello.done).toBe('end');
  expect(hello.lists[0]).toContainEqual(['x-seen', 'é1']);
  expect(hello.size).toBe(5);

  const interim = application.ask(list('GET', '/interim'), 0);
  expect(await interim.done).toBe('end');
  expect(interim.lists.map((found) => found.find(([name]) => name === ':status')?.[1])).toEqual(['103', '200']);

  const trailing = application.ask(list('GET', '/trailers'), 0);
  expect(await trailing.done).toBe('end');
  expect(trailing.lists.at(-1)).toEqual([['x-end', 'yes']]);

  const bodies = [1, 1_000_000, 3_000_000, 70_000].map((size) => ({
    size,
    answer: application.ask(size % 2 === 0 ? list('POST', '/') : CONNECT, size),
  }));
  for (const { size, answer } of bodies) {
    expect(await answer.done).toBe('end');
    expect(answer.size).toBe(size);
  }

  const many = Array.from({ length: 49 }, () => application.ask(list('GET', '/'), 0));
  expect(application.connection.availableStreams).toBe(1);
  for (const answer of many) expect(await answer.done).toBe('end');

  const cancelled = application.ask(CONNECT, 5);
  application.connection.reset(cancelled.streamId, ErrorCode.CANCEL);
  expect(cancelled.size).toBe(0);
  application.connection.shutdown('graceful');
  expect(await application.closed.promise).toBe('graceful');
}

describe('our client', () => {
  test('uses node:http2’s server in this process', async () => {
    const server = (await startServer(http2)) as { port: number; close: () => void };
    await exerciseOurClient(server.port);
    server.close();
  });

  withNode(`uses the server of the real Node${why(node, 'node')}`, async () => {
    const child = Bun.spawn(nodeProgram('console.log(JSON.stringify({ port: (await peer.startServer(http2)).port }))'), {
      stdout: 'pipe',
      stderr: 'inherit',
    });
    running.push(child);
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    await exerciseOurClient((JSON.parse(new TextDecoder().decode(value)) as { port: number }).port);
    child.kill();
    await child.exited;
  });

  test('uses our server', async () => {
    const server = listenEcho({ maxConcurrentStreams: 50 });
    const application = new Collector();
    application.connection = await connectClient(server.port, application);
    const answers = [5_000_000, 1, 2_000_000].map((size) => ({ size, answer: application.ask(CONNECT, size) }));
    for (const { size, answer } of answers) {
      expect(await answer.done).toBe('end');
      expect(answer.size).toBe(size);
    }
    application.connection.shutdown('graceful');
    expect(await application.closed.promise).toBe('graceful');
    server.stop();
  });
});
