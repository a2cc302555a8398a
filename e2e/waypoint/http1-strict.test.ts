/** What a waypoint refuses: messages that two programs could read differently, and those that are too large. The endpoint never sees any of them. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { until } from '../ztunnel/lab.ts';
import { WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let server: RawServer;
let port = 0;
const wires: Wire[] = [];
const seen: string[] = [];

beforeAll(async () => {
  server = new RawServer(
    lab,
    '127.0.0.21',
    8080,
    answering((request) => {
      seen.push(request.start);
      return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    }),
  );
  await lab.start([{ name: 'raw', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] }]);
  port = lab.open('raw', 80);
});
afterAll(async () => {
  server.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of wires.splice(0)) wire.close();
  seen.length = 0;
});

/** Sends it with another request behind, which must not be answered either. */
async function refused(bytes: string): Promise<{ status: number; connection: string | undefined; rest: string }> {
  const wire = await connect(lab, port);
  wires.push(wire);
  wire.send(`${bytes}GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
  const { status, headers } = await wire.message();
  return { status, connection: headers['connection'], rest: await wire.ended() };
}

const post = (fields: string, body = ''): string => `POST /p HTTP/1.1\r\nHost: x\r\n${fields}\r\n${body}`;

const CASES: readonly (readonly [what: string, bytes: string, status?: number])[] = [
  ['two different lengths', post('Content-Length: 5\r\nContent-Length: 6\r\n', 'hello')],
  ['two equal lengths', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'hello')],
  ['a list of lengths', post('Content-Length: 5, 5\r\n', 'hello')],
  ['a length with a sign', post('Content-Length: +5\r\n', 'hello')],
  ['a negative length', post('Content-Length: -1\r\n')],
  ['a length in hexadecimal', post('Content-Length: 0x5\r\n', 'hello')],
  ['an empty length', post('Content-Length:\r\n')],
  ['a length beyond 2^64', post('Content-Length: 18446744073709551617\r\n', 'x')],
  ['a length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n')],
  ['chunks and a length', post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n')],
  ['chunks twice', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n')],
  ['chunks not last', post('Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n')],
  ['a coding nobody knows', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), 501],
  ['identity', post('Transfer-Encoding: identity\r\nContent-Length: 5\r\n', 'hello')],
  ['a vertical tab in the coding', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n')],
  ['chunks in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a space in front of the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n')],
  ['a folded line', post('X-A: 1\r\n 2\r\nContent-Length: 0\r\n')],
  ['a field that begins with a space', 'GET / HTTP/1.1\r\n Host: x\r\n\r\n'],
  ['a line without a colon', 'GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n'],
  ['a line feed alone', 'GET / HTTP/1.1\nHost: x\n\n'],
  ['a carriage return alone', 'GET / HTTP/1.1\r\nHost: x\rX-A: 1\r\n\r\n'],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
  ['a name that is no token', 'GET / HTTP/1.1\r\nHost: x\r\nX(A): 1\r\n\r\n'],
  ['no host', 'GET / HTTP/1.1\r\nX-A: 1\r\n\r\n'],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
  ['a host with a path', 'GET / HTTP/1.1\r\nHost: x/y\r\n\r\n'],
  ['a host that contradicts the target', 'GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n'],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['no version', 'GET /\r\nHost: x\r\n\r\n'],
  ['another version', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505],
  ['a method that is none', 'G(T / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['a chunk size that is none', post('Transfer-Encoding: chunked\r\n', 'xyz\r\n')],
  ['a chunk size with 0x', post('Transfer-Encoding: chunked\r\n', '0x5\r\nhello\r\n0\r\n\r\n')],
  ['a negative chunk size', post('Transfer-Encoding: chunked\r\n', '-1\r\n')],
  ['a chunk size beyond all numbers', post('Transfer-Encoding: chunked\r\n', 'fffffffffffffffff\r\n')],
  ['a space behind a chunk size', post('Transfer-Encoding: chunked\r\n', '5 \r\nhello\r\n0\r\n\r\n')],
  ['a chunk line that ends with a line feed', post('Transfer-Encoding: chunked\r\n', '5\nhello\r\n0\r\n\r\n')],
  ['data behind a chunk', post('Transfer-Encoding: chunked\r\n', '5\r\nhelloxx\r\n0\r\n\r\n')],
  ['a line feed in a chunk extension', post('Transfer-Encoding: chunked\r\n', '5;a=\nb\r\nhello\r\n0\r\n\r\n')],
  ['an endless chunk extension', post('Transfer-Encoding: chunked\r\n', `5;a=${'x'.repeat(300)}\r\nhello\r\n0\r\n\r\n`)],
  ['a length among trailers', post('Transfer-Encoding: chunked\r\n', '0\r\nContent-Length: 5\r\n\r\n')],
  ['trailers without an end', post('Transfer-Encoding: chunked\r\n', `0\r\n${'X-A: 1\r\n'.repeat(2000)}`), 431],
  ['a target over the limit', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
  ['a head over the limit', `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(70_000)}\r\n\r\n`, 431],
  ['too many fields', `GET / HTTP/1.1\r\nHost: x\r\n${'X-A: 1\r\n'.repeat(120)}\r\n`, 431],
  ['a connection that names a field for everybody', 'GET / HTTP/1.1\r\nHost: x\r\nConnection: authorization\r\nAuthorization: a\r\n\r\n'],
];

for (const [what, bytes, status = 400] of CASES)
  test(`refuses ${what} with ${status} and closes`, async () => {
    expect(await refused(bytes)).toEqual({ status, connection: 'close', rest: '' });
    expect(seen.filter((start) => !start.startsWith('POST /p'))).toEqual([]);
  });

test('a refusal is counted with its reason', async () => {
  await refused('GET / HTTP/1.1\nHost: x\n\n');
  expect(lab.metric('lateen_refused_total', { reason: 'bad-http' })).toBeGreaterThan(0);
  expect(lab.metric('istio_requests_total', { response_code: '400', response_flags: 'DPE' })).toBeGreaterThan(0);
  await until('a line in the log', () => /"- - HTTP\/1\.1" 400 DPE codec_error - "-" 0 0 0 /.test(lab.log));
});

test('a slow head within the limits is waited for', async () => {
  const wire = await connect(lab, port);
  wires.push(wire);
  for (const piece of ['G', 'ET / HT', 'TP/1.1\r', '\nHos', 't: x\r\n', '\r', '\n']) {
    wire.send(piece);
    await Bun.sleep(20);
  }
  expect((await wire.message()).body).toBe('ok');
});

test('an upgrade to another HTTP is ignored, so that nothing is hidden in it', async () => {
  const wire = await connect(lab, port);
  wires.push(wire);
  let fields: Readonly<Record<string, string>> = {};
  server.forget();
  wire.send(
    'GET /h2c HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
  );
  const answer = await wire.message();
  expect(answer).toMatchObject({ status: 200, body: 'ok' });
  fields = answer.headers;
  expect(fields['upgrade']).toBeUndefined();
  expect(seen).toEqual(['GET /h2c HTTP/1.1']);
});

test('CONNECT is nothing a route could take', async () => {
  const wire = await connect(lab, port);
  wires.push(wire);
  wire.send('CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n');
  expect((await wire.message()).status).toBe(404);
  expect(seen).toEqual([]);
});

test('a client that goes on sending after its refusal is cut', async () => {
  const wire = await connect(lab, port);
  wires.push(wire);
  wire.send('nonsense\r\n');
  await wire.message();
  const chunk = new Uint8Array(256 * 1024);
  let sent = 0;
  while (!wire.isClosed && sent < 64 * 1024 * 1024) {
    if (wire.queued === 0) {
      wire.send(chunk);
      sent += chunk.length;
    }
    await Bun.sleep(5);
  }
  expect(wire.isClosed).toBe(true);
  expect(sent).toBeLessThan(32 * 1024 * 1024);
}, 20_000);
