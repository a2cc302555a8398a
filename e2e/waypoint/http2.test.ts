/** HTTP/2 of a client (prior knowledge) through a waypoint to endpoints of either version, frame by frame. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { ErrorCode, type HeaderList, type Http2Settings } from '../../src/protocol/index.ts';
import { H2Peer, type H2Stream, pseudo } from './h2-wire.ts';
import { WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let one: RawServer;
let two: RawServer;
let toOne = 0;
let toTwo = 0;
const wires: Wire[] = [];

beforeAll(async () => {
  one = new RawServer(lab, '127.0.0.21', 8080);
  two = new RawServer(lab, '127.0.0.22', 8080);
  await lab.start([
    { name: 'one', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] },
    { name: 'h2', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP2' }], endpoints: ['127.0.0.22'] },
  ]);
  toOne = lab.open('one', 80);
  toTwo = lab.open('h2', 80);
});
afterAll(async () => {
  one.stop();
  two.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of wires.splice(0)) wire.close();
  for (const server of [one, two]) {
    for (const wire of server.wires) wire.reset();
    server.accept = undefined;
    server.forget();
  }
});

async function client(port: number, settings: Partial<Http2Settings> = {}): Promise<H2Peer> {
  const wire = await connect(lab, port);
  wires.push(wire);
  return new H2Peer(wire, 'client', settings);
}
const server = async (settings: Partial<Http2Settings> = {}): Promise<H2Peer> => new H2Peer(await two.next(), 'server', settings);
/** A client, its request, and the endpoint's end of it. */
async function exchange(request: (peer: H2Peer) => H2Stream, settings: Partial<Http2Settings> = {}) {
  const peer = await client(toTwo);
  const asked = request(peer);
  const endpoint = await server(settings);
  return { peer, asked, endpoint, got: await endpoint.next() };
}
const OK: HeaderList = [[':status', '200']];

test('a request and its answer go through, with trailers both ways', async () => {
  const { asked, got } = await exchange((peer) =>
    peer.post('/a?b=c', [
      ['te', 'trailers'],
      ['x-a', '1'],
    ]),
  );
  expect(got.fields).toMatchObject({
    ':method': 'POST',
    ':path': '/a?b=c',
    ':authority': 'h2.default.svc.cluster.local',
    te: 'trailers',
    'x-a': '1',
  });
  asked.send('body').respond([['x-sum', '4']], true);
  await got.ended();
  expect(got).toMatchObject({ body: 'body', trailers: { 'x-sum': '4' } });
  got
    .respond([...OK, ['x-b', '2']])
    .send('answer')
    .respond([['x-end', 'yes']], true);
  await asked.ended();
  expect(asked).toMatchObject({ status: 200, body: 'answer', trailers: { 'x-end': 'yes' } });
});

test('to HTTP/1.1 the same becomes chunks and trailers', async () => {
  const peer = await client(toOne);
  const asked = peer
    .post('/', [['te', 'trailers']])
    .send('body')
    .respond([['x-sum', '4']], true);
  const wire = await one.next();
  const head = await wire.through('\r\n\r\n');
  expect(head).toContain('transfer-encoding: chunked');
  expect(head).toContain('te: trailers');
  expect(head).toContain('host: h2.default.svc.cluster.local\r\n');
  expect(await wire.through('\r\n\r\n')).toBe('4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n');
  wire.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n');
  await asked.ended();
  expect(asked).toMatchObject({ status: 200, body: 'abc', trailers: { 'x-end': 'yes' } });
  expect(asked.fields).not.toHaveProperty('x-hop');
  expect(asked.fields).not.toHaveProperty('transfer-encoding');
});

test('many streams share one connection to an HTTP/2 endpoint and use one each to HTTP/1.1', async () => {
  one.accept = answering((request) => `HTTP/1.1 200 OK\r\nContent-Length: ${request.start.length}\r\n\r\n${request.start}`);
  const peer = await client(toOne);
  const streams = Array.from({ length: 20 }, (_, i) => peer.get(`/${i}`));
  for (const [i, stream] of streams.entries()) expect((await stream.ended()).body).toBe(`GET /${i} HTTP/1.1`);
  const second = await client(toTwo);
  const asked = Array.from({ length: 20 }, (_, i) => second.get(`/${i}`));
  const endpoint = await server();
  for (let i = 0; i < 20; i++) (await endpoint.next()).respond(OK, true);
  for (const stream of asked) expect((await stream.ended()).status).toBe(200);
});

test('the end of a stream comes with the head, with data, or alone', async () => {
  const { asked, endpoint, peer, got } = await exchange((from) => from.get());
  expect(got.isEnded).toBe(true);
  got.respond([[':status', '204']], true);
  await asked.ended();
  expect(asked).toMatchObject({ status: 204, body: '' });
  const second = peer.get('/2');
  (await endpoint.next()).respond(OK).send('x', true);
  await second.ended();
  expect(second.body).toBe('x');
  const third = peer.get('/3');
  const last = await endpoint.next();
  last.respond(OK).send('y');
  await third.until('the octet', () => third.body === 'y');
  last.end();
  await third.ended();
  const fourth = peer.post('/4');
  const empty = await endpoint.next();
  expect(empty.isEnded).toBe(false);
  fourth.end();
  await empty.ended();
  empty.respond(OK, true);
  await fourth.ended();
});

test('HEAD keeps the length of what it does not send', async () => {
  one.accept = answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n');
  const peer = await client(toOne);
  const asked = peer.request(pseudo('HEAD', '/'));
  await asked.ended();
  expect(asked.fields).toMatchObject({ ':status': '200', 'content-length': '77' });
  expect(asked.received).toBe(0);
});

test('interim answers come first', async () => {
  const { asked, got } = await exchange((peer) => peer.get());
  got
    .respond([
      [':status', '103'],
      ['link', '</a>'],
    ])
    .respond(OK, true);
  await asked.ended();
  expect(asked.lists.map((list) => Object.fromEntries(list)[':status'])).toEqual(['103', '200']);
});

test('cookies in pieces become one field, and host stands in for :authority', async () => {
  one.accept = undefined;
  const peer = await client(toOne);
  peer.request([
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    ['host', 'by.host'],
    ['cookie', 'a=1'],
    ['cookie', 'b=2'],
  ]);
  const { headers } = await (await one.next()).message();
  expect(headers).toMatchObject({ host: 'by.host', cookie: 'a=1; b=2' });
});

test('fields that HTTP/1 could read differently are refused with 400', async () => {
  const seen: string[] = [];
  one.accept = answering((request) => {
    seen.push(request.start);
    return 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
  });
  const cases: readonly (readonly [string, HeaderList])[] = [
    ['a space in the path', pseudo('GET', '/a HTTP/1.1')],
    ['a tab in the path', pseudo('GET', '/a\tb')],
    ['a fragment in the path', pseudo('GET', '/a#b')],
    ['a space in the method', pseudo('GET /x', '/')],
    ['a path in the authority', pseudo('GET', '/', 'a/b')],
    ['a space in the authority', pseudo('GET', '/', 'a b')],
    ['a control character in a value', [...pseudo('GET', '/'), ['x-a', 'a\x01b']]],
    [
      'a scheme that is none',
      [
        [':method', 'GET'],
        [':scheme', 'ht tp'],
        [':authority', 'x'],
        [':path', '/'],
      ],
    ],
  ];
  const peer = await client(toOne);
  for (const [what, fields] of cases) {
    const asked = await peer.request(fields).ended();
    expect({ what, status: asked.status }).toEqual({ what, status: 400 });
  }
  const long = await peer.get(`/${'a'.repeat(20_000)}`).ended();
  expect(long.status).toBe(414);
  expect(seen).toEqual([]);
  expect((await peer.get().ended()).status).toBe(200);
});

test('trailers that no message may have are dropped, and the tunnel lives', async () => {
  const peer = await client(toOne);
  const asked = peer
    .post()
    .send('x')
    .respond(
      [
        ['content-length', '5'],
        ['host', 'evil'],
        ['x-ok', '1'],
        ['x-bad', 'a\x01'],
      ],
      true,
    );
  const wire = await one.next();
  await wire.through('\r\n\r\n');
  expect(await wire.through('\r\n\r\n')).toBe('1\r\nx\r\n0\r\nx-ok: 1\r\n\r\n');
  wire.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect((await asked.ended()).status).toBe(200);
});

test('a large head over the list limit is 431', async () => {
  const peer = await client(toOne);
  const asked = await peer
    .get(
      '/',
      Array.from({ length: 20 }, (_, i) => [`x-${i}`, 'a'.repeat(4000)] as const),
    )
    .ended();
  expect(asked.status).toBe(431);
});

test('a slow reader holds back the endpoint, and every octet arrives', async () => {
  const total = 24 * 1024 * 1024;
  const peer = await client(toTwo, { streamWindow: 1000, connectionWindow: 65_535 });
  const asked = peer.get();
  asked.credits = false;
  asked.keepsBody = false;
  const endpoint = await server();
  const got = await endpoint.next();
  got.respond(OK);
  const chunk = new Uint8Array(64 * 1024);
  for (let sent = 0; sent < total; sent += chunk.length) got.send(chunk);
  got.end();
  await asked.until('a window', () => asked.received >= 1000);
  await Bun.sleep(300);
  expect(asked.received).toBeLessThanOrEqual(65_535);
  // What the endpoint could send is bounded by windows, not by what it has.
  expect(got.queued).toBeGreaterThan(total - 8 * 1024 * 1024);
  asked.credits = true;
  peer.http2.consumed(asked.id, asked.received);
  await asked.until('all of it', () => asked.received === total);
  await asked.ended();
}, 30_000);

test('a slow endpoint holds back the client, and every octet arrives', async () => {
  const total = 24 * 1024 * 1024;
  const peer = await client(toTwo);
  const asked = peer.post();
  const endpoint = await server({ streamWindow: 1000, connectionWindow: 65_535 });
  const got = await endpoint.next();
  got.credits = false;
  got.keepsBody = false;
  const chunk = new Uint8Array(64 * 1024);
  for (let sent = 0; sent < total; sent += chunk.length) asked.send(chunk);
  asked.end();
  await got.until('a window', () => got.received >= 1000);
  await Bun.sleep(300);
  expect(got.received).toBeLessThanOrEqual(65_535);
  expect(asked.queued).toBeGreaterThan(total - 10 * 1024 * 1024);
  got.credits = true;
  endpoint.http2.consumed(got.id, got.received);
  await got.until('all of it', () => got.received === total);
  got.respond(OK, true);
  expect((await asked.ended()).status).toBe(200);
}, 30_000);

test('one slow stream does not hold back another of the same connections', async () => {
  const peer = await client(toTwo, { streamWindow: 65_535, connectionWindow: 16 * 1024 * 1024 });
  const slow = peer.get('/slow');
  slow.credits = false;
  const endpoint = await server();
  const first = await endpoint.next();
  first.respond(OK);
  for (let i = 0; i < 100; i++) first.send(new Uint8Array(64 * 1024));
  await slow.until('a window', () => slow.received >= 65_535);
  for (let i = 0; i < 10; i++) {
    const quick = peer.get(`/${i}`);
    (await endpoint.next()).respond(OK).send('quick', true);
    expect((await quick.ended()).body).toBe('quick');
  }
});

test('a reset of the client reaches the endpoint, and the connection goes on', async () => {
  const { peer, asked, endpoint, got } = await exchange((from) => from.post());
  asked.reset(ErrorCode.CANCEL);
  expect(await got.wasReset()).toBe(ErrorCode.CANCEL);
  const next = peer.get();
  (await endpoint.next()).respond(OK, true);
  expect((await next.ended()).status).toBe(200);
});

test('a reset of the client closes the HTTP/1.1 connection its request was on', async () => {
  const peer = await client(toOne);
  const asked = peer.get();
  const wire = await one.next();
  await wire.message();
  asked.reset(ErrorCode.CANCEL);
  await wire.closed();
});

test('a reset of the endpoint before its answer is 503, in the middle of it a reset', async () => {
  const { peer, asked, endpoint, got } = await exchange((from) => from.post());
  got.reset(ErrorCode.INTERNAL_ERROR);
  expect((await asked.ended()).status).toBe(503);
  const second = peer.get();
  const later = await endpoint.next();
  later.respond(OK).send('part');
  await second.until('a part', () => second.body === 'part');
  later.reset(ErrorCode.INTERNAL_ERROR);
  expect(await second.wasReset()).toBe(ErrorCode.INTERNAL_ERROR);
});

test('a refused stream is tried again', async () => {
  const { asked, endpoint, got } = await exchange((peer) => peer.post('/', [['content-length', '4']]).send('body', true));
  await got.ended();
  got.reset(ErrorCode.REFUSED_STREAM);
  const again = await endpoint.next();
  await again.ended();
  expect(again.body).toBe('body');
  again.respond(OK, true);
  expect((await asked.ended()).status).toBe(200);
});

test('a GOAWAY of the endpoint costs no request: what it excludes is sent again on another connection', async () => {
  const { peer, asked, endpoint, got } = await exchange((from) => from.get('/1'));
  const excluded = peer.get('/2');
  await endpoint.next();
  // GOAWAY with the first stream as the last.
  const goaway = new Uint8Array(17);
  goaway.set([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, got.id, 0, 0, 0, 0]);
  endpoint.wire.send(goaway);
  const other = await server();
  (await other.next()).respond(OK).send('elsewhere', true);
  expect((await excluded.ended()).body).toBe('elsewhere');
  got.respond(OK).send('finished', true);
  expect((await asked.ended()).body).toBe('finished');
});

test('an endpoint that closes its connection fails what is under way, and the next request gets a new one', async () => {
  const { peer, asked, endpoint } = await exchange((from) => from.post());
  endpoint.wire.reset();
  expect((await asked.ended()).status).toBe(503);
  const next = peer.get();
  const other = await server();
  (await other.next()).respond(OK, true);
  expect((await next.ended()).status).toBe(200);
});

test('an endpoint with few streams gets no more than those per connection', async () => {
  const peer = await client(toTwo);
  const first = peer.get('/first');
  const endpoint = await server({ maxConcurrentStreams: 2 });
  (await endpoint.next()).respond(OK, true);
  await first.ended();
  const asked = [peer.get('/1'), peer.get('/2'), peer.get('/3')];
  const streams = [await endpoint.next(), await endpoint.next()];
  const other = await server();
  streams.push(await other.next());
  for (const stream of streams) stream.respond(OK, true);
  for (const stream of asked) expect((await stream.ended()).status).toBe(200);
});

test('an endpoint that speaks no HTTP/2 is an error at once', async () => {
  const peer = await client(toTwo);
  const asked = peer.get();
  const wire = await two.next();
  wire.send('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  wire.finish();
  await asked.ended();
  expect([502, 503]).toContain(asked.status);
});

test('an answer before the end of the request ends the stream without an error', async () => {
  const { asked, got } = await exchange((peer) => peer.post());
  asked.send('some');
  await got.until('some', () => got.body === 'some');
  got.respond(OK).send('enough', true);
  await asked.ended();
  expect(asked.body).toBe('enough');
  expect(await asked.wasReset()).toBe(ErrorCode.NO_ERROR);
});

test('a client that opens and resets streams without end is cut, and the waypoint goes on', async () => {
  two.accept = (wire) => {
    new H2Peer(wire, 'server', { maxConcurrentStreams: 10_000 });
  };
  const peer = await client(toTwo);
  for (let i = 0; i < 20_000 && peer.closeReason === ''; i++) {
    if (peer.http2.availableStreams === 0) break;
    peer.get().reset(ErrorCode.CANCEL);
    if (i % 100 === 0) await Bun.sleep(0);
  }
  await peer.until('the end', () => peer.closeReason !== '' || peer.goaways.length > 0);
  expect(peer.goaways).toContain(ErrorCode.ENHANCE_YOUR_CALM);
  two.forget();
  two.accept = undefined;
  for (const wire of two.wires) wire.reset();
  const next = await client(toTwo);
  const asked = next.get();
  const endpoint = await server();
  (await endpoint.next()).respond(OK, true);
  expect((await asked.ended()).status).toBe(200);
}, 20_000);
