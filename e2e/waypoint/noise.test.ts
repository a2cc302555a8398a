/** Octets nobody means: valid traffic with pieces changed, doubled, cut and mixed up, from clients and from endpoints. Whoever behaves notices nothing. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { H2Peer } from './h2-wire.ts';
import { WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let good: RawServer;
let bad: RawServer;
let ports: number[] = [];
let badOne = 0;
let badTwo = 0;
let goodOne = 0;

beforeAll(async () => {
  good = new RawServer(
    lab,
    '127.0.0.21',
    8080,
    answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  );
  bad = new RawServer(lab, '127.0.0.22', 8080);
  await lab.start(
    [
      {
        name: 'good',
        ports: [
          { port: 80, targetPort: 8080, protocol: 'HTTP11' },
          { port: 81, targetPort: 8080 },
          { port: 82, targetPort: 8080, protocol: 'TLS' },
        ],
        endpoints: ['127.0.0.21'],
      },
      {
        name: 'bad',
        ports: [
          { port: 80, targetPort: 8080, protocol: 'HTTP11' },
          { port: 81, targetPort: 8080, protocol: 'HTTP2' },
        ],
        endpoints: ['127.0.0.22'],
      },
    ],
    [],
    { ACCESS_LOG_FORMAT: 'none', RUST_LOG: 'error' },
  );
  ports = [80, 81, 82].map((port) => lab.open('good', port));
  goodOne = ports[0]!;
  badOne = lab.open('bad', 80);
  badTwo = lab.open('bad', 81);
});
afterAll(async () => {
  good.stop();
  bad.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of bad.wires) wire.reset();
});

/** xorshift32: the same noise in every run. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function damaged(random: Random, from: readonly Buffer[]): Buffer {
  let bytes = Buffer.from(random.pick(from));
  for (let i = random.below(6); i >= 0; i--) {
    const at = random.below(bytes.length + 1);
    const length = random.below(20);
    const rest = bytes.subarray(Math.min(bytes.length, at + length));
    switch (random.below(6)) {
      case 0:
        if (at < bytes.length) bytes[at] = random.below(256);
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), rest]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)]);
        break;
      case 3:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          latin1(random.pick(['\r\n', '\n', '\0', ' ', ':', '0\r\n\r\n', 'chunked', '\xff'])),
          bytes.subarray(at),
        ]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), random.pick(from)]);
        break;
      default:
        bytes = bytes.subarray(0, Math.max(1, at));
    }
  }
  return bytes;
}

const REQUESTS = [
  'GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n',
  'POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello',
  'POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
  'GET /d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nabc',
  'PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'GET http://x/f HTTP/1.0\r\n\r\n',
].map(latin1);

const frame = (type: number, flags: number, stream: number, payload: readonly number[]): Buffer =>
  Buffer.from(
    [payload.length >> 16, payload.length >> 8, payload.length, type, flags, 0, 0, 0, stream, ...payload].map((octet) => octet & 255),
  );
const PREFACE = latin1('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const HEADERS = [0x82, 0x86, 0x84, 0x01, 1, 0x78];
const H2_REQUESTS = [
  Buffer.concat([PREFACE, frame(4, 0, 0, []), frame(1, 5, 1, HEADERS), frame(1, 5, 3, HEADERS), frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])]),
  Buffer.concat([
    PREFACE,
    frame(4, 0, 0, [0, 4, 0, 0, 0, 1]),
    frame(1, 4, 1, HEADERS),
    frame(0, 0, 1, [1, 2, 3]),
    frame(1, 5, 1, [0x00, 1, 0x61, 1, 0x62]),
  ]),
  Buffer.concat([
    PREFACE,
    frame(4, 0, 0, []),
    frame(1, 4, 1, HEADERS),
    frame(3, 0, 1, [0, 0, 0, 8]),
    frame(8, 0, 0, [0, 0, 1, 0]),
    frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0]),
  ]),
];

async function isWell(): Promise<void> {
  const wire = await connect(lab, goodOne);
  wire.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect((await wire.message()).body).toBe('ok');
  wire.close();
}

test('from clients', async () => {
  const random = new Random(4711);
  for (let round = 0; round < 30; round++) {
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const wire = await connect(lab, random.pick(ports));
        const bytes = damaged(random, random.below(2) === 0 ? REQUESTS : H2_REQUESTS);
        for (let at = 0; at < bytes.length; ) {
          const size = 1 + random.below(bytes.length);
          wire.send(bytes.subarray(at, at + size));
          at += size;
          if (random.below(3) === 0) await Bun.sleep(0);
        }
        await Bun.sleep(random.below(20));
        random.pick([() => wire.close(), () => wire.reset(), () => wire.finish()])();
      }),
    );
    await isWell();
  }
}, 30_000);

const RESPONSES = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc',
  'HTTP/1.0 200 OK\r\n\r\nold',
  'HTTP/1.1 204 No Content\r\n\r\n',
].map(latin1);
const H2_RESPONSES = [
  Buffer.concat([frame(4, 0, 0, []), frame(4, 1, 0, []), frame(1, 4, 1, [0x88]), frame(0, 1, 1, [104, 105])]),
  Buffer.concat([
    frame(4, 0, 0, [0, 3, 0, 0, 0, 1]),
    frame(1, 4, 1, [0x88, 0x00, 1, 0x61, 1, 0x01]),
    frame(0, 0, 1, [104]),
    frame(1, 5, 1, [0x00, 1, 0x74, 1, 0x62]),
  ]),
  Buffer.concat([
    frame(4, 0, 0, []),
    frame(1, 4, 1, [0x48, 3, 0x31, 0x30, 0x33]),
    frame(1, 5, 1, [0x88]),
    frame(7, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0]),
  ]),
  Buffer.concat([frame(4, 0, 0, []), frame(3, 0, 1, [0, 0, 0, 7])]),
];

for (const [what, responses] of [
  ['HTTP/1', RESPONSES],
  ['HTTP/2', H2_RESPONSES],
] as const)
  test(`from ${what} endpoints`, async () => {
    const random = new Random(42);
    bad.accept = (wire: Wire) => {
      void (async () => {
        await wire.until('a request or the end', () => wire.text.length > 20 || wire.isEnded);
        wire.send(damaged(random, responses));
        await Bun.sleep(random.below(30));
        random.pick([() => wire.close(), () => wire.reset(), () => wire.finish()])();
      })().catch(() => wire.reset());
    };
    const port = what === 'HTTP/1' ? badOne : badTwo;
    for (let round = 0; round < 15; round++) {
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const wire = await connect(lab, port);
          wire.send('GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n');
          await wire.until('an end', () => wire.isEnded);
          expect(wire.text).toMatch(/^(HTTP\/1\.1 [1-5]\d\d |$)/);
          wire.close();
          const peer = new H2Peer(await connect(lab, port), 'client');
          const asked = await peer.post().send('x', true).ended();
          expect(asked.status > 0 || asked.code >= 0).toBe(true);
          peer.wire.close();
        }),
      );
      await isWell();
    }
  }, 30_000);

test('nothing of it was a surprise', () => {
  expect(lab.metric('lateen_connection_faults_total')).toBe(0);
  expect(lab.process.exitCode).toBeNull();
});
