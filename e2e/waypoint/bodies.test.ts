/** Large bodies, slow readers and slow writers: every octet arrives, in order, and the waypoint keeps no more of them than its windows. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import fs from 'node:fs';
import { H2Peer } from './h2-wire.ts';
import { WaypointLab } from './lab.ts';
import { connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let server: RawServer;
let port = 0;
const wires: Wire[] = [];
const MIB = 1024 * 1024;
/** For what takes a second or two on a machine with nothing else to do. */
const LONG = 25_000;
/** What a waypoint may grow by while bodies go through it: the windows of both sides, some times over. */
const ROOM = 96 * MIB;

beforeAll(async () => {
  server = new RawServer(lab, '127.0.0.21', 8080);
  await lab.start([{ name: 'raw', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] }], [], {
    ACCESS_LOG_FORMAT: 'none',
  });
  port = lab.open('raw', 80);
});
afterAll(async () => {
  server.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of wires.splice(0)) wire.reset();
  for (const wire of server.wires) wire.reset();
  server.accept = undefined;
  server.forget();
});

const memory = (): number => {
  const status = fs.readFileSync(`/proc/${lab.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
};
const watches = new Set<ReturnType<typeof setInterval>>();
afterEach(() => {
  for (const watch of watches) clearInterval(watch);
});
/** The most it had beyond what it began with, looked at often. */
function watchMemory(): () => number {
  const start = memory();
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, memory() - start);
  }, 20);
  watches.add(timer);
  return () => {
    clearInterval(timer);
    return most;
  };
}

/** Octet `at` of every body is `at % 251`, so that what is lost, doubled or swapped shows. */
const PERIOD = 251;
const pattern = new Uint8Array(2 * MIB).map((_, i) => i % PERIOD);
const slice = (from: number, length: number): Uint8Array => pattern.subarray(from % PERIOD, (from % PERIOD) + length);

class Checker {
  received = 0;
  isRight = true;
  readonly take = (chunk: Uint8Array): void => {
    for (let from = 0; from < chunk.length; from += MIB) {
      const part = chunk.subarray(from, from + MIB);
      if (Buffer.compare(part, slice(this.received, part.length)) !== 0) this.isRight = false;
      this.received += part.length;
    }
  };
}

async function sendBody(wire: Wire, total: number, piece = MIB): Promise<void> {
  for (let sent = 0; sent < total; ) {
    const size = Math.min(piece, total - sent);
    wire.send(slice(sent, size));
    sent += size;
    if (wire.queued > 2 * MIB) await wire.until('room', () => wire.queued <= MIB, LONG);
  }
}

const client = async (): Promise<Wire> => {
  const wire = await connect(lab, port);
  wires.push(wire);
  return wire;
};
const TOTAL = 1024 * MIB;
const UP = TOTAL / 4;

test('a gigabyte down', async () => {
  const wire = await client();
  wire.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const peer = await server.next();
  await peer.message();
  const most = watchMemory();
  peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
  sendBody(peer, TOTAL).catch(() => {});
  await wire.through('\r\n\r\n');
  const checker = new Checker();
  checker.take(Buffer.from(wire.take(wire.text.length), 'latin1'));
  wire.onChunk = checker.take;
  await wire.until('all of it', () => checker.received >= TOTAL, LONG);
  expect(checker).toMatchObject({ received: TOTAL, isRight: true });
  expect(most()).toBeLessThan(ROOM);
}, 30_000);

test('a quarter of that up', async () => {
  const wire = await client();
  const most = watchMemory();
  wire.send(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${UP}\r\n\r\n`);
  sendBody(wire, UP).catch(() => {});
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  const checker = new Checker();
  checker.take(Buffer.from(peer.take(peer.text.length), 'latin1'));
  peer.onChunk = checker.take;
  await peer.until('all of it', () => checker.received >= UP, LONG);
  expect(checker).toMatchObject({ received: UP, isRight: true });
  peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await wire.message();
  expect(most()).toBeLessThan(ROOM);
}, 30_000);

test('a reader that reads nothing for a while holds back the endpoint, and then gets all of it', async () => {
  const total = 128 * MIB;
  const wire = await client();
  wire.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const peer = await server.next();
  await peer.message();
  const most = watchMemory();
  wire.pause();
  peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
  let isSent = false;
  sendBody(peer, total).then(
    () => {
      isSent = true;
    },
    () => {},
  );
  await Bun.sleep(1500);
  expect(isSent).toBe(false);
  const grown = most();
  wire.resume();
  await wire.through('\r\n\r\n');
  const checker = new Checker();
  checker.take(Buffer.from(wire.take(wire.text.length), 'latin1'));
  wire.onChunk = checker.take;
  await wire.until('all of it', () => checker.received >= total, LONG);
  expect(checker).toMatchObject({ received: total, isRight: true });
  expect(grown).toBeLessThan(ROOM);
}, 30_000);

test('an endpoint that reads nothing for a while holds back the client, and then gets all of it', async () => {
  const total = 128 * MIB;
  server.accept = (peer) => peer.pause();
  const wire = await client();
  const most = watchMemory();
  wire.send(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${total}\r\n\r\n`);
  let isSent = false;
  sendBody(wire, total).then(
    () => {
      isSent = true;
    },
    () => {},
  );
  const peer = await server.next();
  await Bun.sleep(1500);
  expect(isSent).toBe(false);
  const grown = most();
  peer.resume();
  await peer.through('\r\n\r\n');
  const checker = new Checker();
  checker.take(Buffer.from(peer.take(peer.text.length), 'latin1'));
  peer.onChunk = checker.take;
  await peer.until('all of it', () => checker.received >= total, LONG);
  expect(checker).toMatchObject({ received: total, isRight: true });
  peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect((await wire.message()).status).toBe(200);
  expect(grown).toBeLessThan(ROOM);
}, 30_000);

test('tiny pieces are put together right', async () => {
  const wire = await client();
  wire.send('PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  let expected = '';
  for (let i = 1; i <= 400; i++) {
    const chunk = Buffer.from(slice(i, i % 13 || 1)).toString('latin1');
    expected += chunk;
    for (const piece of [`${chunk.length.toString(16)}\r`, '\n', chunk, '\r\n']) wire.send(piece);
    if (i % 20 === 0) await Bun.sleep(1);
  }
  wire.send('0\r\n\r\n');
  await peer.until('the last chunk', () => peer.text.endsWith('0\r\n\r\n'));
  let body = '';
  for (;;) {
    const size = Number.parseInt(await peer.through('\r\n'), 16);
    if (size === 0) break;
    body += await peer.octets(size);
    await peer.through('\r\n');
  }
  expect(body).toBe(expected);
});

test('a client that asks for ever more and reads nothing does not fill the memory', async () => {
  server.accept = (peer) => {
    const answer = `HTTP/1.1 200 OK\r\nX-Pad: ${'x'.repeat(8000)}\r\nContent-Length: 20000\r\n\r\n${'y'.repeat(20_000)}`;
    peer.onChunk = (chunk) => {
      for (const _ of chunk.toString('latin1').matchAll(/\r\n\r\n/g)) peer.send(answer);
    };
  };
  const wire = await client();
  // The first answer, so that the settings of both sides are known; then deaf.
  const peer = new H2Peer(wire, 'client', { streamWindow: 1024 * MIB, connectionWindow: 1024 * MIB });
  await peer.get().ended();
  wire.pause();
  const most = watchMemory();
  // A client that keeps no count of its streams: the waypoint has answered them all.
  let streamId = 3;
  const request = (): Uint8Array => {
    const frame = Uint8Array.of(0, 0, 6, 1, 5, 0, 0, 0, 0, 0x82, 0x86, 0x84, 0x01, 1, 0x78);
    new DataView(frame.buffer).setUint32(5, streamId);
    streamId += 2;
    return frame;
  };
  for (let i = 0; i < 400 && !wire.isClosed; i++) {
    wire.send(Buffer.concat(Array.from({ length: 100 }, request)));
    await Bun.sleep(2);
  }
  await Bun.sleep(300);
  expect(most()).toBeLessThan(ROOM);
}, 30_000);

test('a client that pipelines for ever and reads nothing does not fill the memory', async () => {
  server.accept = (peer) => {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${'y'.repeat(100_000)}`;
    peer.onChunk = (chunk) => {
      for (const _ of chunk.toString('latin1').matchAll(/\r\n\r\n/g)) peer.send(answer);
    };
  };
  const wire = await client();
  const most = watchMemory();
  wire.pause();
  const many = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000);
  for (let i = 0; i < 1000 && wire.queued < 4 * MIB; i++) {
    wire.send(many);
    await Bun.sleep(1);
  }
  await Bun.sleep(500);
  expect(most()).toBeLessThan(ROOM);
}, 30_000);
