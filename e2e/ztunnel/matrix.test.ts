import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Action, Scope } from '../../src/protocol/index.ts';
import { dial, echo, type Peer, type ServerHandle, serve } from './apps.ts';
import { ipBytes, Lab, ON_ONE_NODE, PLACEMENT, type TestProxy, until, WORKERS } from './lab.ts';
import { type Node, type Pod, run } from './network.ts';

const lab = new Lab('zt-m', '10.71');
const servers = new Map<string, ServerHandle>();
let one: TestProxy;
let two: TestProxy;
let node1: Node;
let node2: Node;
let client: Pod;
let local: Pod;
let remote: Pod;
let outside: Pod;
let unready: Pod;

const VIP = '10.72.0.1';
const EMPTY_VIP = '10.72.0.2';

beforeAll(async () => {
  node1 = lab.network.addNode(1);
  node2 = ON_ONE_NODE ? node1 : lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  local = lab.network.addPod(node1, 'local', 11);
  remote = lab.network.addPod(node2, 'remote', ON_ONE_NODE ? 12 : 10);
  outside = lab.network.addPod(node2, 'outside', 20);
  unready = lab.network.addPod(node2, 'unready', 21);
  await lab.start();
  lab.network.addIpv6(client, 'fd00:71::10');
  lab.network.addIpv6(local, 'fd00:71::11');
  const v6 = (last: number) => Uint8Array.from([0xfd, 0, 0, 0x71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
  lab.workload(client, 'client', { addresses: [ipBytes(client.ip), v6(0x10)] });
  lab.workload(local, 'local', { addresses: [ipBytes(local.ip), v6(0x11)] });
  lab.workload(remote, 'remote', {
    services: { 'default/echo.default.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } },
  });
  const vip = (address: string) => [{ network: '', address: ipBytes(address) }];
  lab.service('echo', { addresses: vip(VIP), ports: [{ servicePort: 80, targetPort: 8080 }] });
  lab.service('empty', { addresses: vip(EMPTY_VIP), ports: [{ servicePort: 80, targetPort: 8080 }] });
  await lab.push();
  one = lab.addProxy(node1);
  one.start();
  two = lab.addSecondProxy(one, node2);
  expect(await one.add(client, 'client')).toBe('');
  expect(await one.add(local, 'local')).toBe('');
  expect(await two.add(remote, 'remote')).toBe('');
  for (const pod of [client, local, remote]) lab.network.capture(pod);
  await one.ready();
  await two.ready();
  for (const pod of [local, remote, outside, client]) servers.set(pod.name, serve(pod, 8080, echo(2)));
}, 60_000);

afterAll(() => lab.stop());

/** Sends 11 bytes, wants 22 back, closes in order. */
async function exchange(from: Pod, ip: string, port = 8080): Promise<string> {
  const peer = dial(from, ip, port);
  await peer.connected.promise;
  peer.send('hello world');
  const text = await peer.bytes(22);
  peer.finish();
  await peer.closed.promise;
  return text;
}

/** Connects through the mesh to something that will not be reached. */
async function refused(from: Pod, ip: string, port: number): Promise<Peer> {
  const peer = dial(from, ip, port);
  // The reset may overtake the connection.
  await peer.closed.promise;
  expect(peer.received).toBe(0);
  return peer;
}

const ANSWER = 'hello worldhello world';
const OPENED = 'istio_tcp_connections_opened_total';
const CLOSED = 'istio_tcp_connections_closed_total';

/** One connection's traces: metrics of the reporter, one access log line. */
async function expectCounted(
  proxy: TestProxy,
  reporter: 'source' | 'destination',
  before: Counts,
  policy: string,
  workloads: Record<string, string>,
) {
  const labels = { reporter, connection_security_policy: policy, ...workloads };
  await until('the connection to be counted', () => count(proxy, labels).closed === before.closed + 1);
  const after = count(proxy, labels);
  expect(after).toEqual({ opened: before.opened + 1, closed: before.closed + 1, received: before.received + 11, sent: before.sent + 22 });
}

interface Counts {
  readonly opened: number;
  readonly closed: number;
  readonly received: number;
  readonly sent: number;
}

const count = (proxy: TestProxy, labels: Record<string, string>): Counts => ({
  opened: proxy.metric(OPENED, labels),
  closed: proxy.metric(CLOSED, { ...labels, response_flags: '-' }),
  received: proxy.metric('istio_tcp_received_bytes_total', labels),
  sent: proxy.metric('istio_tcp_sent_bytes_total', labels),
});

test('a captured client reaches a captured server on another node through a tunnel', async () => {
  const workloads = { source_workload: 'client', destination_workload: 'remote' };
  const labels = { connection_security_policy: 'mutual_tls', ...workloads };
  const source = count(one, { reporter: 'source', ...labels });
  const destination = count(two, { reporter: 'destination', ...labels });
  expect(await exchange(client, remote.ip)).toBe(ANSWER);
  await expectCounted(one, 'source', source, 'mutual_tls', workloads);
  await expectCounted(two, 'destination', destination, 'mutual_tls', workloads);
  // The application sees its client's own address.
  expect(servers.get('remote')!.sources.at(-1)).toBe(client.ip);
});

test('the access log has the fields of a real ztunnel in their order, from each side', async () => {
  const tail = new RegExp(
    /src\.identity="spiffe:\/\/cluster\.local\/ns\/default\/sa\/client" src\.cluster="Kubernetes" dst\.addr=REMOTE:15008 dst\.hbone_addr=REMOTE:8080 (dst\.service="echo\.default\.svc\.cluster\.local" )?dst\.workload="remote" dst\.namespace="default" dst\.identity="spiffe:\/\/cluster\.local\/ns\/default\/sa\/remote" dst\.cluster="Kubernetes" direction="(in|out)bound" bytes_sent=(11|22) bytes_recv=(11|22) duration="\d+ms"( joined="true")?$/.source.replaceAll(
      'REMOTE',
      remote.ip.replaceAll('.', '\\.'),
    ),
  );
  const [outbound] = await until('the line', () => {
    const lines = one.lines('connection complete', 'direction="outbound"', 'dst.workload="remote"');
    return lines.length > 0 && lines;
  });
  const [inbound] = await until('the line', () => {
    const lines = two.lines('connection complete', 'direction="inbound"', 'dst.workload="remote"');
    return lines.length > 0 && lines;
  });
  expect(outbound).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\tinfo\taccess\tconnection complete\tsrc\.addr=10\.71\.1\.10:\d+ src\.workload="client" src\.namespace="default" /,
  );
  expect(outbound).toMatch(tail);
  expect(inbound).toMatch(tail);
  expect(outbound).toContain('bytes_sent=11 bytes_recv=22');
  expect(inbound).toContain('bytes_sent=22 bytes_recv=11');
});

test('a captured client reaches a captured server on its own node through a tunnel', async () => {
  const workloads = { source_workload: 'client', destination_workload: 'local' };
  const labels = { connection_security_policy: 'mutual_tls', ...workloads };
  const source = count(one, { reporter: 'source', ...labels });
  const destination = count(one, { reporter: 'destination', ...labels });
  expect(await exchange(client, local.ip)).toBe(ANSWER);
  await expectCounted(one, 'source', source, 'mutual_tls', workloads);
  await expectCounted(one, 'destination', destination, 'mutual_tls', workloads);
});

test('IPv6 takes the same way, with the original destination and source kept', async () => {
  const before = one.metric(OPENED, { reporter: 'destination', connection_security_policy: 'mutual_tls', destination_workload: 'local' });
  expect(await exchange(client, 'fd00:71::11')).toBe(ANSWER);
  expect(servers.get('local')!.sources.at(-1)).toBe('fd00:71::10');
  expect(one.metric(OPENED, { reporter: 'destination', connection_security_policy: 'mutual_tls', destination_workload: 'local' })).toBe(
    before + 1,
  );
  await until('the line', () => one.lines('connection complete', 'dst.hbone_addr=[fd00:71::11]:8080', 'direction="inbound"').length === 1);
});

test('a captured client reaches a server outside the mesh plainly', async () => {
  const workloads = { source_workload: 'client', destination_workload: 'unknown' };
  const source = count(one, { reporter: 'source', connection_security_policy: 'unknown', ...workloads });
  expect(await exchange(client, outside.ip)).toBe(ANSWER);
  await expectCounted(one, 'source', source, 'unknown', workloads);
  expect(servers.get('outside')!.sources.at(-1)).toBe(client.ip);
});

test('a client outside the mesh reaches a captured server plainly', async () => {
  const workloads = { source_workload: 'unknown', destination_workload: 'remote' };
  const destination = count(two, { reporter: 'destination', connection_security_policy: 'unknown', ...workloads });
  expect(await exchange(outside, remote.ip)).toBe(ANSWER);
  await expectCounted(two, 'destination', destination, 'unknown', workloads);
  expect(servers.get('remote')!.sources.at(-1)).toBe(outside.ip);
});

test('many plain connections of one client at once are not mistaken for what the proxy makes in its name', async () => {
  // Few ports, so that both kernels would choose the same ones.
  const ports = 'net.ipv4.ip_local_port_range';
  const before = run('ip', 'netns', 'exec', outside.namespace, 'sysctl', '-n', ports).trim().split(/\s+/).join(' ');
  const choose = (range: string): void => {
    for (const { namespace } of [outside, remote]) run('ip', 'netns', 'exec', namespace, 'sysctl', '-qw', `${ports}=${range}`);
  };
  choose('40000 40063');
  try {
    const peers: Peer[] = [];
    for (let i = 0; i < 24; i++) {
      const peer = dial(outside, remote.ip, 8080, 3000);
      await peer.connected.promise;
      peer.send('x');
      await peer.bytes(2);
      peers.push(peer);
    }
    for (const peer of peers) peer.finish();
    await Promise.all(peers.map((peer) => peer.closed.promise));
  } finally {
    choose(before);
  }
});

test('a service address is balanced to its endpoint, with the port translated and the service named', async () => {
  const labels = { reporter: 'source', destination_service: 'echo.default.svc.cluster.local', destination_workload: 'remote' };
  const before = one.metric(OPENED, labels);
  expect(await exchange(client, VIP, 80)).toBe(ANSWER);
  expect(one.metric(OPENED, labels)).toBe(before + 1);
  // The peer learns the service from the request, though the authority is the pod.
  await until('the server side to name the service', () => two.metric(OPENED, { ...labels, reporter: 'destination' }) > 0);
});

test('a pod reaches itself through its own service', async () => {
  expect(await exchange(remote, VIP, 80)).toBe(ANSWER);
});

test('a service without endpoints refuses, and says why', async () => {
  await refused(client, EMPTY_VIP, 80);
  await until('the line', () => one.lines('connection failed', `error="no healthy upstream: ${EMPTY_VIP}:80"`).length === 1);
});

test('an application that does not listen is a failed connection on both sides', async () => {
  const failed = two.metric('istio_tcp_connections_failed_total', { response_flags: 'CONNECT', reporter: 'destination' });
  await refused(client, remote.ip, 9);
  await until('the line', () => one.lines('error="http status: 503 Service Unavailable"').length === 1);
  await until(
    'the line',
    () => two.lines('connection complete', 'error="connection failed: connection refused (ECONNREFUSED)"').length === 1,
  );
  expect(two.metric('istio_tcp_connections_failed_total', { response_flags: 'CONNECT', reporter: 'destination' })).toBe(failed + 1);
});

test('a denied client gets nothing and the log names the policy on the server and the status on the client', async () => {
  lab.policy('no-client', {
    action: Action.DENY,
    scope: Scope.NAMESPACE,
    rules: [
      {
        clauses: [
          {
            matches: [
              { principals: [{ matchType: { case: 'exact', value: 'cluster.local/ns/default/sa/client' } }], destinationPorts: [8081] },
            ],
          },
        ],
      },
    ],
  });
  await lab.push();
  await Bun.sleep(100);
  const servers8081 = serve(remote, 8081, echo());
  const bytes = one.metric('istio_tcp_received_bytes_total', { destination_workload: 'remote' });
  const peer = dial(client, remote.ip, 8081);
  // The refusal may overtake the connection.
  if (
    await peer.connected.promise.then(
      () => true,
      () => false,
    )
  )
    peer.send('secret');
  await peer.closed.promise;
  expect(peer.received).toBe(0);
  expect(servers8081.peers).toHaveLength(0);
  await until(
    'the line',
    () => two.lines('error="connection closed due to policy rejection: explicitly denied by: default/no-client"').length === 1,
  );
  await until('the line', () => one.lines('error="http status: 401 Unauthorized"').length === 1);
  expect(two.metric('istio_tcp_connections_failed_total', { response_flags: 'DENY' })).toBe(1);
  // What was sent ahead of a refusal never reached anybody.
  expect(one.metric('istio_tcp_received_bytes_total', { destination_workload: 'remote' })).toBe(bytes);
  servers8081.close();
  lab.policies['default/no-client'] = undefined as never;
  delete lab.policies['default/no-client'];
  await lab.push();
});

test('plain text is refused where only identified clients may come', async () => {
  lab.policy('strict', {
    action: Action.DENY,
    scope: Scope.WORKLOAD_SELECTOR,
    rules: [{ clauses: [{ matches: [{ notPrincipals: [{ matchType: { case: 'presence', value: {} } }] }] }] }],
  });
  lab.workload(remote, 'remote', {
    authorizationPolicies: ['default/strict'],
    services: { 'default/echo.default.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } },
  });
  await lab.push();
  // A connection under way when the policy arrives is closed for the change; a later one for the policy.
  await until('the rejection', async () => {
    const peer = dial(outside, remote.ip, 8080);
    await peer.connected.promise;
    peer.send('x');
    await Promise.race([peer.closed.promise, peer.bytes(1).catch(() => {})]);
    peer.socket?.terminate();
    await Bun.sleep(20);
    return two.lines('direction="inbound"', 'explicitly denied by: default/strict').length > 0;
  });
  expect(await exchange(client, remote.ip)).toBe(ANSWER);
});

test('a policy change closes the open connections it no longer allows, and only those', async () => {
  const open = dial(client, remote.ip, 8080);
  const other = dial(client, local.ip, 8080);
  for (const peer of [open, other]) {
    await peer.connected.promise;
    peer.send('hello world');
    await peer.bytes(22);
  }
  lab.policy('late', {
    action: Action.DENY,
    scope: Scope.WORKLOAD_SELECTOR,
    rules: [{ clauses: [{ matches: [{ principals: [{ matchType: { case: 'suffix', value: '/sa/client' } }] }] }] }],
  });
  const services = { 'default/echo.default.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } };
  // The policy applies because the workload lists it: a change of the list alone must be enough.
  await lab.push();
  expect(open.isEnded).toBe(false);
  lab.workload(remote, 'remote', { authorizationPolicies: ['default/late'], services });
  await lab.push();
  await open.ended.promise;
  await until('the line', () => two.lines('error="connection closed due to policy change"').length === 1);
  other.send('hello world');
  await other.bytes(44);
  other.finish();
  await other.closed.promise;
  lab.workload(remote, 'remote', { services });
  lab.policies = {};
  await lab.push();
});

test('the proxy is not an address its pods may call', async () => {
  for (const port of [15_001, 15_006, 15_008]) await refused(client, remote.ip, port);
  await until('the lines', () => two.lines('attempted recursive call to ourselves').length === 3);
});

test('64 connections at once share few tunnels and mix nothing up', async () => {
  const peers = Array.from({ length: 64 }, () => dial(client, remote.ip, 8080));
  const texts = await Promise.all(
    peers.map(async (peer, index) => {
      await peer.connected.promise;
      const text = `connection ${index};`.padEnd(100, '.');
      for (let i = 0; i < 20; i++) {
        peer.send(text);
        await peer.bytes((i + 1) * 200);
      }
      peer.finish();
      await peer.closed.promise;
      return peer.text === text.repeat(40);
    }),
  );
  expect(texts.every(Boolean)).toBe(true);
  // Each process has tunnels of its own.
  expect(two.metric('istio_tcp_sockets_open', { reporter: 'destination' })).toBeLessThanOrEqual((ON_ONE_NODE ? 4 : 3) * WORKERS);
});

test.if(ON_ONE_NODE)('on one node connections are joined where that is on, and only there', () => {
  const joined = one.metric('lateen_joined_connections_total');
  if (PLACEMENT === 'joined' && WORKERS === 1) expect(joined).toBeGreaterThan(64);
  // A tunnel between two workers has its ends in two processes.
  else if (PLACEMENT === 'joined') expect(joined).toBeGreaterThanOrEqual(0);
  else expect(joined).toBe(0);
});

test('metrics outside the stable ones say that they are unstable', () => {
  const stable = new Set([
    'istio_tcp_connections_opened',
    'istio_tcp_connections_closed',
    'istio_tcp_received_bytes',
    'istio_tcp_sent_bytes',
  ]);
  for (const line of one.http(15_020, '/metrics').split('\n')) {
    const help = /^# HELP (istio_[a-z_]+?)(_total)? (.*)$/.exec(line);
    if (help !== null && !stable.has(help[1]!)) expect(help[3]).toContain('unstable');
  }
});

test('the configuration dump lists workloads, certificates and open connections', async () => {
  const peer = dial(client, remote.ip, 8080);
  await peer.connected.promise;
  peer.send('hello world');
  await peer.bytes(22);
  const dump = JSON.parse(one.http(15_000, '/config_dump'));
  expect(dump.workloads.map((workload: { name: string }) => workload.name).sort()).toEqual(['client', 'local', 'remote']);
  expect(dump.services.find((service: { name: string }) => service.name === 'echo').vips).toEqual([`/${VIP}`]);
  const connections = dump.workloadState['uid-client'].connections;
  expect(connections.outbound).toContainEqual({
    src: expect.stringContaining(client.ip),
    originalDst: `${remote.ip}:8080`,
    actualDst: `${remote.ip}:15008`,
    protocol: 'HBONE',
    ...(PLACEMENT === 'joined' && { joined: true }),
  });
  const identities = dump.certificates.map(
    (certificate: { identity: string; state: string }) => `${certificate.identity} ${certificate.state}`,
  );
  expect(identities).toContain('spiffe://cluster.local/ns/default/sa/client Available');
  expect(JSON.stringify(dump)).not.toContain('test-token');
  expect(JSON.stringify(dump)).not.toContain('PRIVATE KEY');
  peer.socket!.terminate();
});

test('the log level changes at run time', () => {
  expect(one.http(15_000, '/logging?level=info,access=off', 'POST')).toContain('access=off');
  expect(one.http(15_000, '/logging?level=access=loud', 'POST')).not.toContain('current log level');
  expect(one.http(15_000, '/logging?reset', 'POST')).toContain('info,access=debug');
});

test('a pod whose namespace cannot be served is reported and keeps the proxy unready', async () => {
  const taken = serve(unready, 15_001);
  expect(await two.add(unready, 'unready')).toContain('EADDRINUSE');
  await until('unreadiness', () => two.http(15_021, '/healthz/ready') === 'not ready, pending: workload proxy manager\n');
  taken.close();
  await two.ready();
  expect(await two.remove(unready)).toBe('');
});
