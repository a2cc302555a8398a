/** Endpoints in the mesh: each connection to them is a stream of a tunnel, from the waypoint's identity to the node proxy of the endpoint. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import fs from 'node:fs';
import { until } from '../ztunnel/lab.ts';
import { H2Peer } from './h2-wire.ts';
import { WaypointLab } from './lab.ts';
import { MeshPod } from './mesh-pod.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
const pod = new MeshPod(lab, 1);
let server: RawServer;
let http = 0;
let http2 = 0;
let tcp = 0;
const wires: Wire[] = [];
const HOST = 'pod.mesh.example.com';
const CONFIG = `/etc/netns/${lab.namespace}`;

beforeAll(async () => {
  // What programs of the waypoint's namespace resolve names with: nobody answers queries, the hosts file knows one.
  fs.mkdirSync(CONFIG, { recursive: true });
  fs.writeFileSync(`${CONFIG}/resolv.conf`, 'nameserver 127.0.0.1\n');
  fs.writeFileSync(`${CONFIG}/hosts`, `${pod.ip} ${HOST}\n`);
  server = new RawServer(pod, '0.0.0.0', 8080);
  await lab.start([
    {
      name: 'mesh',
      ports: [
        { port: 80, targetPort: 8080, protocol: 'HTTP11' },
        { port: 81, targetPort: 8080, protocol: 'HTTP2' },
        { port: 82, targetPort: 8080, protocol: 'TCP' },
        { port: 83, targetPort: 9, protocol: 'HTTP11' },
      ],
      endpoints: [pod.ip],
      tunnelled: true,
    },
    { name: 'named', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: [HOST], tunnelled: true },
    { name: 'missing', ports: [{ port: 80, targetPort: 8080, protocol: 'HTTP11' }], endpoints: ['missing.example.com'] },
  ]);
  await pod.start();
  http = lab.open('mesh', 80);
  http2 = lab.open('mesh', 81);
  tcp = lab.open('mesh', 82);
}, 30_000);
afterAll(async () => {
  server.stop();
  await pod.stop();
  await lab.stop();
  fs.rmSync(CONFIG, { recursive: true, force: true });
});
beforeEach(() => {
  for (const wire of [...wires.splice(0), ...server.wires]) wire.reset();
  server.accept = undefined;
  server.forget();
});

const client = async (port = http): Promise<Wire> => {
  const wire = await connect(lab, port);
  wires.push(wire);
  return wire;
};
const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const ok = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

test('requests follow each other on one connection of the endpoint', async () => {
  server.accept = answering((request) => ok(request.start));
  const wire = await client();
  for (let i = 0; i < 5; i++) {
    wire.send(get(`/${i}`));
    expect((await wire.message()).body).toBe(`GET /${i} HTTP/1.1`);
  }
  expect(server.wires.filter((peer) => !peer.isClosed)).toHaveLength(1);
});

test('the endpoint sees that the client has gone, in the middle of an answer and before it', async () => {
  for (const leave of ['close', 'reset'] as const) {
    const wire = await client();
    wire.send(get());
    const peer = await server.next();
    await peer.message();
    peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await wire.through('abc\r\n');
    const start = performance.now();
    wire[leave]();
    await peer.closed();
    // 100 ms, and as much as a machine under load takes.
    expect(performance.now() - start).toBeLessThan(500);
  }
  const wire = await client();
  wire.send(get());
  const peer = await server.next();
  await peer.message();
  await Bun.sleep(200);
  wire.close();
  await peer.closed();
});

test('a connection the endpoint closed while it was idle costs no request', async () => {
  const wire = await client();
  for (const end of ['finish', 'reset', 'close', 'finish'] as const) {
    wire.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx`);
    const peer = await server.next();
    await peer.message();
    peer.send(ok(end));
    expect((await wire.message()).body).toBe(end);
    peer[end]();
    // For the waypoint to hear of it.
    await Bun.sleep(500);
  }
});

test('an answer until close is whole, and one that breaks off is seen to break off', async () => {
  server.accept = (peer) => {
    void peer.message().then(({ start }) => {
      peer.send('HTTP/1.1 200 OK\r\n\r\nall of it');
      if (start.includes('/cut')) setTimeout(() => peer.reset(), 50);
      else peer.finish();
    });
  };
  const wire = await client();
  wire.send(get());
  expect((await wire.message()).body).toBe('all of it');
  wire.send(get('/cut'));
  await wire.through('all of it');
  await wire.closed();
  expect(wire.text).not.toContain('0\r\n\r\n');
});

test('an endpoint that resets before it answers is 503 with UC, one that does not listen 503 with UF', async () => {
  const wire = await client();
  wire.send(`POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
  const peer = await server.next();
  await peer.message();
  peer.reset();
  expect((await wire.message()).status).toBe(503);
  const deaf = await client(lab.open('mesh', 83));
  deaf.send(get('/deaf'));
  expect((await deaf.message()).status).toBe(503);
  await until('both lines', () => /"POST \/reset HTTP\/1.1" 503 \S*UC/.test(lab.log) && /"GET \/deaf HTTP\/1.1" 503 \S*UF/.test(lab.log));
});

test('an upgrade, half closes included', async () => {
  const wire = await client();
  wire.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: example\r\n\r\n');
  const peer = await server.next();
  await peer.message();
  peer.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: example\r\n\r\n');
  expect((await wire.message()).status).toBe(101);
  wire.send('last words');
  wire.finish();
  expect(await peer.ended()).toBe('last words');
  peer.send('answer');
  peer.finish();
  expect(await wire.ended()).toBe('answer');
});

test('HTTP/2 inside the tunnel: many streams, resets and trailers', async () => {
  const wire = await client(http2);
  const peer = new H2Peer(wire, 'client');
  const asked = Array.from({ length: 10 }, (_, i) => peer.get(`/${i}`));
  const endpoint = new H2Peer(await server.next(), 'server');
  for (let i = 0; i < 10; i++)
    (await endpoint.next())
      .respond([[':status', '200']])
      .send(String(i))
      .respond([['x-end', 'yes']], true);
  for (const [i, stream] of asked.entries()) expect(await stream.ended()).toMatchObject({ body: String(i), trailers: { 'x-end': 'yes' } });
  const broken = peer.post();
  const got = await endpoint.next();
  broken.reset();
  expect(await got.wasReset()).toBe(8);
});

test('plain TCP: half closes of either side, resets, and every octet', async () => {
  const first = await client(tcp);
  const peer = await server.next();
  first.send('request');
  first.finish();
  expect(await peer.ended()).toBe('request');
  peer.send('answer');
  peer.finish();
  expect(await first.ended()).toBe('answer');
  const second = await client(tcp);
  const other = await server.next();
  other.finish();
  await second.ended();
  second.send('still here');
  expect(await other.octets(10)).toBe('still here');
  second.finish();
  await other.ended();
  const third = await client(tcp);
  const last = await server.next();
  third.send('x');
  await last.octets(1);
  last.reset();
  await third.closed();
});

test('a hundred megabytes each way', async () => {
  const total = 100 * 1024 * 1024;
  server.accept = (peer) => {
    peer.onChunk = (chunk) => peer.send(Buffer.from(chunk));
    void peer.until('the end', () => peer.isEnded, 30_000).then(() => peer.finish());
  };
  const wire = await client(tcp);
  let received = 0;
  let isRight = true;
  wire.onChunk = (chunk) => {
    for (let i = 0; i < chunk.length; i += 997) if (chunk[i] !== ((received + i) & 255)) isRight = false;
    received += chunk.length;
  };
  const block = new Uint8Array(1024 * 1024).map((_, i) => i & 255);
  for (let sent = 0; sent < total; sent += block.length) {
    wire.send(block);
    await wire.until('room', () => wire.queued < 2 * block.length, 30_000);
  }
  wire.finish();
  await wire.until('the end', () => wire.isEnded, 30_000);
  expect({ received, isRight }).toEqual({ received: total, isRight: true });
}, 60_000);

test('the connections are mutual TLS of the waypoint’s identity', () => {
  const out = lab.http(15_020, '/metrics');
  expect(out).toContain('destination_principal="spiffe://cluster.local/ns/default/sa/backend"');
});

test('an endpoint known by a host name is resolved and reached through its tunnel, never beside it', async () => {
  const opened = (): number =>
    Bun.spawnSync(['ip', 'netns', 'exec', pod.namespace, 'curl', '-s', 'http://127.0.0.1:15020/metrics'])
      .stdout.toString()
      .split('\n')
      .filter((line) => line.startsWith('istio_tcp_connections_opened_total') && line.includes('connection_security_policy="mutual_tls"'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  server.accept = answering(() => ok('by name'));
  const before = opened();
  const wire = await client(lab.open('named', 80));
  wire.send(get());
  expect((await wire.message()).body).toBe('by name');
  expect(opened()).toBe(before + 1);
});

test('an endpoint whose host name nobody knows is 503', async () => {
  const wire = await client(lab.open('missing', 80));
  wire.send(get());
  expect((await wire.message()).start).toContain(' 503 ');
});
