/** What the machine has no more of: descriptors, ports, a network namespace, the authority. What is open goes on, what is new is refused with a reason, and it ends when the want does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import { dial, type Peer } from './apps.ts';
import { Lab, type TestProxy, until } from './lab.ts';
import { type Node, type Pod, run } from './network.ts';
import { startTwoPods, stopTwoPods, type TwoPods } from './two-pods.ts';

const lab = new Lab('zt-fr', '10.93');
let one: TestProxy;
let two: TestProxy;
let node1: Node;
let client: Pod;
let server: Pod;
let mesh: TwoPods;
/** Leaves room for a few dozen connections. */
const FEW_DESCRIPTORS = 640;

beforeAll(async () => {
  mesh = await startTwoPods(lab);
  ({ node1, client, server, one, two } = mesh);
}, 60_000);

afterAll(() => stopTwoPods(lab, mesh));

async function served(port = 8080, ip = server.ip, from = client): Promise<Peer> {
  const peer = dial(from, ip, port);
  await peer.connected.promise;
  peer.send('x');
  await peer.bytes(1);
  return peer;
}

async function isAnswered(peer: Peer): Promise<void> {
  const before = peer.received;
  peer.send('y');
  await peer.bytes(before + 1);
}

const drop = (peers: readonly Peer[]): void => {
  for (const peer of peers) peer.socket?.terminate();
};

/** Proxy `one` is started anew by way of a shell command that ends up as the program itself; at the end, whatever happened, as it was. */
async function runBy(command: (program: string) => string): Promise<AsyncDisposable> {
  const { program } = one;
  const startAs = async (next: string): Promise<void> => {
    await one.stop();
    one.program = next;
    one.start();
    await one.ready();
  };
  const script = `${lab.directory}/run-by.sh`;
  fs.writeFileSync(script, `#!/bin/sh\n${command(program)} "$@"\n`, { mode: 0o755 });
  await startAs(script);
  return { [Symbol.asyncDispose]: () => startAs(program) };
}

test('with few descriptors, connections beyond the limit are refused as too many, and there is room again when some have ended', async () => {
  await using _ = await runBy((program) => `ulimit -n ${FEW_DESCRIPTORS} && exec ${program}`);
  const kept = await until('the pod to be served', () => served());
  const crowd = Array.from({ length: 300 }, () => dial(client, server.ip, 8080));
  await until('most of them to be refused', () => crowd.filter((peer) => peer.isEnded).length > 150);
  await isAnswered(kept);
  expect(one.metric('lateen_refused_total', { direction: 'outbound', reason: 'too-many-connections' })).toBeGreaterThan(100);
  await until('the reason in the log', () => one.lines('error="too many open connections: ').length > 0);
  expect(one.metric('process_open_fds')).toBeLessThan(FEW_DESCRIPTORS);
  drop(crowd);
  drop([await until('room', () => served())]);
  await isAnswered(kept);
  drop([kept]);
  // Beside another pod a greedy one leaves room.
  const neighbour = lab.network.addPod(node1, 'neighbour', 34);
  lab.workload(neighbour, 'neighbour');
  await lab.push();
  expect(await one.add(neighbour, 'neighbour')).toBe('');
  lab.network.capture(neighbour);
  const greedy = Array.from({ length: 300 }, () => dial(client, server.ip, 8080));
  await until('most of them to be refused', () => greedy.filter((peer) => peer.isEnded).length > 200);
  await until('the reason', () => one.lines('error="too many open connections: ', 'sockets of this pod while').length > 0);
  await isAnswered(await served(8080, server.ip, neighbour));
  drop(greedy);
  expect(await one.remove(neighbour)).toBe('');
}, 60_000);

test('a log that nobody reads holds up nobody, and is not lost', async () => {
  const fifo = `${lab.directory}/unread.fifo`;
  run('mkfifo', fifo);
  const reader = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  using _closing = { [Symbol.dispose]: () => fs.closeSync(reader) };
  await using _ = await runBy((program) => `exec >${fifo} && exec ${program}`);
  const kept = await until('the pod to be served', () => served());
  // Some 400 octets of log each, and a pipe takes 64 KiB.
  const count = 1_000;
  for (let i = 0; i < count; i += 50) {
    const peers = await Promise.all(Array.from({ length: 50 }, () => served()));
    await isAnswered(kept);
    drop(peers);
  }
  await until('all of them to be over', () => one.metric('istio_tcp_connections_closed_total', { reporter: 'source' }) >= count);
  const chunk = Buffer.alloc(65_536);
  let text = '';
  const lines = (): number => text.split('connection complete').length - 1;
  await until('all of their lines', () => {
    try {
      text += chunk.toString('latin1', 0, fs.readSync(reader, chunk));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return lines() >= count;
  });
  expect(text).not.toContain('lines lost');
  drop([kept]);
}, 60_000);

test('without a free port the connections of that pod fail with the reason, those that are open go on, and new ones follow when there are ports', async () => {
  const kept = await until('the pod to be served', () => served());
  const range = (text: string): string =>
    run('ip', 'netns', 'exec', server.namespace, 'sysctl', '-qw', `net.ipv4.ip_local_port_range=${text}`);
  range('50000 50003');
  // The node proxy takes its client's address and a port of this range for each connection to the application.
  const peers = Array.from({ length: 20 }, () => dial(client, server.ip, 8080));
  await until('some to be refused', () => peers.filter((peer) => peer.isEnded).length >= 10);
  await until('the reason', () => two.lines('connection complete', 'cannot assign requested address').length >= 10);
  await isAnswered(kept);
  drop(peers);
  range('32768 60999');
  drop([await until('ports', () => served()), kept]);
}, 60_000);

test('a pod whose network vanishes takes only its own connections with it, and leaves nothing when it is removed', async () => {
  const doomed = lab.network.addPod(node1, 'doomed', 33);
  lab.workload(doomed, 'doomed');
  await lab.push();
  expect(await one.add(doomed, 'doomed')).toBe('');
  lab.network.capture(doomed);
  const kept = await served();
  const mine = dial(doomed, server.ip, 8080);
  await mine.connected.promise;
  mine.send('x');
  await mine.bytes(1);
  const descriptors = one.metric('process_open_fds');
  run('ip', 'netns', 'del', doomed.namespace);
  await isAnswered(kept);
  expect(await one.remove(doomed)).toBe('');
  await mine.ended.promise;
  await until('the reason', () => one.lines('connection complete', `src.addr=${doomed.ip}`, 'the workload left the mesh').length === 1);
  await until('its descriptors to be closed', () => one.metric('process_open_fds') < descriptors - 5);
  await isAnswered(kept);
  drop([kept]);
}, 40_000);

test('started while the authority is away, a proxy is not ready, says so, and serves once it is there', async () => {
  await one.stop();
  await lab.restartControlPlane(async () => {
    one.start();
    await until('the complaint', () => /xds: (cannot connect|stream ended)/.test(one.log));
    expect(one.http(15_021, '/healthz/ready')).toContain('not ready, pending:');
    await Bun.sleep(1_000);
  });
  await one.ready();
  drop([await until('the pod to be served', () => served(), 30_000)]);
}, 60_000);

test('workloads that contradict each other are told apart or refused, and traffic goes on', async () => {
  const kept = await served();
  // The same address twice: the later one has it; its owner comes back when the other goes.
  const twin: Pod = { ...server, name: 'twin' };
  lab.workload(twin, 'twin');
  await lab.push();
  await isAnswered(kept);
  delete lab.addresses['Kubernetes//Pod/default/twin'];
  // The same uid with other content.
  lab.workload(server, 'server', { canonicalName: 'renamed' });
  await lab.push();
  await until('the change to arrive', () => one.http(15_000, '/config_dump').includes('"canonicalName": "renamed"'));
  drop([await until('the address to be its again', () => served())]);
  // Waypoints that name each other, and one that names itself.
  const at = (hostname: string) => ({
    destination: { case: 'hostname' as const, value: { namespace: 'default', hostname } },
    hboneMtlsPort: 15_008,
  });
  lab.service('ring-a', {
    addresses: [{ network: '', address: Uint8Array.of(10, 96, 0, 91) }],
    ports: [{ servicePort: 80, targetPort: 80 }],
    waypoint: at('ring-b.default.svc.cluster.local'),
  });
  lab.service('ring-b', {
    addresses: [{ network: '', address: Uint8Array.of(10, 96, 0, 92) }],
    ports: [{ servicePort: 80, targetPort: 80 }],
    waypoint: at('ring-a.default.svc.cluster.local'),
  });
  lab.service('self', {
    addresses: [{ network: '', address: Uint8Array.of(10, 96, 0, 93) }],
    ports: [{ servicePort: 80, targetPort: 80 }],
    waypoint: at('self.default.svc.cluster.local'),
  });
  await lab.push();
  for (const ip of ['10.96.0.91', '10.96.0.92', '10.96.0.93']) {
    const peer = dial(client, ip, 80);
    await until(`the end of the connection to ${ip}`, () => peer.isEnded);
    expect(peer.received).toBe(0);
    await until('the reason', () => one.lines(ip, 'error=').length > 0);
  }
  await isAnswered(kept);
  drop([kept]);
}, 60_000);
