/** Tunnels to the node proxy itself: its metrics, for those whom policies let. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Action, Scope } from '../../src/protocol/index.ts';
import { dial } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import type { Node, Pod } from './network.ts';

const lab = new Lab('zt-o', '10.82');
let node: Node;
let proxy: TestProxy;
let client: Pod;

beforeAll(async () => {
  node = lab.network.addNode(1);
  client = lab.network.addPod(node, 'client', 10);
  await lab.start();
  lab.workload(client, 'client');
  await lab.push();
  proxy = lab.addProxy(node);
  proxy.start();
  expect(await proxy.add(client, 'client')).toBe('');
  lab.network.capture(client);
  await proxy.ready();
}, 60_000);

afterAll(() => lab.stop());

/** What a client in the pod reads from a port of the node proxy; undefined when its connection was refused. */
async function scrape(port: number): Promise<string | undefined> {
  const peer = dial(client, node.ip, port);
  if (!(await peer.connected.promise.then(() => true).catch(() => false))) return undefined;
  peer.send(`GET /metrics HTTP/1.1\r\nhost: ztunnel\r\nconnection: close\r\n\r\n`);
  await peer.ended.promise;
  peer.socket?.terminate();
  return peer.received === 0 ? undefined : peer.text;
}

test('the metrics come without a tunnel while the control plane knows of none, and through one when it does', async () => {
  expect(await scrape(15_020)).toContain('# TYPE');
  expect(proxy.lines('direction="inbound"')).toEqual([]);
  lab.workload({ name: 'ztunnel-node1', node, namespace: node.namespace, ip: node.ip }, 'ztunnel', { namespace: 'istio-system' });
  await lab.push();
  await until('the listener', () => proxy.log.includes('takes tunnels to itself'));
  expect(await scrape(15_020)).toContain('# TYPE');
  const [line] = await until('the line', () => {
    const lines = proxy.lines('connection complete', 'direction="inbound"');
    return lines.length > 0 && lines;
  });
  for (const piece of [
    `dst.addr=${node.ip}:15008`,
    `dst.hbone_addr=${node.ip}:15020`,
    'src.workload="client"',
    'src.identity="spiffe://cluster.local/ns/default/sa/client"',
    'dst.workload="ztunnel-node1"',
    'dst.identity="spiffe://cluster.local/ns/istio-system/sa/ztunnel"',
  ])
    expect(line).toContain(piece);
  expect(line).not.toContain('error=');
  const labels = { reporter: 'destination', destination_workload: 'ztunnel-node1', connection_security_policy: 'mutual_tls' };
  expect(proxy.metric('istio_tcp_connections_opened_total', labels)).toBe(1);
  expect(proxy.metric('istio_tcp_connections_closed_total', labels)).toBe(1);
});

test('a policy for the proxy’s own workload keeps others out, and neither its listeners nor its admin port can be reached', async () => {
  expect(await scrape(15_008)).toBeUndefined();
  expect(await scrape(15_000)).toBeUndefined();
  lab.policy('nobody', {
    namespace: 'istio-system',
    action: Action.DENY,
    scope: Scope.NAMESPACE,
    rules: [{ clauses: [{ matches: [{ destinationPorts: [15_020] }] }] }],
  });
  await lab.push();
  await until('the denial', async () => (await scrape(15_020)) === undefined);
  await until('the line', () => proxy.lines('error="http status: 401 Unauthorized"').length > 0);
  lab.policies = {};
  await lab.push();
  await until('the policy to be gone', async () => (await scrape(15_020)) !== undefined);
}, 30_000);

test('pods are served although another program has the port', async () => {
  await proxy.stop();
  const listener = Bun.spawn(
    [
      'ip',
      'netns',
      'exec',
      node.namespace,
      process.execPath,
      '-e',
      'Bun.listen({ hostname: "0.0.0.0", port: 15008, socket: { data() {} } }); console.log("listening")',
    ],
    { stdout: 'pipe' },
  );
  try {
    await listener.stdout.getReader().read();
    proxy.start();
    await proxy.ready();
    await until('the reason in the log', () => proxy.log.includes('takes no tunnels to itself'));
  } finally {
    listener.kill();
    await listener.exited;
  }
}, 30_000);

test('a proxy that is switched off waits for no node agent and opens no port but those of its operator', async () => {
  await proxy.stop();
  proxy.start({ ENABLE_PROXY: 'false' });
  await proxy.ready();
  const listening = Bun.spawnSync(['ip', 'netns', 'exec', node.namespace, 'ss', '-tlnH']).stdout.toString();
  expect([...listening.matchAll(/:(\d+) /g)].map(([, port]) => port).sort()).toEqual(['15000', '15020', '15021']);
  await proxy.stop();
}, 30_000);
