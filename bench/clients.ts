/** The programs that send load, as command lines, and how their output reads. Each runs in the client's namespace on core 0. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readH2load, readH2loadLog } from './h2load.ts';
import { BUN } from './shell.ts';
import { type Quantiles, quantiles } from './stats.ts';

/** What a client saw in one block; requests/s is `requests` by the time they took. */
export interface Sample extends Quantiles {
  readonly requests: number;
  readonly errors: number;
  readonly rps: number;
  readonly offered?: number;
  readonly series?: Readonly<Record<string, Quantiles>>;
}

interface Target {
  readonly address: string;
  readonly port: number;
  readonly routes?: string;
}

/** `argv` is run to its end; `read` takes what it printed, and throws when that cannot be a measurement. */
export interface Client {
  argv(target: Target, seconds: number): readonly string[];
  read(output: string): Sample;
}

const program = (file: string) => path.join(import.meta.dir, file);
const readJson = (output: string): Sample => JSON.parse(output) as Sample; // printed by our own client

/** HTTP/1.1 requests (native/load.c); with `calls`, chains of that many calls on one connection, timed as a whole. */
export const httpClient = (load: { connections: number; rate: number; fresh: boolean; calls?: number }): Client => ({
  argv: ({ address, port, routes }, seconds) =>
    [BUN, program('load.ts'), routes ?? address, port, load.connections, load.rate, seconds, load.fresh ? 1 : 0, load.calls ?? 1].map(
      String,
    ),
  read: readJson,
});

/** One transfer of that many MiB (native/bulk.c), however long it takes. A request is a MiB. */
export const bulkClient = (mebibytes: number, direction: 'download' | 'upload'): Client => ({
  argv: ({ address, port }) => [BUN, program('bulk.ts'), address, port, mebibytes, direction === 'upload' ? 1 : 0].map(String),
  read: readJson,
});

/** Octets of a whole answer of `native/origin.c`. */
const answerBytes = (body: number): number =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${body}\r\n\r\n`.length + body;

export const holdArgv = ({ address, port }: Target, connections: number, body = 1024): readonly string[] =>
  [BUN, program('hold.ts'), address, port, connections, answerBytes(body)].map(String);

export interface StreamShape {
  readonly streams: number;
  readonly events: number;
  readonly bytes: number;
  /** Time between two events, in microseconds. */
  readonly every: number;
}

/** Server-sent events (native/sse.c). The quantiles are those of the first event; the series `delay` and `uneven` those of the later ones. */
export const sseClient = (shape: StreamShape): Client => ({
  argv: ({ address, port }, seconds) =>
    [BUN, program('sse.ts'), address, port, shape.streams, seconds, shape.events, shape.bytes, shape.every].map(String),
  read: readJson,
});

export interface CallShape {
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly calls: number;
  /** Messages of an answer, and the octets of each. */
  readonly messages: number;
  readonly bytes: number;
  /** Octets of the message asked with, at least 8. */
  readonly asked: number;
}

/** The message that tells `native/grpc-origin.c` what to answer, with gRPC's five octets before it. */
export function callBody(shape: Pick<CallShape, 'messages' | 'bytes' | 'asked'>): Buffer {
  const body = Buffer.alloc(5 + shape.asked, 'x');
  body.writeUInt8(0, 0);
  body.writeUInt32BE(shape.asked, 1);
  body.writeUInt32BE(shape.messages, 5);
  body.writeUInt32BE(shape.bytes, 9);
  return body;
}

/** gRPC calls over HTTP/2 with prior knowledge, closed loop, by `h2load` (package nghttp2-client). An answer of the wrong length is an error. */
export function grpcClient(shape: CallShape): Client {
  let folder: string | undefined;
  const file = (name: string) => {
    if (folder === undefined) {
      const made = fs.mkdtempSync(path.join(os.tmpdir(), 'lateen-bench-grpc-'));
      process.once('exit', () => fs.rmSync(made, { recursive: true, force: true }));
      fs.writeFileSync(path.join(made, 'body'), callBody(shape));
      folder = made;
    }
    return path.join(folder, name);
  };
  const answer = shape.messages * (5 + shape.bytes);
  return {
    argv({ address, port }, seconds) {
      fs.rmSync(file('log'), { force: true });
      const method = shape.messages === 1 ? 'Unary' : 'Stream';
      const sizes = ['-c', shape.connections, '-m', shape.calls, '-D', seconds].map(String);
      const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
      const url = `http://${address}:${port}/bench.Echo/${method}`;
      return ['h2load', ...sizes, ...headers, '-d', file('body'), `--log-file=${file('log')}`, url];
    },
    read(output) {
      const seen = readH2load(output);
      const { latencies, failed } = readH2loadLog(fs.readFileSync(file('log'), 'utf8'));
      // Answers under way at the end have sent some of their octets.
      const isWhole = seen.dataBytes >= seen.succeeded * answer && seen.dataBytes <= seen.started * answer;
      return {
        requests: seen.succeeded,
        errors: Math.max(seen.failed, failed) + (isWhole ? 0 : 1),
        rps: seen.rps,
        ...quantiles(latencies),
      };
    },
  };
}
