/** The bench's own programs over loopback: what measures must itself be right. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { callBody, holdArgv } from './clients.ts';
import { BUN } from './shell.ts';

const program = (...argv: readonly (string | number)[]) => [BUN, path.join(import.meta.dir, String(argv[0])), ...argv.slice(1).map(String)];

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo; // listens on TCP
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return;
    await Bun.sleep(20);
  }
}

interface Events {
  readonly requests: number;
  readonly errors: number;
  readonly events: number;
}

async function readEvents(port: number, events: number): Promise<Events> {
  const child = Bun.spawn(program('sse.ts', '127.0.0.1', port, 2, 0.1, events, 200, 1000), { stdout: 'pipe', stderr: 'inherit' });
  return JSON.parse(await new Response(child.stdout).text()) as Events; // printed by our own client
}

/** Answers every request with these pieces, each in a write of its own. */
async function serveRaw(pieces: readonly string[]): Promise<{ port: number; stop: () => void }> {
  const server = net.createServer((socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('data', async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (pieces.at(-1) === '') socket.end();
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { port: (server.address() as net.AddressInfo).port, stop: () => server.close() }; // listens on TCP
}

const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const event = (n: number) => `data: {"n":${n},"t":${process.hrtime.bigint()}}\n\n`;
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

describe('the event client', () => {
  test('counts events whatever chunks and packets they come in', async () => {
    const [a, b, c] = [event(0), event(1), event(2)];
    const whole = HEAD + chunk(a) + chunk(b) + chunk(c) + chunk('');
    const split = `${HEAD}${chunk(a.slice(0, 7))}${chunk(a.slice(7) + b + c.slice(0, -1))}${chunk('\n')}0\r\nx: y\r\n\r\n`;
    for (const answer of [[whole], [...whole], [split], [...split]]) {
      const { port, stop } = await serveRaw(answer);
      const seen = await readEvents(port, 3);
      stop();
      expect(seen.errors).toBe(0);
      expect(seen.requests).toBeGreaterThan(0);
      expect(seen.events).toBe(seen.requests * 3);
    }
  });

  test('counts an error for a stream that is short, cut or refused', async () => {
    for (const answer of [
      [HEAD + chunk(event(0)) + chunk('')],
      [HEAD + chunk(event(0)) + chunk(event(1)), ''],
      ['HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n', ''],
    ]) {
      const { port, stop } = await serveRaw(answer);
      const seen = await readEvents(port, 3);
      stop();
      expect(seen.requests).toBe(0);
      expect(seen.errors).toBeGreaterThan(0);
    }
  });
});

describe('the application', () => {
  let port = 0;
  let child: Bun.Subprocess;
  beforeAll(async () => {
    port = await freePort();
    child = Bun.spawn(program('origin.ts', port, 1024), { stdio: ['ignore', 'inherit', 'inherit'] });
    await listening(port);
  });
  afterAll(() => child.kill());

  test('answers requests with as many octets as it was told', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    expect((await answer.arrayBuffer()).byteLength).toBe(1024);
  });

  test('streams as many events of as many octets as the request asks for, in order of time', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/sse?events=4&bytes=200&every=1000`);
    expect(answer.headers.get('content-type')).toBe('text/event-stream');
    const events = (await answer.text()).split('\n\n').slice(0, -1);
    expect(events.map((text) => text.length + 2)).toEqual([200, 200, 200, 200]);
    const sent = events.map((text) => BigInt(/"t":0*(\d+)/.exec(text)?.[1] ?? 0));
    expect(sent.every((time, index) => index === 0 || time > sent[index - 1]!)).toBe(true);
  });

  test('is measured without an error by the event client', async () => {
    const seen = await readEvents(port, 5);
    expect(seen).toMatchObject({ errors: 0, events: seen.requests * 5 });
    expect(seen.requests).toBeGreaterThan(0);
  });
});

async function run(...argv: readonly (string | number)[]): Promise<Record<string, number>> {
  const child = Bun.spawn(program(...argv), { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  return JSON.parse(await new Response(child.stdout).text()) as Record<string, number>; // printed by our own clients
}

describe('the other clients', () => {
  let port = 0;
  let child: Bun.Subprocess;
  beforeAll(async () => {
    port = await freePort();
    child = Bun.spawn(program('origin.ts', port, 1024), { stdio: ['ignore', 'inherit', 'inherit'] });
    await listening(port);
  });
  afterAll(() => child.kill());

  test('a bulk transfer arrives whole in either direction, and the application serves on', async () => {
    for (const upload of [0, 1, 0]) {
      const seen = await run('bulk.ts', '127.0.0.1', port, 3, upload);
      expect(seen).toMatchObject({ requests: 3, errors: 0 });
      expect(seen['rps']).toBeGreaterThan(0);
    }
  });

  test('a transfer that is cut short is an error, not a rate', async () => {
    const short = await serveRaw(['HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\nshort', '']);
    expect(await run('bulk.ts', '127.0.0.1', short.port, 1, 0)).toMatchObject({ requests: 0, errors: 1, rps: 0 });
    short.stop();
    const refused = await serveRaw(['HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n', '']);
    expect(await run('bulk.ts', '127.0.0.1', refused.port, 1, 0)).toMatchObject({ requests: 0, errors: 1 });
    refused.stop();
  });

  test('connections that were answered are held until the input ends', async () => {
    const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1024\r\n\r\n`.length + 1024;
    expect(holdArgv({ address: '127.0.0.1', port }, 40).slice(2)).toEqual(['127.0.0.1', String(port), '40', String(answer)]);
    const held = Bun.spawn([...holdArgv({ address: '127.0.0.1', port }, 40)], { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' });
    const first = await held.stdout.getReader().read();
    expect(JSON.parse(new TextDecoder().decode(first.value))).toEqual({ held: 40 });
    const open = () =>
      Bun.spawnSync(['ss', '-Htn', 'state', 'established', `( dport = :${port} )`])
        .stdout.toString()
        .trim()
        .split('\n').length;
    expect(open()).toBeGreaterThanOrEqual(40);
    held.stdin.end();
    expect(await held.exited).toBe(0);
  });

  test('connections spread over several routes', async () => {
    const seen = await run('load.ts', '127.0.0.1,127.0.0.2,127.0.0.3', port, 6, 200, 0.5, 0);
    expect(seen['errors']).toBe(0);
    expect(seen['requests']).toBeGreaterThan(0);
    const nobody = await run('load.ts', '127.0.0.1', await freePort(), 2, 50, 0.2, 0);
    expect(nobody['errors']).toBeGreaterThan(0);
    expect(nobody['requests']).toBe(0);
  });
});

describe('the gRPC application', () => {
  let port = 0;
  let child: Bun.Subprocess;
  beforeAll(async () => {
    port = await freePort();
    child = Bun.spawn(program('grpc-origin.ts', port), { stdio: ['ignore', 'inherit', 'inherit'] });
    await listening(port);
  });
  afterAll(() => child.kill());

  async function call(session: http2.ClientHttp2Session, messages: number, bytes: number) {
    const stream = session.request({ ':method': 'POST', ':path': '/bench.Echo/Any', 'content-type': 'application/grpc', te: 'trailers' });
    let status: unknown;
    let trailer: unknown;
    stream.once('response', (headers) => {
      status = headers[':status'];
    });
    stream.once('trailers', (headers) => {
      trailer = headers['grpc-status'];
    });
    stream.end(callBody({ messages, bytes, asked: 64 }));
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part as Buffer); // no encoding is set
    return { status, trailer, body: Buffer.concat(parts) };
  }

  test('answers one message or many, each framed, and ends with a status', async () => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    for (const [messages, bytes] of [
      [1, 1024],
      [50, 200],
    ] as const) {
      const { status, trailer, body } = await call(session, messages, bytes);
      expect([status, trailer, body.length]).toEqual([200, '0', messages * (5 + bytes)]);
      expect(body.readUInt32BE(1)).toBe(bytes);
    }
    session.close();
  });

  test('sends no more than the windows of its peer allow and goes on when they open', async () => {
    const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 4096 } });
    const answers = await Promise.all(Array.from({ length: 8 }, () => call(session, 100, 1000)));
    expect(answers.map(({ body, trailer }) => [body.length, trailer])).toEqual(Array.from({ length: 8 }, () => [100_500, '0']));
    session.close();
  });

  test('ends a connection that does not begin as HTTP/2, and serves the next', async () => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nhost: nobody\r\n\r\n'));
    await new Promise((resolve) => socket.once('close', resolve).resume());
    const session = http2.connect(`http://127.0.0.1:${port}`);
    expect((await call(session, 1, 16)).trailer).toBe('0');
    session.close();
  });
});
