/** Connections that become something else: WebSocket and whatever a client and its endpoint agree on. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { WaypointLab } from './lab.ts';
import { connect, RawServer } from './wire.ts';

const lab = new WaypointLab();
let server: RawServer;
let raw = 0;
let ws = 0;
beforeAll(async () => {
  server = new RawServer(lab, '127.0.0.21', 8080);
  lab.inside(() =>
    Bun.serve({
      hostname: '127.0.0.22',
      port: 8080,
      fetch: (request, bun) => (bun.upgrade(request) ? undefined : new Response('no WebSocket', { status: 400 })),
      websocket: {
        maxPayloadLength: 64 * 1024 * 1024,
        message(socket, message) {
          socket.send(message);
          if (message === 'bye') socket.close(4001, 'farewell');
        },
      },
    }),
  );
  await lab.start([
    { name: 'raw', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['127.0.0.21'] },
    // Not declared: an upgrade must not be spoken as HTTP/2.
    { name: 'ws', ports: [{ port: 80, targetPort: 8080 }], endpoints: ['127.0.0.22'] },
  ]);
  raw = lab.open('raw', 80);
  ws = lab.open('ws', 80, 'outside');
});
afterAll(async () => {
  server.stop();
  await lab.stop();
});

const UPGRADE = 'GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: example/1\r\nX-A: 1\r\n\r\n';
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: example/1\r\nX-B: 2\r\n\r\n';

async function open(first = '', last = '') {
  server.forget();
  const client = await connect(lab, raw);
  client.send(UPGRADE + first);
  const peer = await server.next();
  const request = await peer.message();
  peer.send(SWITCHING + last);
  const answer = await client.message();
  return { client, peer, request, answer };
}

test('an upgrade is asked for, agreed and then carries any octets both ways', async () => {
  const { client, peer, request, answer } = await open();
  expect(request.headers).toMatchObject({ connection: 'upgrade', upgrade: 'example/1', 'x-a': '1' });
  expect(answer).toMatchObject({ status: 101, headers: { connection: 'upgrade', upgrade: 'example/1', 'x-b': '2' } });
  const octets = Uint8Array.from({ length: 256 }, (_, i) => i);
  const text = Buffer.from(octets).toString('latin1');
  client.send(octets);
  expect(await peer.octets(256)).toBe(text);
  peer.send(octets);
  expect(await client.octets(256)).toBe(text);
  client.close();
  await peer.ended();
});

test('what either side sends ahead is not lost', async () => {
  const { client, peer } = await open('early client', 'early server');
  expect(await peer.octets(12)).toBe('early client');
  expect(await client.octets(12)).toBe('early server');
  client.reset();
  await peer.closed();
});

test('the client may end its side and still be answered', async () => {
  const { client, peer } = await open();
  client.send('last words');
  client.finish();
  expect(await peer.ended()).toBe('last words');
  await Bun.sleep(200);
  peer.send('answer');
  peer.finish();
  expect(await client.ended()).toBe('answer');
});

test('the endpoint may end its side and still be told', async () => {
  const { client, peer } = await open();
  peer.send('last words');
  peer.finish();
  expect(await client.ended()).toBe('last words');
  await Bun.sleep(200);
  client.send('answer');
  client.finish();
  expect(await peer.ended()).toBe('answer');
  await Promise.all([client.closed(), peer.closed()]);
});

test('an endpoint that has ended and goes takes the client with it', async () => {
  const { client, peer } = await open();
  peer.close();
  await client.ended();
  client.send('is anybody there?');
  await Bun.sleep(100);
  client.send('no?');
  await client.closed();
});

test('a refused upgrade is an ordinary answer, and the connection goes on', async () => {
  server.forget();
  const client = await connect(lab, raw);
  client.send(UPGRADE);
  const peer = await server.next();
  await peer.message();
  peer.send('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno');
  expect(await client.message()).toMatchObject({ status: 426, body: 'no' });
  client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const next = peer.isClosed ? await server.next() : peer;
  expect((await next.message()).start).toBe('GET / HTTP/1.1');
  client.reset();
});

test('an endpoint that breaks off breaks off the client', async () => {
  const { client, peer } = await open();
  peer.reset();
  await client.closed();
});

test('a WebSocket echoes text and binary of any size, and its close code comes through', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${ws}/`);
  socket.binaryType = 'arraybuffer';
  const messages: unknown[] = [];
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  let wake = (): void => {};
  socket.onmessage = ({ data }) => {
    messages.push(data);
    wake();
  };
  socket.onclose = ({ code, reason }) => closed.resolve({ code, reason });
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('no WebSocket'));
  });
  const next = async (): Promise<unknown> => {
    while (messages.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return messages.shift();
  };
  socket.send('hello');
  expect(await next()).toBe('hello');
  const large = new Uint8Array(8 * 1024 * 1024).map((_, i) => (i * 7) & 255);
  socket.send(large);
  expect(Buffer.from((await next()) as ArrayBuffer).equals(Buffer.from(large))).toBe(true);
  for (let i = 0; i < 1000; i++) socket.send(String(i));
  for (let i = 0; i < 1000; i++) expect(await next()).toBe(String(i));
  socket.send('bye');
  expect(await closed.promise).toEqual({ code: 4001, reason: 'farewell' });
}, 20_000);
