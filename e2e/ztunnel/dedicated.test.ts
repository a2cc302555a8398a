import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { ApplicationTunnel_Protocol } from '../../src/protocol/index.ts';
import { dial, echo, type Peer, serve } from './apps.ts';
import { LATEEN, Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-d', '10.76');
let shared: TestProxy;
let dedicated: TestProxy;
let client: Pod;
let gateway: Pod;
let server: Pod;
let outside: Pod;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  gateway = lab.network.addPod(node2, 'gateway', 10);
  server = lab.network.addPod(node2, 'server', 11);
  outside = lab.network.addPod(node2, 'outside', 20);
  await lab.start();
  lab.workload(client, 'client');
  lab.workload(server, 'server');
  lab.workload(gateway, 'gateway', { applicationTunnel: { protocol: ApplicationTunnel_Protocol.PROXY, port: 15_088 } });
  await lab.push();
  // One proxy in its pod's own namespace, with its state from a file and no node agent; the other as usual.
  const file = path.join(lab.directory, 'local.yaml');
  const workload = (pod: Pod) => ({
    uid: `Kubernetes//Pod/default/${pod.name}`,
    name: pod.name,
    namespace: 'default',
    serviceAccount: pod.name,
    workloadName: pod.name,
    workloadIps: [pod.ip],
    protocol: 'HBONE',
    node: pod.node.name,
    services: {},
  });
  fs.writeFileSync(file, JSON.stringify({ workloads: [client, gateway, server].map(workload), services: [], policies: [] }));
  dedicated = lab.addProxy(
    { ...node1, namespace: client.namespace },
    {
      XDS_ADDRESS: '',
      LOCAL_XDS_PATH: file,
      PROXY_MODE: 'dedicated',
      PROXY_WORKLOAD_INFO: 'default/client/client',
      PACKET_MARK: '1337',
    },
  );
  // It lives among what it captures: its own calls must not come back to it.
  lab.network.capture(client, lab.network.fabricIp);
  dedicated.start();
  shared = lab.addProxy(node2);
  shared.start();
  expect(await shared.add(gateway, 'gateway')).toBe('');
  expect(await shared.add(server, 'server')).toBe('');
  lab.network.capture(gateway);
  lab.network.capture(server);
  await shared.ready();
  await dedicated.ready();
  for (const pod of [client, server, outside]) serve(pod, 8080, echo(2));
}, 60_000);

afterAll(() => lab.stop());

test('a dedicated proxy with local configuration reaches an application through its PROXY tunnel', async () => {
  let header = Buffer.alloc(0);
  const application = serve(gateway, 15_088, (peer: Peer) => {
    peer.handle = (chunk) => {
      header = Buffer.concat([header, chunk]);
      if (header.includes('question')) peer.send('answer');
    };
  });
  const peer = await until('a tunnel', async () => {
    const attempt = dial(client, gateway.ip, 8080);
    await attempt.connected.promise;
    attempt.send('question');
    await attempt.bytes(6);
    return attempt;
  });
  expect(peer.text).toBe('answer');
  expect(header.subarray(0, 12).toString('hex')).toBe('0d0a0d0a000d0a515549540a');
  // IPv4 stream; source the client, destination what it asked for; then its identity.
  expect([...header.subarray(12, 14)]).toEqual([0x21, 0x11]);
  expect([...header.subarray(16, 24)]).toEqual([10, 76, 1, 10, 10, 76, 2, 10]);
  expect(header.readUInt16BE(26)).toBe(8080);
  expect(header.includes('spiffe://cluster.local/ns/default/sa/client')).toBe(true);
  // The application listens on loopback only in such a set-up, and is called from there.
  expect(application.sources.at(-1)).toBe('127.0.0.1');
  peer.finish();
  application.close();
});

describe('11 octets out and 22 back, counted once on either side', () => {
  const NAMES = ['connections_opened', 'connections_closed', 'received_bytes', 'sent_bytes'] as const;
  const count = (proxy: TestProxy, labels: Record<string, string>) => NAMES.map((name) => proxy.metric(`istio_tcp_${name}_total`, labels));

  test.each<[string, () => [Pod, Pod], () => [TestProxy, 'source' | 'destination'][], string]>([
    [
      'from its pod to a captured one',
      () => [client, server],
      () => [
        [dedicated, 'source'],
        [shared, 'destination'],
      ],
      'mutual_tls',
    ],
    ['from its pod to one outside the mesh', () => [client, outside], () => [[dedicated, 'source']], 'unknown'],
    ['from outside the mesh to its pod', () => [outside, client], () => [[dedicated, 'destination']], 'unknown'],
    [
      'from a captured pod to its pod',
      () => [server, client],
      () => [
        [shared, 'source'],
        [dedicated, 'destination'],
      ],
      'mutual_tls',
    ],
  ])('%s', async (_title, ends, reporters, connection_security_policy) => {
    const [from, to] = ends();
    const nameOf = (pod: Pod) => (pod === outside ? 'unknown' : pod.name);
    const sides = reporters().map(([proxy, reporter]) => {
      const labels = { reporter, connection_security_policy, source_workload: nameOf(from), destination_workload: nameOf(to) };
      return { proxy, labels, before: count(proxy, labels) };
    });
    const peer = dial(from, to.ip, 8080);
    await peer.connected.promise;
    peer.send('hello world');
    expect(await peer.bytes(22)).toBe('hello worldhello world');
    peer.finish();
    await peer.closed.promise;
    for (const { proxy, labels, before } of sides) {
      await until('the connection to be counted', () => count(proxy, labels)[1] === before[1]! + 1);
      expect(count(proxy, labels).map((value, i) => value - before[i]!)).toEqual([1, 1, 11, 22]);
    }
  });
});

test('a taken port stops the proxy with one sentence that names it', () => {
  const blocker = serve(client.node, 15_021, echo());
  const result = Bun.spawnSync(['ip', 'netns', 'exec', client.node.namespace, LATEEN, 'proxy', 'ztunnel'], {
    env: { PATH: process.env['PATH'] ?? '', XDS_ADDRESS: '', CA_ADDRESS: '', LOCAL_XDS: 'workloads: []' },
  });
  expect(result.exitCode).toBe(1);
  expect(result.stderr.toString()).toMatch(/^ztunnel: cannot listen on readiness port 15021: another process uses it; [^\n]*\n$/);
  blocker.close();
});

test('a bad environment stops the proxy with every problem', () => {
  const result = Bun.spawnSync([LATEEN, 'proxy', 'ztunnel'], {
    env: { PATH: process.env['PATH'] ?? '', IPV6_ENABLED: 'perhaps', LOCAL_XDS_PATH: '/does/not/exist' },
  });
  expect(result.exitCode).toBe(1);
  expect(result.stderr.toString().trim().split('\n')).toHaveLength(2);
});
