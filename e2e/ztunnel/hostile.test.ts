import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { WorkloadCertificate } from '../../src/dataplane/core/certificate.ts';
import { dial, echo, serve } from './apps.ts';
import { connectTo, issue, openTunnel } from './foreign-client.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-h', '10.74');
const SERVER = 'spiffe://cluster.local/ns/default/sa/server';
let proxy: TestProxy;
let server: Pod;
let other: Pod;
let intruder: Pod;
let good: WorkloadCertificate;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  server = lab.network.addPod(node2, 'server', 10);
  other = lab.network.addPod(node2, 'other', 11);
  intruder = lab.network.addPod(node1, 'intruder', 66);
  await lab.start();
  const services = { 'default/web.default.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } };
  lab.workload(server, 'server', { services });
  lab.workload(other, 'other');
  lab.service('web', { ports: [{ servicePort: 80, targetPort: 8080 }] });
  await lab.push();
  proxy = lab.addProxy(node2);
  proxy.start();
  expect(await proxy.add(server, 'server')).toBe('');
  expect(await proxy.add(other, 'other')).toBe('');
  lab.network.capture(server);
  lab.network.capture(other);
  await proxy.ready();
  for (const pod of [server, other]) serve(pod, 8080, echo());
  good = await issue(lab, 'spiffe://cluster.local/ns/default/sa/visitor');
  await until('the pod to be served', async () => (await openTunnel(intruder, server.ip, good, SERVER)).tunnel.isReady);
}, 60_000);

afterAll(async () => {
  // Whatever was thrown at it, it is still the same process.
  expect(proxy.process.exitCode).toBeNull();
  lab.stop();
});

const open = () => openTunnel(intruder, server.ip, good, SERVER);
const refusals = (): number => proxy.metric('lateen_refused_total', { direction: 'inbound' });

test('a foreign client with a certificate of the mesh is served, with the metadata of the destination in the answer', async () => {
  const { request, tunnel } = await open();
  const answer = request(connectTo(`${server.ip}:8080`, ['baggage', 'k8s.namespace.name=elsewhere,service.name=visitor']));
  expect(await answer.status.promise).toBe(200);
  expect(answer.headers.find(([name]) => name === 'baggage')?.[1]).toContain('service.name=server');
  answer.send('hello', true);
  expect(await answer.over.promise).toBe(0);
  expect(answer.text).toBe('hello');
  tunnel.cancel();
});

test('a host name as authority reaches the port the service maps it to', async () => {
  const { request, tunnel } = await open();
  const answer = request(connectTo('web.default.svc.cluster.local:80'));
  expect(await answer.status.promise).toBe(200);
  answer.send('x', true);
  await answer.over.promise;
  expect(answer.text).toBe('x');
  expect(await request(connectTo('nowhere.default.svc.cluster.local:80')).status.promise).toBe(503);
  expect(await request(connectTo('web.default.svc.cluster.local:81')).status.promise).toBe(503);
  tunnel.cancel();
});

test('requests are answered with the statuses of a real ztunnel', async () => {
  const { request, tunnel } = await open();
  const statusOf = (headers: Parameters<typeof request>[0]) => request(headers, true).status.promise;
  const get = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', `${server.ip}:8080`],
    [':path', '/'],
  ] as const;
  expect(await statusOf(get)).toBe(400);
  expect(await statusOf(connectTo('no port here'))).toBe(400);
  // Another pod's address.
  expect(await statusOf(connectTo(`${other.ip}:8080`))).toBe(400);
  await until('the line', () => proxy.lines(`error="ip mismatch: ${server.ip} != ${other.ip}"`).length === 1);
  for (const port of [15_001, 15_006, 15_008]) expect(await statusOf(connectTo(`${server.ip}:${port}`))).toBe(503);
  expect(await statusOf(connectTo(`${server.ip}:9`))).toBe(503);
  tunnel.cancel();
});

test('a client without a trusted certificate does not get a tunnel', async () => {
  const before = refusals();
  for (const [identity, trusted, expired] of [
    ['spiffe://cluster.local/ns/default/sa/visitor', false, false],
    ['spiffe://cluster.local/ns/default/sa/visitor', true, true],
    ['spiffe://other.domain/ns/default/sa/visitor', true, false],
    ['https://not.spiffe/at-all', true, false],
  ] as const) {
    const certificate = await issue(lab, identity, trusted, expired).catch(() => good);
    if (certificate === good) continue;
    // In TLS 1.3 the client may think the handshake is over before the server has seen its certificate.
    const refused = await openTunnel(intruder, server.ip, certificate, SERVER).then(
      ({ closed }) => closed.then(() => true),
      () => true,
    );
    expect(refused).toBe(true);
  }
  await until('the refusals to be counted', () => refusals() >= before + 3);
  await until(
    'the line',
    () =>
      proxy.lines('connection failed', 'tls error: identity verification error: peer has no identity of trust domain cluster.local')
        .length === 1,
  );
});

test('a client refuses a server of another identity', async () => {
  await expect(openTunnel(intruder, server.ip, good, 'spiffe://cluster.local/ns/default/sa/somebody-else')).rejects.toThrow(
    'identity verification error',
  );
});

const GARBAGE: Record<string, Uint8Array> = {
  'an HTTP/1.1 request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  zeros: new Uint8Array(20_000),
  noise: crypto.getRandomValues(new Uint8Array(20_000)),
  'an HTTP/2 preface without TLS': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'the beginning of a TLS record': Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff, 0x01]),
  'an oversized TLS record': Buffer.concat([Buffer.from([0x16, 0x03, 0x03, 0xff, 0xff]), Buffer.alloc(70_000, 1)]),
};

for (const [name, bytes] of Object.entries(GARBAGE)) {
  test(`${name} on the tunnel port ends that connection only`, async () => {
    const peer = dial(intruder, server.ip, 15_008);
    await peer.connected.promise;
    peer.send(bytes);
    peer.finish();
    await peer.closed.promise;
    const { tunnel } = await open();
    tunnel.cancel();
  });
}

test('noise inside a good TLS session ends that tunnel with a reason', async () => {
  const before = proxy.log.length;
  const { tunnel, closed } = await open();
  tunnel.output.write(Buffer.from([0xff, 0xff, 0xff, 0x77, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
  await closed;
  await until('the reason', () =>
    /tunnel closed for a fault of the peer.*reason="(frame-size|protocol-error)"/.test(proxy.log.slice(before)),
  );
});

test('a client that connects and says nothing is dropped after a while', async () => {
  const peer = dial(intruder, server.ip, 15_008);
  await peer.connected.promise;
  await peer.ended.promise;
  peer.finish();
  await until('the line', () => proxy.lines('handshake timed out').length > 0);
}, 20_000);

test('200 connections that come and go in the middle of the handshake leave nothing behind', async () => {
  await until('earlier sockets to be gone', () => proxy.metric('istio_tcp_sockets_open', { reporter: 'destination' }) <= 1);
  const before = proxy.metric('istio_tcp_sockets_open', { reporter: 'destination' });
  const peers = Array.from({ length: 200 }, () => dial(intruder, server.ip, 15_008));
  await Promise.all(peers.map((peer) => peer.connected.promise));
  for (const [index, peer] of peers.entries()) {
    peer.send(new Uint8Array([0x16, 0x03, 0x01]));
    if (index % 2) peer.socket!.terminate();
    else peer.finish();
  }
  await until('the sockets to be gone', () => proxy.metric('istio_tcp_sockets_open', { reporter: 'destination' }) <= before);
});

test('a direct call of the plain-text and outbound ports reaches no application', async () => {
  for (const port of [15_001, 15_006]) {
    const peer = dial(intruder, server.ip, port);
    await peer.closed.promise;
    expect(peer.received).toBe(0);
  }
});
