/** Calls to the proxy's own ports, from inside the mesh and outside: none loops, none reaches what is not for pods (ambient contract 11.1, protocol abuse). */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { dial, echo, serve } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';

const lab = new Lab('zt-r', '10.81');
let proxy: TestProxy;
let node: Node;
let client: Pod;
let server: Pod;
let foreigner: Pod;
let uncaptured: Pod;

beforeAll(async () => {
  node = lab.network.addNode(1);
  client = lab.network.addPod(node, 'client', 10);
  server = lab.network.addPod(node, 'server', 11);
  foreigner = lab.network.addPod(node, 'foreigner', 12);
  uncaptured = lab.network.addPod(node, 'uncaptured', 20);
  await lab.start();
  for (const pod of [client, server]) lab.workload(pod, pod.name);
  lab.workload(foreigner, 'foreigner', { trustDomain: 'clusterset.local' });
  // The proxy is a workload itself: it takes tunnels to its metrics on the node.
  lab.workload({ name: 'ztunnel-node1', node, namespace: node.namespace, ip: node.ip }, 'ztunnel', { namespace: 'istio-system' });
  await lab.push();
  proxy = lab.addProxy(node);
  proxy.start();
  for (const pod of [client, server, foreigner]) {
    expect(await proxy.add(pod, pod.name)).toBe('');
    lab.network.capture(pod);
  }
  await proxy.ready();
  await until('the proxy’s own tunnel port', () => proxy.log.includes('takes tunnels to itself'));
  serve(server, 8080, echo());
  await until('a tunnel', async () => {
    const peer = dial(client, server.ip, 8080);
    await peer.connected.promise;
    peer.send('x');
    await peer.bytes(1);
    peer.socket?.terminate();
    return true;
  });
}, 60_000);

afterAll(() => {
  expect(proxy.process.exitCode).toBeNull();
  lab.stop();
});

/** `connection`: nobody listens. `request`: connected, and closed without an answer. `http`: an HTTP server that did not understand. */
type Outcome = 'connection' | 'request' | 'http';

/** First octets of the record that says the handshake failed. */
const TLS_ALERT = '\x15\x03';

async function outcome(from: Pod, ip: string, port: number): Promise<Outcome> {
  const peer = dial(from, ip, port);
  const isConnected = await peer.connected.promise.then(
    () => true,
    () => false,
  );
  // A reset may overtake the news of the connection.
  if (!isConnected) return peer.failure?.code === 'ECONNREFUSED' ? 'connection' : 'request';
  peer.send('hello world\r\n\r\n');
  await Promise.race([peer.ended.promise, peer.bytes(12).catch(() => {})]);
  const { text } = peer;
  peer.socket?.terminate();
  if (text.startsWith('HTTP/1.1 400')) return 'http';
  return text === '' || text.startsWith(TLS_ALERT) ? 'request' : (`unexpected answer ${JSON.stringify(text)}` as Outcome);
}

const REFUSED: readonly Outcome[] = ['request', 'request', 'request'];
const PROXY_PORTS = [15_001, 15_006, 15_008] as const;
const OWN_PORTS = [15_080, 15_000, 15_020, 15_021] as const;
const all = (from: Pod, ip: string, ports: readonly number[]) => Promise.all(ports.map((port) => outcome(from, ip, port)));

describe('a captured pod', () => {
  test('gets nowhere on the node: no loop, no admin interface; metrics and readiness answer as HTTP', async () => {
    expect(await all(client, node.ip, PROXY_PORTS)).toEqual([...REFUSED]);
    expect(await all(client, node.ip, OWN_PORTS)).toEqual(['request', 'request', 'http', 'http']);
  });
  test('gets nowhere at its own address', async () => {
    expect(await all(client, client.ip, PROXY_PORTS)).toEqual([...REFUSED]);
    expect(await all(client, client.ip, OWN_PORTS)).toEqual(OWN_PORTS.map(() => 'connection'));
  });
  test('gets nowhere on loopback', async () => {
    expect(await all(client, '127.0.0.1', PROXY_PORTS)).toEqual([...REFUSED]);
    expect(await all(client, '127.0.0.1', OWN_PORTS)).toEqual(OWN_PORTS.map(() => 'connection'));
  });
});

describe('a pod outside the mesh', () => {
  test('reaches metrics and readiness of the node and nothing else there', async () => {
    expect(await all(uncaptured, node.ip, PROXY_PORTS)).toEqual(['connection', 'connection', 'request']);
    expect(await all(uncaptured, node.ip, OWN_PORTS)).toEqual(['connection', 'connection', 'http', 'http']);
  });
  test('is taken in by a captured pod on every port, and let go at once', async () => {
    expect(await all(uncaptured, client.ip, [...PROXY_PORTS, ...OWN_PORTS])).toEqual([
      ...REFUSED,
      ...OWN_PORTS.map(() => 'request' as const),
    ]);
  });
});

test('a client of another trust domain is refused in the handshake, and its application sees a reset', async () => {
  const peer = dial(foreigner, server.ip, 8080);
  // The reset may overtake the connection.
  await peer.connected.promise.then(
    () => peer.send('hello world!'),
    () => {},
  );
  await peer.closed.promise;
  expect(peer.received).toBe(0);
  await until(
    'the line',
    () => proxy.lines('direction="inbound"', 'peer has no identity of trust domain cluster.local', `src.addr=${foreigner.ip}`).length > 0,
  );
});

test('what the metrics port sends compressed is what it sends plainly', () => {
  const names = (...options: string[]): string[] => {
    const url = 'http://127.0.0.1:15020/metrics';
    const { stdout } = Bun.spawnSync(['ip', 'netns', 'exec', node.namespace, 'curl', '-s', '-m', '20', ...options, url]);
    return stdout
      .toString()
      .split('\n')
      .map((line) => line.replace(/ [^ ]*$/, ''))
      .filter((line) => line.startsWith('istio_tcp'));
  };
  const plain = names();
  expect(plain.length).toBeGreaterThan(4);
  for (const encoding of ['gzip', 'zstd', 'br']) expect(names('--compressed', '-H', `accept-encoding: ${encoding}`)).toEqual(plain);
});
