import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { Dial } from '../../src/platform/net/index.ts';
import { Action, Scope } from '../../src/protocol/index.ts';
import { dial, echo, Peer, type ServerHandle, serve } from './apps.ts';
import { ISSUED_SERIAL, issue, openTunnel } from './foreign-client.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import { type Pod, run } from './network.ts';
import { revocationList } from './revocation-list.ts';

const lab = new Lab('zt-w', '10.79');
const WORKERS = 2;
/** So many that all workers get some: by chance they do not once in half a million runs. */
const MANY = 20;
let proxy: TestProxy;
let server: Pod;
let client: Pod;
let outside: Pod;
let late: Pod;
const servers: ServerHandle[] = [];

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  server = lab.network.addPod(node1, 'server', 10);
  client = lab.network.addPod(node1, 'client', 11);
  late = lab.network.addPod(node1, 'late', 12);
  outside = lab.network.addPod(node2, 'outside', 10);
  await lab.start();
  for (const pod of [server, client, late]) lab.workload(pod, pod.name);
  await lab.push();
  proxy = lab.addProxy(node1, { ZTUNNEL_WORKER_THREADS: String(WORKERS) });
  proxy.start();
  expect(await proxy.add(server, 'server')).toBe('');
  expect(await proxy.add(client, 'client')).toBe('');
  lab.network.capture(server);
  lab.network.capture(client);
  await proxy.ready();
  for (const pod of [server, outside]) servers.push(serve(pod, 8080, echo()));
}, 60_000);

afterAll(() => {
  for (const one of servers) one.close();
  lab.stop();
});

/** Process ids of the workers. */
const workers = (): number[] => {
  const { pid } = proxy.process;
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
};

const isRunning = (pid: number): boolean =>
  fs.existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));

/** Which process has the pod's end of each connection to one of its ports, by the client's port. */
function owners(pod: Pod, port: number): Map<number, number> {
  const rows = run('ip', 'netns', 'exec', pod.namespace, 'ss', '-Htnp', 'state', 'established', 'sport', '=', `:${port}`).split('\n');
  const found = new Map<number, number>();
  for (const row of rows) {
    const [, clientPort, pid] = /:(\d+)\s+users:\(\("[^"]*",pid=(\d+)/.exec(row) ?? [];
    if (clientPort !== undefined) found.set(Number(clientPort), Number(pid));
  }
  return found;
}

/** Processes that listen on a port of a pod. */
const listeners = (pod: Pod, port: number): number[] => {
  const rows = run('ip', 'netns', 'exec', pod.namespace, 'ss', '-Hltnp', 'sport', '=', `:${port}`);
  return [...new Set([...rows.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid)))].sort((a, b) => a - b);
};

async function ask(peer: Peer): Promise<void> {
  const before = peer.received;
  peer.send('x');
  await peer.bytes(before + 1);
}

/** Connections that have each been answered once. */
async function connections(count = MANY, from = outside, to = server): Promise<Peer[]> {
  const peers: Peer[] = [];
  while (peers.length < count) {
    const peer = dial(from, to.ip, 8080, 5_000);
    await peer.connected.promise;
    peers.push(peer);
    await ask(peer);
  }
  return peers;
}

async function finish(peers: readonly Peer[]): Promise<void> {
  for (const peer of peers) if (!peer.isEnded) peer.finish();
  await Promise.all(peers.map((peer) => peer.closed.promise));
}

const allServe = () =>
  until('all workers to serve', () => proxy.metric('lateen_workers_serving') === WORKERS && workers().length === WORKERS);

test('connections spread over the workers in both directions, and the supervisor has none', async () => {
  const inbound = await connections();
  expect([...new Set(owners(server, 15_006).values())].sort()).toEqual(workers().sort());
  const outbound = await connections(MANY, client, outside);
  expect([...new Set(owners(client, 15_001).values())].sort()).toEqual(workers().sort());
  const { workloadState } = JSON.parse(proxy.http(15_000, '/config_dump')) as {
    workloadState: Record<string, { connections: Record<string, unknown[]> }>;
  };
  expect(workloadState['uid-server']!.connections['inbound']).toHaveLength(MANY);
  expect(workloadState['uid-client']!.connections['outbound']).toHaveLength(MANY);
  await finish([...inbound, ...outbound]);
});

test('metrics answer for the whole node', async () => {
  const labels = { reporter: 'destination', destination_workload: 'server' };
  const opened = proxy.metric('istio_tcp_connections_opened_total', labels);
  const bytes = proxy.metric('istio_tcp_received_bytes_total', labels);
  const peers = await connections();
  expect(proxy.metric('istio_tcp_connections_opened_total', labels)).toBe(opened + MANY);
  expect(proxy.metric('istio_tcp_sockets_open', { reporter: 'destination' })).toBeGreaterThanOrEqual(MANY);
  await finish(peers);
  await until('the octets to be counted', () => proxy.metric('istio_tcp_received_bytes_total', labels) === bytes + MANY);
  // Pods are not counted once per worker.
  expect(proxy.metric('workload_manager_active_proxy_count')).toBe(2);
  expect(proxy.metric('istio_build')).toBe(1);
  expect(proxy.metric('process_cpu_seconds_total')).toBeGreaterThan(0);
});

test('a worker that is killed takes only its own connections with it and is replaced, and no counter goes backwards', async () => {
  const peers = await connections();
  const owned = owners(server, 15_006);
  const [victim] = workers();
  const isLost = (peer: Peer): boolean => owned.get(peer.socket!.localPort) === victim;
  const lost = peers.filter(isLost);
  const kept = peers.filter((peer) => !isLost(peer));
  const opened = proxy.metric('istio_tcp_connections_opened_total');
  const restarts = proxy.metric('lateen_worker_restarts_total');
  process.kill(victim!, 'SIGKILL');
  await Promise.all(lost.map((peer) => peer.ended.promise));
  // What reaches it in its last moment is lost with it; as soon as it is gone the others get everything.
  await until('its end', () => !workers().includes(victim!));
  const fresh = await connections();
  for (const peer of kept) await ask(peer);
  expect(proxy.http(15_021, '/healthz/ready')).toBe('ready\n');
  expect(proxy.metric('istio_tcp_connections_opened_total')).toBeGreaterThanOrEqual(opened + MANY);
  await allServe();
  expect(proxy.metric('lateen_worker_restarts_total')).toBe(restarts + 1);
  expect(workers()).not.toContain(victim!);
  await until('the line', () => proxy.log.includes('a worker ended and is replaced'));
  for (const peer of [...kept, ...fresh]) await ask(peer);
  const more = await connections();
  expect([...new Set(owners(server, 15_006).values())].sort()).toEqual(workers().sort());
  expect(proxy.metric('istio_tcp_connections_opened_total')).toBeGreaterThanOrEqual(opened + 2 * MANY);
  await finish([...kept, ...fresh, ...more]);
}, 90_000);

test('a policy closes what it denies in every worker, the replaced one included', async () => {
  const peers = await connections();
  lab.policy('no-plain-text', {
    action: Action.DENY,
    scope: Scope.NAMESPACE,
    rules: [{ clauses: [{ matches: [{ notPrincipals: [{ matchType: { case: 'presence', value: {} } }] }] }] }],
  });
  await lab.push();
  await Promise.all(peers.map((peer) => peer.ended.promise));
  await until('the lines', () => proxy.lines('error="connection closed due to policy change"').length === MANY);
  const [victim] = workers();
  process.kill(victim!, 'SIGKILL');
  await until('its end', () => !workers().includes(victim!));
  await allServe();
  const refused = Array.from({ length: MANY }, () => dial(outside, server.ip, 8080));
  await Promise.all(refused.map((peer) => peer.closed.promise));
  expect(refused.every((peer) => peer.received === 0)).toBe(true);
  await until('the lines', () => proxy.lines('explicitly denied by: default/no-plain-text').length === MANY);
  lab.policies = {};
  await lab.push();
  await finish(await until('the policy to be gone', () => connections()));
}, 30_000);

test('the log level is that of all workers, and of those that start later', async () => {
  const completed = () => proxy.lines('connection complete').length;
  const settled = async () => {
    await finish(await connections());
    // Lines of connections that have just ended are still on their way.
    await Bun.sleep(1_000);
  };
  await settled();
  expect(proxy.http(15_000, '/logging?level=info,access=off', 'POST')).toContain('access=off');
  const before = completed();
  await settled();
  const [victim] = workers();
  process.kill(victim!, 'SIGKILL');
  await until('its end', () => !workers().includes(victim!));
  await allServe();
  await settled();
  expect(completed()).toBe(before);
  expect(proxy.http(15_000, '/logging?reset', 'POST')).toContain('access=debug');
  await settled();
  await until('the lines', () => completed() === before + MANY);
}, 30_000);

test('a worker that does not answer holds no scrape up for long, and what it counted stays in it', async () => {
  await finish(await connections());
  const opened = proxy.metric('istio_tcp_connections_opened_total');
  const [stuck] = workers();
  process.kill(stuck!, 'SIGSTOP');
  try {
    expect(proxy.metric('istio_tcp_connections_opened_total')).toBe(opened);
    expect(JSON.parse(proxy.http(15_000, '/config_dump')).workloadState['uid-server'].state).toBe('Up');
  } finally {
    process.kill(stuck!, 'SIGCONT');
  }
  await finish(await connections());
  expect(proxy.metric('istio_tcp_connections_opened_total')).toBe(opened + MANY);
}, 30_000);

test('a pod is acknowledged when every worker serves it, and served by none while one cannot', async () => {
  const [poor] = workers();
  const [, limit] = /^Max open files\s+(\d+)/m.exec(fs.readFileSync(`/proc/${poor}/limits`, 'utf8'))!;
  // Room for the descriptor of the namespace, and not for all listeners.
  const open = fs.readdirSync(`/proc/${poor}/fd`).length;
  run('prlimit', '--pid', String(poor), `--nofile=${open + 2}:`);
  expect(await proxy.add(late, 'late')).toMatch(/default\/late: worker \d+: .*EMFILE/);
  expect([15_001, 15_006, 15_008].flatMap((port) => listeners(late, port))).toEqual([]);
  expect(proxy.http(15_021, '/healthz/ready')).toBe('not ready, pending: workload proxy manager\n');
  expect(proxy.metric('workload_manager_pending_proxy_count')).toBe(1);
  run('prlimit', '--pid', String(poor), `--nofile=${limit}:`);
  await proxy.ready();
  expect(workers()).toContain(poor!);
  for (const port of [15_001, 15_006, 15_008]) expect(listeners(late, port)).toEqual(workers().sort((a, b) => a - b));
}, 30_000);

test('a pod that leaves has left every worker when that is acknowledged', async () => {
  expect(await proxy.remove(late)).toBe('');
  expect([15_001, 15_006, 15_008].flatMap((port) => listeners(late, port))).toEqual([]);
});

test('a pod whose worker was replaced before it left is not served by the new one either', async () => {
  expect(await proxy.add(late, 'late')).toBe('');
  const [victim] = workers();
  process.kill(victim!, 'SIGKILL');
  await until('its end', () => !workers().includes(victim!));
  expect(await proxy.remove(late)).toBe('');
  await allServe();
  expect([15_001, 15_006, 15_008].flatMap((port) => listeners(late, port))).toEqual([]);
  expect(listeners(server, 15_008)).toEqual(workers().sort((a, b) => a - b));
}, 30_000);

test('on SIGTERM connections of all workers may finish, and the proxy exits with 0', async () => {
  const peers = await connections();
  const pids = workers();
  proxy.process.kill('SIGTERM');
  await until('the drain to begin in all', () => proxy.log.split('\tdraining\t').length === WORKERS + 1);
  await Bun.sleep(100);
  for (const peer of peers) await ask(peer);
  await finish(peers);
  expect(await proxy.process.exited).toBe(0);
  expect(pids.some(isRunning)).toBe(false);
  proxy.start();
  await proxy.ready();
  await allServe();
}, 30_000);

test('workers whose supervisor is gone end, so that nobody serves what nobody controls', async () => {
  const pids = workers();
  expect(pids).toHaveLength(WORKERS);
  const [peer] = await connections(1);
  await proxy.stop('SIGKILL');
  await peer!.ended.promise;
  await until('the workers to end', () => !pids.some(isRunning));
  proxy.start();
  await proxy.ready();
}, 30_000);

test('signals of a terminal to all of them end the proxy in order', async () => {
  await allServe();
  const peers = await connections();
  for (const pid of [proxy.process.pid, ...workers()]) process.kill(pid, 'SIGINT');
  for (const peer of peers) await ask(peer);
  await finish(peers);
  expect(await proxy.process.exited).toBe(0);
  proxy.start();
  await proxy.ready();
}, 30_000);

test('a renewed certificate is shown by every worker', async () => {
  await proxy.stop();
  proxy.start({ SECRET_TTL: '8s' });
  await proxy.ready();
  await allServe();
  const certificate = await issue(lab, 'spiffe://cluster.local/ns/default/sa/visitor');
  /** The serial number each worker shows. */
  const shown = async (): Promise<Map<number, string>> => {
    const peers = Array.from({ length: MANY }, () => {
      const peer = new Peer();
      const namespace = fs.openSync(`/run/netns/${outside.namespace}`, 'r');
      new Dial({ address: server.ip, port: 15_008, networkNamespace: namespace, timeout: 5000, tls: certificate.clientTls }, peer);
      fs.closeSync(namespace);
      return peer;
    });
    await Promise.all(peers.map((peer) => peer.connected.promise));
    const owned = owners(server, 15_008);
    const serials = new Map(
      peers.map(({ socket }) => [owned.get(socket!.localPort)!, (socket!.getPeerCertificate() as { serialNumber: string }).serialNumber]),
    );
    for (const { socket } of peers) socket!.terminate();
    return serials;
  };
  const first = await until('all workers to answer', async () => {
    const serials = await shown();
    return serials.size === WORKERS && serials;
  });
  await until('all to show another one', async () => {
    const serials = await shown();
    return (
      serials.size === WORKERS && new Set(serials.values()).size === 1 && [...serials].every(([pid, serial]) => first.get(pid) !== serial)
    );
  });
  const { certificates } = JSON.parse(proxy.http(15_000, '/config_dump')) as { certificates: { identity: string }[] };
  expect(certificates.map(({ identity }) => identity).filter((identity) => identity.endsWith('/sa/server'))).toHaveLength(1);
}, 40_000);

test('a worker cannot be started by hand', () => {
  const program = path.resolve(import.meta.dir, '../../bin/lateen');
  const { exitCode, stderr } = Bun.spawnSync([program, 'proxy', 'ztunnel'], { env: { ...process.env, LATEEN_WORKER: '1' } });
  expect(exitCode).toBe(1);
  expect(stderr.toString()).toContain('LATEEN_WORKER');
});

test('a client that is revoked is cut off and refused by every worker', async () => {
  const file = path.join(lab.directory, 'ca-crl.pem');
  fs.writeFileSync(file, '');
  await proxy.stop();
  proxy.start({ CRL_PATH: file });
  await proxy.ready();
  await allServe();
  const certificate = await issue(lab, 'spiffe://cluster.local/ns/default/sa/visitor');
  const open = () => openTunnel(outside, server.ip, certificate, 'spiffe://cluster.local/ns/default/sa/server');
  const rejections = () => proxy.metric('istio_crl_policy_rejections_total', { reporter: 'destination' });
  const tunnels = await Promise.all(Array.from({ length: MANY }, open));
  expect([...new Set(owners(server, 15_008).values())].sort()).toEqual(workers().sort());
  fs.writeFileSync(`${file}.new`, await revocationList(lab, [ISSUED_SERIAL]));
  fs.renameSync(`${file}.new`, file);
  await Promise.all(tunnels.map(({ closed }) => closed));
  expect(rejections()).toBe(MANY);
  // With TLS 1.3 a client may take itself for connected before its certificate has been looked at.
  const late = await Promise.allSettled(Array.from({ length: MANY }, open));
  await Promise.all(late.map((tunnel) => (tunnel.status === 'fulfilled' ? tunnel.value.closed : undefined)));
  await until('all to be counted', () => rejections() === 2 * MANY);
  // A worker that starts later has the list as well.
  const [victim] = workers();
  process.kill(victim!, 'SIGKILL');
  await until('its end', () => !workers().includes(victim!));
  await allServe();
  const last = await Promise.allSettled(Array.from({ length: MANY }, open));
  await Promise.all(last.map((tunnel) => (tunnel.status === 'fulfilled' ? tunnel.value.closed : undefined)));
  await until('all to be counted', () => rejections() === 3 * MANY);
}, 60_000);
