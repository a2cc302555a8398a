/** The node proxy's ways to waypoints: by name and by address, before services and workloads, by weight, and waypoints that are captured themselves. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { ApplicationTunnel_Protocol } from '../../src/protocol/messages/index.ts';
import { dial, echo, type Peer, type ServerHandle, serve } from './apps.ts';
import { connectTo, issue, openTunnel } from './foreign-client.ts';
import { ipBytes, Lab, type ServiceInit, type TestProxy, until, type WorkloadInit } from './lab.ts';
import { MeshGateway } from './mesh-gateway.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-wp', '10.89');
const hostOf = (service: string): string => `${service}.default.svc.cluster.local`;
const identityOf = (account: string): string => `spiffe://cluster.local/ns/default/sa/${account}`;
const VIPS = { echo: '240.1.0.1', first: '240.1.0.2', second: '240.1.0.3', other: '240.1.0.4' } as const;
let client: Pod;
let server: Pod;
let sandwich: Pod;
let one: TestProxy;
let two: TestProxy;
let first: MeshGateway;
let second: MeshGateway;
let answers: ServerHandle;

type Gateway = NonNullable<ServiceInit['waypoint']>;
const byName = (service: string): Gateway => ({
  destination: { case: 'hostname', value: { namespace: 'default', hostname: hostOf(service) } },
  hboneMtlsPort: 15_008,
});
const byAddress = (ip: string): Gateway => ({
  destination: { case: 'address', value: { network: '', address: ipBytes(ip) } },
  hboneMtlsPort: 15_008,
});
const member = (...services: string[]) => Object.fromEntries(services.map((name) => [`default/${hostOf(name)}`, { ports: [] }]));
const service = (name: keyof typeof VIPS, port: number, targetPort: number, extra: ServiceInit = {}): void =>
  lab.service(name, {
    addresses: [{ network: '', address: ipBytes(VIPS[name]) }],
    ports: [{ servicePort: port, targetPort }],
    ...extra,
  } as ServiceInit);
const workload = (pod: Pod, account: string, extra: object = {}): void => lab.workload(pod, account, extra as WorkloadInit);

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  server = lab.network.addPod(node2, 'server', 10);
  sandwich = lab.network.addPod(node2, 'sandwich', 11);
  const pods = [lab.network.addPod(node2, 'first', 20), lab.network.addPod(node2, 'second', 21)] as const;
  await lab.start();
  workload(client, 'client');
  workload(server, 'server', { services: member('echo', 'other') });
  workload(sandwich, 'sandwich');
  service('echo', 80, 8080);
  service('other', 80, 8080);
  for (const pod of pods) {
    workload(pod, pod.name, { services: member(pod.name) });
    service(pod.name as 'first' | 'second', 15_008, 15_008);
  }
  await lab.push();
  one = lab.addProxy(node1);
  two = lab.addProxy(node2);
  one.start();
  two.start();
  expect(await one.add(client, 'client')).toBe('');
  for (const pod of [server, sandwich]) expect(await two.add(pod, pod.name)).toBe('');
  for (const pod of [client, server, sandwich]) lab.network.capture(pod);
  first = new MeshGateway(lab, pods[0], 'first');
  second = new MeshGateway(lab, pods[1], 'second');
  await Promise.all([first.start(), second.start(), one.ready(), two.ready()]);
  answers = serve(server, 8080, (peer) => {
    peer.handle = (chunk) => {
      if (chunk.includes('\r\n\r\n')) peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    };
  });
}, 60_000);
afterAll(async () => {
  await Promise.all([first?.kill(), second?.kill()]);
  lab.stop();
});

/** A request; empty when the connection ends without an answer. */
async function get(ip: string, port: number, path: string): Promise<string> {
  const peer = dial(client, ip, port);
  await peer.connected.promise;
  peer.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  // A reset stream is the end of what comes, and no more than that: closing is left to the application.
  await Promise.race([peer.ended.promise, until('the answer', () => peer.text.includes('ok'))]);
  peer.socket?.terminate();
  return peer.text;
}
const through = (gateway: MeshGateway, path: string): Promise<unknown> =>
  until(`${path} at ${gateway.pod.name}`, () => gateway.log.includes(`"GET ${path} HTTP/1.1" 200`));
const outboundLine = (path: string, ...pieces: string[]): Promise<string> =>
  until(`the line of ${path}`, () => one.lines('connection complete', 'direction="outbound"', ...pieces).at(-1));

for (const [how, gateway] of [
  ['by its name', () => byName('first')],
  ['by the address of its service', () => byAddress(VIPS.first)],
  ['by the address of its pod', () => byAddress(first.pod.ip)],
] as const)
  test(`a service’s waypoint is reached ${how}, with the service’s own address as the target`, async () => {
    const path = `/${how.replaceAll(' ', '-')}`;
    service('echo', 80, 8080, { waypoint: gateway() });
    await lab.push();
    await until('the waypoint', async () => {
      await get(VIPS.echo, 80, path);
      return first.log.includes(`"GET ${path} HTTP/1.1" 200`);
    });
    const line = await outboundLine(path, `dst.hbone_addr=${VIPS.echo}:80`);
    expect(line).toContain(`dst.addr=${first.pod.ip}:15008`);
    expect(line).toContain(`dst.workload="first" dst.namespace="default" dst.identity="${identityOf('first')}"`);
    expect(answers.sources.at(-1)).toBe(first.pod.ip);
    await until('the server’s line', () => two.lines('direction="inbound"', `src.identity="${identityOf('first')}"`).length > 0);
  });

test('a workload’s waypoint stands before its address, by name and by address, and not before services it belongs to', async () => {
  service('echo', 80, 8080);
  for (const [path, gateway] of [
    ['/workload-name', byName('second')],
    ['/workload-address', byAddress(second.pod.ip)],
  ] as const) {
    workload(server, 'server', { services: member('echo', 'other'), waypoint: gateway });
    await lab.push();
    await until('the waypoint', async () => {
      await get(server.ip, 8080, path);
      return second.log.includes(`"GET ${path} HTTP/1.1" 200`);
    });
    await outboundLine(path, `dst.addr=${second.pod.ip}:15008 dst.hbone_addr=${server.ip}:8080`);
  }
  expect(await get(VIPS.other, 80, '/around')).toContain('ok');
  expect(second.log).not.toContain('/around');
  expect(answers.sources.at(-1)).toBe(client.ip);
  workload(server, 'server', { services: member('echo', 'other') });
  await lab.push();
});

test('what is behind a waypoint that cannot be found is never reached around it', async () => {
  service('echo', 80, 8080, { waypoint: byName('missing') });
  await lab.push();
  await until('the refusal', async () => (await get(VIPS.echo, 80, '/missing')) === '');
  await until('the line', () => one.lines('connection failed', 'unknown waypoint').length > 0);
});

test('connections are shared out among weighted waypoints by their weights', async () => {
  const weights = [
    { destination: byName('first'), weight: 30 },
    { destination: byName('second'), weight: 70 },
  ];
  service('echo', 80, 8080, { waypoint: byName('first'), weightedWaypoints: weights } as ServiceInit);
  await lab.push();
  await until('the waypoints', async () => {
    await get(VIPS.echo, 80, '/warm');
    return second.log.includes('/warm');
  });
  const CONNECTIONS = 300;
  const opened = (name: string): number =>
    one.metric('istio_tcp_connections_opened_total', { reporter: 'source', destination_workload: name });
  const before = [opened('first'), opened('second')] as const;
  for (let i = 0; i < CONNECTIONS; i += 10) await Promise.all(Array.from({ length: 10 }, () => get(VIPS.echo, 80, '/weighted')));
  const counts = [opened('first') - before[0], opened('second') - before[1]] as const;
  expect(counts[0] + counts[1]).toBe(CONNECTIONS);
  // Five standard deviations: one failure in two million runs.
  const deviation = Math.sqrt(CONNECTIONS * 0.3 * 0.7);
  expect(Math.abs(counts[0] - 0.3 * CONNECTIONS)).toBeLessThan(5 * deviation);
}, 60_000);

test('with all weights 0 the plain waypoint is used', async () => {
  service('echo', 80, 8080, {
    waypoint: byName('first'),
    weightedWaypoints: [{ destination: byName('second'), weight: 0 }],
  } as ServiceInit);
  await lab.push();
  await until('the change', async () => {
    const seen = second.log.length;
    await get(VIPS.echo, 80, '/unweighted');
    await Bun.sleep(50);
    return second.log.length === seen;
  });
  await through(first, '/unweighted');
});

const tunnel = (protocol: ApplicationTunnel_Protocol): void => {
  workload(sandwich, 'sandwich', { applicationTunnel: { protocol, port: 15_088 } });
  service('echo', 80, 8080, { waypoint: byAddress(sandwich.ip) });
};

interface ProxyHead {
  readonly source: string;
  readonly destination: string;
  readonly identity: string;
  readonly rest: string;
}
/** The PROXY header (version 2, IPv4) in front of what came. */
function readProxyHead(octets: Buffer): ProxyHead {
  expect(octets.subarray(0, 14).toString('hex')).toBe('0d0a0d0a000d0a515549540a2111');
  const end = 16 + octets.readUInt16BE(14);
  const address = (at: number, port: number): string => `${[...octets.subarray(at, at + 4)].join('.')}:${octets.readUInt16BE(port)}`;
  expect(octets[28]).toBe(0xd0);
  return {
    source: address(16, 24),
    destination: address(20, 26),
    identity: octets.subarray(31, 31 + octets.readUInt16BE(29)).toString(),
    rest: octets.subarray(end).toString(),
  };
}

test('a captured waypoint gets a PROXY header with the client, what it addressed and who it is, on loopback', async () => {
  tunnel(ApplicationTunnel_Protocol.PROXY);
  await lab.push();
  const taken: Peer[] = [];
  const listener = serve(sandwich, 15_088, (peer) => void taken.push(peer));
  const attempt = async (): Promise<Peer> => {
    const peer = dial(client, VIPS.echo, 80);
    await peer.connected.promise;
    peer.send('hello');
    return peer;
  };
  let peer = await attempt();
  await until('the waypoint', async () => {
    if (taken.length > 0) return true;
    peer.socket?.terminate();
    peer = await attempt();
    await Bun.sleep(200);
    return taken.length > 0;
  });
  const got = taken.at(-1)!;
  await until('the first octets', () => got.text.includes('hello'));
  const head = readProxyHead(Buffer.from(got.text, 'latin1'));
  expect(head.source).toStartWith(`${client.ip}:`);
  expect(head).toMatchObject({ destination: `${VIPS.echo}:80`, identity: identityOf('client'), rest: 'hello' });
  expect(listener.sources.at(-1)).toBe('127.0.0.1');
  got.send('answer');
  expect(await peer.bytes(6)).toBe('answer');
  peer.socket!.terminate();
  // A name as the target: the header has an address of that service.
  const certificate = await issue(lab, identityOf('client'));
  const foreign = await openTunnel(client.node, sandwich.ip, certificate, identityOf('sandwich'));
  const count = taken.length;
  const answer = foreign.request(connectTo(`${hostOf('other')}:80`));
  expect(await answer.status.promise).toBe(200);
  answer.send('named', false);
  await until('the named one', () => taken[count]?.text.includes('named'));
  expect(readProxyHead(Buffer.from(taken[count]!.text, 'latin1'))).toMatchObject({ destination: `${VIPS.other}:80`, rest: 'named' });
  foreign.tunnel.fail('over');
  listener.close();
});

test('a captured waypoint without PROXY gets the octets alone', async () => {
  tunnel(ApplicationTunnel_Protocol.NONE);
  await lab.push();
  const listener = serve(sandwich, 15_088, echo());
  await until('the octets', async () => {
    const peer = dial(client, VIPS.echo, 80);
    await peer.connected.promise;
    peer.send('plain');
    const text = await peer.bytes(5).catch(() => '');
    peer.socket?.terminate();
    return text === 'plain';
  });
  listener.close();
});

test('what a captured waypoint sends to what it stands before does not come back to it', async () => {
  workload(server, 'server', { services: member('echo', 'other'), waypoint: byAddress(sandwich.ip) });
  await lab.push();
  const listener = serve(sandwich, 15_088, (peer) => peer.socket!.terminate());
  await until('the way to the server', async () => {
    const peer = dial(sandwich, server.ip, 8080);
    await peer.connected.promise;
    peer.send('GET /egress HTTP/1.1\r\nHost: x\r\n\r\n');
    await Promise.race([peer.closed.promise, until('the answer', () => peer.text.includes('ok'), 1000)]).catch(() => {});
    peer.socket?.terminate();
    return peer.text.includes('ok');
  });
  // From anybody else the same address leads to the waypoint.
  const count = listener.peers.length;
  expect(await get(server.ip, 8080, '/from-client')).toBe('');
  expect(listener.peers.length).toBeGreaterThan(count);
  await until(
    'the line',
    () => two.lines('direction="outbound"', `src.identity="${identityOf('sandwich')}"`, `dst.addr=${server.ip}:15008`).length > 0,
  );
  listener.close();
});
