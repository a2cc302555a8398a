/** HTTP/1 on both sides of a waypoint, octet by octet: how messages are framed, when they are sent on, and how either side ends. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
const HOST = 'raw.default.svc.cluster.local';
let server: RawServer;
let port = 0;
const wires: Wire[] = [];

beforeAll(async () => {
  server = new RawServer(lab, '127.0.0.21', 8080);
  await lab.start([{ name: 'raw', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] }]);
  port = lab.open('raw', 80);
});
afterAll(async () => {
  server.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of wires.splice(0)) wire.close();
  // Connections the waypoint keeps would take the next test's request.
  for (const wire of server.wires) wire.reset();
  server.accept = undefined;
  server.forget();
});

const client = async (): Promise<Wire> => {
  const wire = await connect(lab, port);
  wires.push(wire);
  return wire;
};
const get = (path = '/', more = ''): string => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${more}\r\n`;
const ok = (body: string, more = ''): string => `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;

test('a connection carries one request after the other, and so does the one to the endpoint', async () => {
  server.accept = answering((request) => ok(request.start));
  const wire = await client();
  for (const path of ['/a', '/b', '/c']) {
    wire.send(get(path));
    expect((await wire.message()).body).toBe(`GET ${path} HTTP/1.1`);
  }
  await server.next();
  expect(server.wires.filter((peer) => !peer.isClosed)).toHaveLength(1);
});

test('the endpoint gets the fields of the request but those of the connection', async () => {
  const wire = await client();
  wire.send(get('/x?y=1', 'Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nAccept: text/plain\r\nX-Empty:\r\n'));
  const peer = await server.next();
  const request = await peer.message();
  expect(request.start).toBe('GET /x?y=1 HTTP/1.1');
  expect(request.headers).toMatchObject({ host: HOST, accept: 'text/plain', 'x-empty': '' });
  expect(Object.keys(request.headers)).not.toContain('x-hop');
  expect(Object.keys(request.headers)).not.toContain('keep-alive');
  expect(request.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  peer.send(ok('', 'Connection: close, X-Own\r\nX-Own: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n'));
  const response = await wire.message();
  expect(response.headers).toEqual({ 'set-cookie': 'a=1, b=2', 'content-length': '0' });
  expect(response.head.match(/set-cookie/g)).toHaveLength(2);
});

test('pipelined requests are answered in order, also when the client has ended its side', async () => {
  server.accept = answering((request) => ok(request.start));
  const wire = await client();
  wire.send(get('/1') + get('/2') + get('/3'));
  wire.finish();
  expect((await wire.message()).body).toBe('GET /1 HTTP/1.1');
  expect((await wire.message()).body).toBe('GET /2 HTTP/1.1');
  const last = await wire.message();
  expect(last.body).toBe('GET /3 HTTP/1.1');
  expect(last.headers['connection']).toBe('close');
  expect(await wire.ended()).toBe('');
});

test('a hundred requests in one write are answered one by one', async () => {
  server.accept = answering((request) => ok(request.start));
  const wire = await client();
  wire.send(Array.from({ length: 100 }, (_, i) => get(`/${i}`)).join(''));
  for (let i = 0; i < 100; i++) expect((await wire.message()).body).toBe(`GET /${i} HTTP/1.1`);
});

test('a pipelined request with a body does not swallow the one behind it', async () => {
  server.accept = answering((request) => ok(`${request.start} ${request.body}`));
  const wire = await client();
  wire.send(
    `POST /1 HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 3\r\n\r\nabc` +
      `POST /2 HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n${get('/3')}`,
  );
  wires.push(wire);
  expect((await wire.message()).body).toBe('POST /1 HTTP/1.1 abc');
  expect((await wire.message()).body).toBe('POST /2 HTTP/1.1 de');
  expect((await wire.message()).body).toBe('GET /3 HTTP/1.1 ');
});

test('a chunked request goes on chunk by chunk, extensions dropped and trailers kept', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext="a;b"\r\nhello\r\n`);
  const peer = await server.next();
  const head = await peer.through('\r\n\r\n');
  expect(head.toLowerCase()).toContain('transfer-encoding: chunked');
  expect(await peer.through('hello\r\n')).toBe('5\r\nhello\r\n');
  wire.send('000a\r\n0123456');
  await peer.until('a part of the chunk', () => peer.text.includes('0123456'));
  wire.send('789\r\n0\r\nX-Sum: 15\r\n\r\n');
  await peer.through('0\r\nx-sum: 15\r\n\r\n');
  peer.send(ok('done'));
  expect((await wire.message()).body).toBe('done');
});

test('trailers of a response go to a client that takes them, and to no other', async () => {
  const answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n';
  server.accept = answering(({ headers }) => {
    if (headers['x-want'] === 'yes') expect(headers['te']).toBe('trailers');
    return answer;
  });
  const wire = await client();
  wire.send(get('/', 'TE: trailers\r\nConnection: TE\r\nX-Want: yes\r\n'));
  expect(await wire.message()).toMatchObject({ body: 'abc', trailers: { 'x-sum': '7' } });
  wire.send(get('/'));
  expect(await wire.message()).toMatchObject({ body: 'abc', trailers: {} });
});

test('an empty chunked body stays one', async () => {
  server.accept = answering(() => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n');
  const wire = await client();
  wire.send(get());
  const first = await wire.message();
  expect(first.headers['transfer-encoding']).toBe('chunked');
  expect(first.body).toBe('');
  wire.send(get());
  expect((await wire.message()).status).toBe(200);
});

test('a body without any octets keeps its length field', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 0\r\n\r\n`);
  const peer = await server.next();
  expect((await peer.message()).headers['content-length']).toBe('0');
  peer.send(ok(''));
  await wire.message();
});

test('100-continue comes from the endpoint, before the body', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`);
  const peer = await server.next();
  expect((await peer.through('\r\n\r\n')).toLowerCase()).toContain('expect: 100-continue');
  peer.send('HTTP/1.1 100 Continue\r\n\r\n');
  expect((await wire.message()).status).toBe(100);
  wire.send('body');
  expect(await peer.octets(4)).toBe('body');
  peer.send(ok('thanks'));
  expect((await wire.message()).body).toBe('thanks');
});

test('a final answer instead of 100 ends the connection, since the body may never come', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`);
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  peer.send('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n');
  const answer = await wire.message();
  expect(answer.status).toBe(417);
  expect(answer.headers['connection']).toBe('close');
  await wire.ended();
});

test('103 comes before the answer, and an HTTP/1.0 client does not get it', async () => {
  server.accept = answering(() => `HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n${ok('x')}`);
  const wire = await client();
  wire.send(get());
  expect(await wire.message()).toMatchObject({ status: 103, headers: { link: '</a.css>; rel=preload' } });
  expect((await wire.message()).body).toBe('x');
  const old = await client();
  old.send(`GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
  expect((await old.message()).status).toBe(200);
});

test('answers without a body keep their fields and the connection', async () => {
  server.accept = answering(({ start }) => {
    if (start.startsWith('HEAD')) return 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n';
    if (start.includes('/304')) return 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n';
    return start.includes('/204') ? 'HTTP/1.1 204 No Content\r\n\r\n' : ok('end');
  });
  const wire = await client();
  wire.send(`HEAD / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
  expect((await wire.message(true)).headers['content-length']).toBe('1234');
  wire.send(get('/304'));
  expect((await wire.message()).headers).toMatchObject({ etag: '"x"', 'content-length': '99' });
  wire.send(get('/204'));
  const empty = await wire.message();
  expect(empty.headers['content-length']).toBeUndefined();
  expect(empty.headers['transfer-encoding']).toBeUndefined();
  wire.send(get('/'));
  expect((await wire.message()).body).toBe('end');
});

test('an HTTP/1.0 client gets HTTP/1.0, until close where there is no length', async () => {
  server.accept = answering(({ start }) =>
    start.includes('/chunked') ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n' : ok('abc'),
  );
  const plain = await client();
  plain.send(`GET / HTTP/1.0\r\n\r\n`);
  expect((await plain.message()).start).toBe('HTTP/1.0 200 OK');
  expect(await plain.ended()).toBe('');
  const kept = await client();
  kept.send(`GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: ${HOST}\r\n\r\n`);
  expect((await kept.message()).headers['connection']).toBe('keep-alive');
  kept.send(`GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\nHost: ${HOST}\r\n\r\n`);
  const last = await kept.message();
  expect(last.body).toBe('abc');
  expect(last.headers['transfer-encoding']).toBeUndefined();
});

test('an answer that ends with its connection becomes chunked, and a cut one is not taken for a whole one', async () => {
  server.accept = (peer) => {
    void peer.message().then(({ start }) => {
      peer.send('HTTP/1.1 200 OK\r\n\r\nall of it');
      if (start.includes('/cut')) setTimeout(() => peer.reset(), 50);
      else peer.finish();
    });
  };
  const wire = await client();
  wire.send(get());
  expect(await wire.message()).toMatchObject({ body: 'all of it', headers: { 'transfer-encoding': 'chunked' } });
  wire.send(get('/cut'));
  await wire.through('all of it');
  await wire.closed();
  expect(wire.text).not.toContain('0\r\n\r\n');
});

test('a client that half-closes gets its answer', async () => {
  const wire = await client();
  wire.send(get());
  wire.finish();
  const peer = await server.next();
  await peer.message();
  await Bun.sleep(300);
  peer.send(ok('late'));
  expect((await wire.message()).body).toBe('late');
  await wire.ended();
});

test('nc gets its answer', async () => {
  server.accept = answering(() => ok('for nc'));
  const out = await lab.run('sh', '-c', `printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | nc -N 127.0.0.1 ${port}`);
  expect(out).toEndWith('for nc');
});

test('an answer before the end of the upload reaches the client, and the connection ends', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 50000000\r\n\r\n${'x'.repeat(1000)}`);
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  peer.send('HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch');
  const answer = await wire.message();
  expect(answer).toMatchObject({ status: 413, body: 'much', headers: { connection: 'close' } });
});

test('an endpoint that answers early and closes at once is heard, however much is still being sent to it', async () => {
  for (let round = 0; round < 10; round++) {
    const wire = await client();
    wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 50000000\r\n\r\n`);
    const peer = await server.next();
    await peer.through('\r\n\r\n');
    const chunk = new Uint8Array(1024 * 1024);
    let isSending = true;
    void (async () => {
      while (isSending && !wire.isClosed) {
        if (wire.queued === 0) wire.send(chunk);
        await Bun.sleep(1);
      }
    })();
    await Bun.sleep(10);
    peer.send('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmuch');
    peer.close();
    expect((await wire.message()).status).toBe(413);
    isSending = false;
  }
});

test('an answer before the end of a short upload keeps the connection', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nfirst`);
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  peer.send(ok('early'));
  expect((await wire.message()).body).toBe('early');
  server.accept = answering(() => ok('second'));
  wire.send(`-last${get('/2')}`);
  expect((await wire.message()).body).toBe('second');
});

test('both bodies flow at once', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const peer = await server.next();
  await peer.through('\r\n\r\n');
  peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
  await wire.through('\r\n\r\n');
  for (const word of ['one', 'two', 'six']) {
    wire.send(`3\r\n${word}\r\n`);
    expect(await peer.through(`${word}\r\n`)).toBe(`3\r\n${word}\r\n`);
    peer.send(`3\r\n${word}\r\n`);
    expect(await wire.through(`${word}\r\n`)).toBe(`3\r\n${word}\r\n`);
  }
  wire.send('0\r\n\r\n');
  await peer.through('0\r\n\r\n');
  peer.send('0\r\n\r\n');
  await wire.through('0\r\n\r\n');
});

test('the first event of a stream is not held back, and each comes on its own', async () => {
  const wire = await client();
  wire.send(get('/events', 'Accept: text/event-stream\r\n'));
  const peer = await server.next();
  await peer.message();
  peer.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
  expect(await wire.through('\r\n\r\n')).toContain('text/event-stream');
  for (const word of ['a', 'b', 'c']) {
    const event = `data: ${word}\n\n`;
    peer.send(`${event.length.toString(16)}\r\n${event}\r\n`);
    expect(await wire.through('\n\n\r\n')).toBe(`${event.length.toString(16)}\r\n${event}\r\n`);
  }
});

test('the endpoint sees within 100 ms that the client has gone in the middle of an answer', async () => {
  for (const leave of ['close', 'reset'] as const) {
    const wire = await client();
    wire.send(get('/'));
    const peer = await server.next();
    await peer.message();
    peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await wire.through('abc\r\n');
    const start = performance.now();
    wire[leave]();
    await peer.closed();
    expect({ leave, ms: performance.now() - start < 100 + LAG }).toEqual({ leave, ms: true });
  }
});

test('the endpoint sees that the client has given up waiting', async () => {
  const wire = await client();
  wire.send(get('/'));
  const peer = await server.next();
  await peer.message();
  await Bun.sleep(200);
  wire.close();
  await peer.closed();
  expect(peer.isClosed).toBe(true);
});

test('the endpoint sees that the client has gone in the middle of an upload', async () => {
  const wire = await client();
  wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100\r\n\r\nhalf`);
  const peer = await server.next();
  await peer.through('half');
  wire.close();
  await peer.closed();
  expect(peer.isClosed).toBe(true);
});

test('an endpoint that closes or resets before it answers is 503, and the client keeps its connection', async () => {
  const wire = await client();
  for (const end of ['finish', 'reset', 'close'] as const) {
    wire.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 0\r\n\r\n`);
    const peer = await server.next();
    await peer.message();
    peer[end]();
    expect(await wire.message()).toMatchObject({ status: 503 });
  }
});

test('an endpoint that says something else than HTTP is 502', async () => {
  for (const garbage of [
    'SSH-2.0-x\r\n',
    '\0\0\0',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    'HTTP/2.0 200 OK\r\n\r\n',
  ]) {
    const wire = await client();
    wire.send(get());
    const peer = await server.next();
    await peer.message();
    peer.send(garbage);
    expect({ garbage, status: (await wire.message()).status }).toEqual({ garbage, status: 502 });
  }
});

test('a body cut short is seen to be cut', async () => {
  server.accept = (peer) => {
    void peer.message().then(({ start }) => {
      peer.send(start.includes('chunked') ? 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc' : ok('abcde').slice(0, -2));
      setTimeout(() => peer.finish(), 50);
    });
  };
  for (const path of ['/length', '/chunked']) {
    const wire = await client();
    wire.send(get(path));
    await wire.through('abc');
    await wire.closed();
    expect(wire.text.replace('\r\n', '')).toBe('');
  }
});

test('a second answer is not taken for the next request’s', async () => {
  const wire = await client();
  wire.send(get('/1'));
  const first = await server.next();
  await first.message();
  first.send(ok('one') + ok('forged'));
  expect((await wire.message()).body).toBe('one');
  wire.send(get('/2'));
  const second = await server.next();
  await second.message();
  second.send(ok('two'));
  expect((await wire.message()).body).toBe('two');
});

test('an answer sent ahead of its request is not used', async () => {
  const wire = await client();
  wire.send(get('/1'));
  const first = await server.next();
  await first.message();
  first.send(ok('one'));
  expect((await wire.message()).body).toBe('one');
  first.send(ok('forged'));
  await first.closed();
  wire.send(get('/2'));
  const second = await server.next();
  await second.message();
  second.send(ok('two'));
  expect((await wire.message()).body).toBe('two');
});

test('a connection the endpoint closed while it was idle costs no request', async () => {
  const wire = await client();
  for (let i = 0; i < 5; i++) {
    wire.send(get(`/${i}`));
    const peer = await server.next();
    await peer.message();
    peer.send(ok(String(i)));
    expect((await wire.message()).body).toBe(String(i));
    if (i % 2 === 0) peer.finish();
    else peer.reset();
    await peer.closed();
  }
});

test('an endpoint that closes the reused connection just as a GET arrives does not cost the request', async () => {
  const wire = await client();
  wire.send(get('/1'));
  const first = await server.next();
  await first.message();
  first.send(ok('one'));
  await wire.message();
  wire.send(get('/2'));
  await first.message();
  first.finish();
  const second = await server.next();
  expect((await second.message()).start).toBe('GET /2 HTTP/1.1');
  second.send(ok('two'));
  expect((await wire.message()).body).toBe('two');
});

test('an unasked 101 is no answer', async () => {
  const wire = await client();
  wire.send(get());
  const peer = await server.next();
  await peer.message();
  peer.send('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n');
  expect((await wire.message()).status).toBe(502);
});

test('an endpoint that does not listen is 503', async () => {
  server.stop();
  const wire = await client();
  wire.send(get());
  expect(await wire.message()).toMatchObject({ status: 503 });
  server = new RawServer(
    lab,
    '127.0.0.21',
    8080,
    answering(() => ok('back')),
  );
  wire.send(get());
  expect((await wire.message()).body).toBe('back');
});

/** Allowance for a machine under load, in milliseconds. */
const LAG = 400;
