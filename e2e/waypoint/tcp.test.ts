/** Streams that are not HTTP through a waypoint: who speaks first, what is read off the first octets, TLS by its server name, and every way to end. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import type { ServicePlan } from '../../src/mesh/http/index.ts';
import { H2Peer } from './h2-wire.ts';
import { keyOf, WaypointLab } from './lab.ts';
import { answering, connect, RawServer, type Wire } from './wire.ts';

const lab = new WaypointLab();
let server: RawServer;
/** Declared TCP, and not declared at all. */
let tcp = 0;
let unknown = 0;
let secure = 0;
const wires: Wire[] = [];
const BOTH = () => [tcp, unknown];

const plans: ServicePlan[] = [
  {
    service: keyOf('secure'),
    ports: [
      {
        port: 443,
        tls: [
          {
            name: 'other-namespace',
            sniHosts: ['a.example.com'],
            sourceNamespace: 'elsewhere',
            backends: [{ service: keyOf('b'), port: 443, weight: 1 }],
          },
          { name: 'a', sniHosts: ['a.example.com'], backends: [{ service: keyOf('a'), port: 443, weight: 1 }] },
          { name: 'b', sniHosts: ['*.example.com'], sourceNamespace: 'clients', backends: [{ service: keyOf('b'), port: 443, weight: 1 }] },
        ],
        tcp: [{ name: 'rest', backends: [{ service: keyOf('plain'), port: 80, weight: 1 }] }],
      },
    ],
  },
];

beforeAll(async () => {
  server = new RawServer(lab, '127.0.0.21', 9000);
  const certificate = (name: string): { key: string; cert: string } => {
    const [key, cert] = [path.join(lab.directory, `${name}.key`), path.join(lab.directory, `${name}.pem`)];
    const { exitCode } = Bun.spawnSync(
      [
        'openssl',
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '1',
        '-subj',
        `/CN=${name}`,
      ].concat(['-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', cert]),
    );
    if (exitCode !== 0) throw new Error('openssl failed');
    return { key: fs.readFileSync(key, 'utf8'), cert: fs.readFileSync(cert, 'utf8') };
  };
  for (const [name, hostname] of [
    ['a', '127.0.0.31'],
    ['b', '127.0.0.32'],
  ] as const)
    lab.inside(() => Bun.serve({ hostname, port: 443, tls: certificate(name), fetch: () => new Response(`endpoint ${name}`) }));
  await lab.start(
    [
      {
        name: 'plain',
        ports: [
          { port: 80, targetPort: 9000, protocol: 'TCP' },
          { port: 81, targetPort: 9000 },
        ],
        endpoints: ['127.0.0.21'],
      },
      { name: 'secure', ports: [{ port: 443, targetPort: 443, protocol: 'TLS' }], endpoints: ['127.0.0.31'] },
      { name: 'a', ports: [{ port: 443, targetPort: 443 }], endpoints: ['127.0.0.31'] },
      { name: 'b', ports: [{ port: 443, targetPort: 443 }], endpoints: ['127.0.0.32'] },
      { name: 'nobody', ports: [{ port: 80, targetPort: 9000, protocol: 'TCP' }], endpoints: [] },
      { name: 'deaf', ports: [{ port: 80, targetPort: 1, protocol: 'TCP' }], endpoints: ['127.0.0.21'] },
    ],
    plans,
  );
  tcp = lab.open('plain', 80);
  unknown = lab.open('plain', 81);
  secure = lab.open('secure', 443);
}, 30_000);
afterAll(async () => {
  server.stop();
  await lab.stop();
});
beforeEach(() => {
  for (const wire of wires.splice(0)) wire.reset();
  server.accept = undefined;
  server.forget();
});

async function pair(port: number): Promise<{ client: Wire; peer: Wire }> {
  const client = await connect(lab, port);
  wires.push(client);
  return { client, peer: await server.next() };
}

test('a server that speaks first is not stalled, declared or not', async () => {
  server.accept = (wire) => {
    wire.send('220 mail.example.com ESMTP\r\n');
    void (async () => {
      expect(await wire.through('\r\n')).toBe('EHLO client\r\n');
      wire.send('250 hello\r\n');
      expect(await wire.through('\r\n')).toBe('QUIT\r\n');
      wire.send('221 bye\r\n');
      wire.finish();
    })();
  };
  for (const port of BOTH()) {
    const start = performance.now();
    const { client } = await pair(port);
    expect(await client.through('\r\n')).toBe('220 mail.example.com ESMTP\r\n');
    // Detection waits for 100 ms; the rest is for a machine under load.
    expect(performance.now() - start).toBeLessThan(1000);
    client.send('EHLO client\r\n');
    expect(await client.through('\r\n')).toBe('250 hello\r\n');
    client.send('QUIT\r\n');
    expect(await client.ended()).toBe('221 bye\r\n');
  }
});

test('a client that speaks first, in octets or in text that is not HTTP', async () => {
  const octets = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i)).toString('latin1');
  for (const first of [octets, '*1\r\n$4\r\nPING\r\n', 'GET key\r\n', '\x16\x03\x09', 'hello\n', '\0', 'get / http/1.1\r\n\r\n'])
    for (const port of BOTH()) {
      const client = await connect(lab, port);
      wires.push(client);
      client.send(first);
      const peer = await server.next();
      expect(await peer.octets(first.length)).toBe(first);
      peer.send('answer');
      expect(await client.octets(6)).toBe('answer');
    }
});

test('what could become HTTP and does not is passed on when the time is up', async () => {
  for (const first of ['G', 'GET', 'PRI', '\x16\x03']) {
    const client = await connect(lab, unknown);
    wires.push(client);
    client.send(first);
    const peer = await server.next();
    expect(await peer.octets(first.length)).toBe(first);
    client.send(' and more');
    expect(await peer.octets(9)).toBe(' and more');
  }
});

test('a short message with its end right behind it arrives', async () => {
  for (const port of BOTH()) {
    const client = await connect(lab, port);
    wires.push(client);
    client.send('hi');
    client.finish();
    const peer = await server.next();
    expect(await peer.ended()).toBe('hi');
    peer.send('bye');
    peer.finish();
    expect(await client.ended()).toBe('bye');
  }
});

test('HTTP of either version is found on a port that declares nothing', async () => {
  server.accept = answering(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const client = await connect(lab, unknown);
  wires.push(client);
  client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect((await client.message()).headers).toEqual({ 'content-length': '2' });
  server.accept = (wire) => {
    const peer = new H2Peer(wire, 'server');
    void peer.next().then((stream) => stream.respond([[':status', '200']]).send('two', true));
  };
  const second = await connect(lab, unknown);
  wires.push(second);
  const asked = new H2Peer(second, 'client').get();
  expect((await asked.ended()).body).toBe('two');
  expect(lab.metric('istio_requests_total', { response_code: '200' })).toBe(2);
});

test('HTTP on a port declared TCP is passed through unread', async () => {
  const { client, peer } = await pair(tcp);
  const nonsense = 'GET / HTTP/1.1\nHost: x\n\n';
  client.send(nonsense);
  expect(await peer.octets(nonsense.length)).toBe(nonsense);
});

test('either side may end first, and the other goes on', async () => {
  for (const port of BOTH()) {
    const first = await pair(port);
    first.client.send('request');
    first.client.finish();
    expect(await first.peer.ended()).toBe('request');
    await Bun.sleep(200);
    first.peer.send('answer');
    first.peer.finish();
    expect(await first.client.ended()).toBe('answer');
    const second = await pair(port);
    second.peer.finish();
    await second.client.ended();
    second.client.send('still here');
    expect(await second.peer.octets(10)).toBe('still here');
    second.client.finish();
    await second.peer.ended();
  }
});

test('a reset of either side reaches the other', async () => {
  for (const port of BOTH()) {
    const first = await pair(port);
    first.client.send('x');
    await first.peer.octets(1);
    first.client.reset();
    await first.peer.closed();
    const second = await pair(port);
    second.client.send('x');
    await second.peer.octets(1);
    second.peer.reset();
    await second.client.closed();
    expect(second.client.closeError).toBeDefined();
  }
});

test('many megabytes flow both ways at once', async () => {
  const total = 32 * 1024 * 1024;
  server.accept = (wire) => {
    wire.onChunk = (chunk) => wire.send(Buffer.from(chunk));
    void wire.until('the end', () => wire.isEnded).then(() => wire.finish());
  };
  const { client } = await pair(tcp);
  let received = 0;
  let sum = 0;
  client.onChunk = (chunk) => {
    received += chunk.length;
    sum = (sum + chunk[0]! + chunk[chunk.length - 1]!) % 1_000_000;
  };
  const block = new Uint8Array(1024 * 1024).fill(7);
  for (let sent = 0; sent < total; sent += block.length) {
    client.send(block);
    await client.until('room', () => client.queued < 2 * block.length);
  }
  client.finish();
  await client.until('the end', () => client.isEnded);
  expect(received).toBe(total);
  expect(sum % 14).toBe(0);
}, 30_000);

test('a service without endpoints, or whose endpoint does not listen, ends the connection', async () => {
  for (const name of ['nobody', 'deaf']) {
    const client = await connect(lab, lab.open(name, 80));
    client.send('anybody?');
    await client.closed();
    expect(client.received).toBe(0);
  }
});

const tls = (name: string): Promise<string> =>
  lab.run('curl', '-sk', '-m', '10', '--resolve', `${name}:${secure}:127.0.0.1`, `https://${name}:${secure}/`);

test('TLS is passed through unopened, to whom its server name belongs', async () => {
  expect(await tls('a.example.com')).toBe('endpoint a');
  expect(await tls('b.example.com')).toBe('endpoint b');
  expect(await tls('x.y.example.com')).toBe('endpoint b');
});

test('a ClientHello in pieces is read whole', async () => {
  const out = await lab.run(
    'sh',
    '-c',
    `echo | openssl s_client -connect 127.0.0.1:${secure} -servername b.example.com -mtu 1000 2>/dev/null | openssl x509 -noout -subject`,
  );
  expect(out).toContain('CN = b');
});

test('what is no TLS on a port of TLS, or asks for another name, takes the route for the rest', async () => {
  const client = await connect(lab, secure);
  wires.push(client);
  client.send('not TLS at all, but long enough to be sure');
  const peer = await server.next();
  await peer.through('sure');
  server.forget();
  void tls('unknown.org').catch(() => '');
  const hello = await server.next();
  await hello.until('a ClientHello', () => hello.text.includes('unknown.org'));
  hello.reset();
});

test('TLS on a port that declares nothing is passed through', async () => {
  const port = lab.open('a', 443);
  expect(await lab.run('curl', '-sk', '-m', '10', `https://127.0.0.1:${port}/`)).toBe('endpoint a');
});

test('connections are in the log and in the metrics', () => {
  expect(lab.log).toMatch(/"- - -" 0 - - - "-" \d+ \d+ \d+ - "-" "-" "-" "-" "127.0.0.21:9000" inbound-vip\|80\|tcp\|plain\.default\.svc/);
  expect(lab.log).toMatch(/"- - -" 0 UH - /);
  expect(lab.log).toMatch(/"- - -" 0 UF - /);
  expect(lab.metric('istio_tcp_connections_opened_total', { reporter: 'waypoint' })).toBeGreaterThan(10);
});
