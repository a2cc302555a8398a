/** Which endpoint a connection gets, seen by the applications: modes and scopes, capacity, health, ports, headless services and host names (ambient contract 2.4b). */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import {
  LoadBalancing_HealthPolicy as Health,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
  TunnelProtocol,
  WorkloadStatus,
} from '../../src/protocol/messages/index.ts';
import { dial, serve } from './apps.ts';
import { Nameserver, reply } from './dns-peers.ts';
import { ipBytes, Lab, type TestProxy, until } from './lab.ts';
import type { Pod } from './network.ts';

const lab = new Lab('zt-b', '10.82');
const RESOLVER = '10.82.0.254';
const NAMES = ['here', 'zone', 'region', 'far'] as const;
type Name = (typeof NAMES)[number];
let proxy: TestProxy;
let client: Pod;
let outside: Pod;
let nameserver: Nameserver;
/** What the proxy's own process resolves names with. */
let resolverFolder: string;
const pods = new Map<Name, Pod>();

interface Ports {
  readonly ports: { servicePort: number; targetPort: number }[];
}
interface ServiceOver {
  addresses?: { network: string; address: Uint8Array }[];
  ports?: Ports['ports'];
  loadBalancing?: { mode?: Mode; routingPreference?: Scope[]; healthPolicy?: Health };
}
interface WorkloadOver {
  status?: WorkloadStatus;
  capacity?: number;
  tunnelProtocol?: TunnelProtocol;
  services?: Record<string, Ports>;
}

const PLACES: Readonly<Record<Name, { region: string; zone: string }>> = {
  here: { region: 'r1', zone: 'a' },
  zone: { region: 'r1', zone: 'a' },
  region: { region: 'r1', zone: 'b' },
  far: { region: 'r2', zone: 'c' },
};
const DEFAULTS: ServiceOver = { ports: [{ servicePort: 80, targetPort: 8080 }] };
const key = (service: string): string => `default/${service}.default.svc.cluster.local`;
let vips = 0;

beforeAll(async () => {
  const node1 = lab.network.addNode(1);
  const node2 = lab.network.addNode(2);
  client = lab.network.addPod(node1, 'client', 10);
  pods.set('here', lab.network.addPod(node1, 'here', 11));
  pods.set('zone', lab.network.addPod(node2, 'zone', 11));
  pods.set('region', lab.network.addPod(node2, 'region', 12));
  pods.set('far', lab.network.addPod(node2, 'far', 13));
  outside = lab.network.addPod(node2, 'outside', 20);
  resolverFolder = `/etc/netns/${node1.namespace}`;
  fs.mkdirSync(resolverFolder, { recursive: true });
  fs.writeFileSync(`${resolverFolder}/resolv.conf`, `nameserver ${RESOLVER}\n`);
  await lab.start();
  const fabric = { name: 'fabric', node: node1, namespace: lab.network.fabric, ip: RESOLVER };
  nameserver = new Nameserver(fabric, [RESOLVER]);
  lab.workload(client, 'client', { locality: { region: 'r1', zone: 'a' } });
  await lab.push();
  proxy = lab.addProxy(node1);
  const other = lab.addProxy(node2);
  proxy.start();
  other.start();
  expect(await proxy.add(client, 'client')).toBe('');
  for (const [name, pod] of pods) expect(await (pod.node === node1 ? proxy : other).add(pod, name)).toBe('');
  for (const pod of [client, ...pods.values()]) lab.network.capture(pod);
  await proxy.ready();
  await other.ready();
  for (const pod of [...pods.values(), outside])
    for (const port of [8080, 9090]) serve(pod, port, (peer) => peer.send(`${pod.name.padEnd(8)}${port}`));
}, 60_000);

afterAll(() => {
  fs.rmSync(resolverFolder, { recursive: true, force: true });
  lab.stop();
});

beforeEach(() => {
  for (const name of Object.keys(lab.addresses)) if (!name.endsWith('/client')) delete lab.addresses[name];
});

/** A service of all four pods, some of them otherwise than healthy and plain; its VIP. */
async function service(init: ServiceOver, over: Partial<Record<Name, WorkloadOver>> = {}): Promise<string> {
  const vip = `10.83.0.${++vips}`;
  const name = `svc${vips}`;
  lab.service(name, { ...DEFAULTS, addresses: [{ network: '', address: ipBytes(vip) }], ...init });
  for (const [podName, pod] of pods)
    lab.workload(pod, podName, { locality: PLACES[podName], services: { [key(name)]: { ports: [] } }, ...over[podName] });
  await lab.push();
  await until('the service to be known', () => proxy.http(15_000, '/config_dump').includes(`${name}.default`));
  return vip;
}

/** Who answers, with the port, or '' for nobody. */
async function ask(ip: string, port = 80): Promise<string> {
  const peer = dial(client, ip, port);
  // The reset of a refusal may overtake the connection.
  const refused = peer.closed.promise.then(() => '');
  const text = await Promise.race([peer.bytes(12).catch(() => ''), refused]);
  peer.socket?.terminate();
  return text.replace(/ +/, ':');
}
const askMany = async (ip: string, times = 60): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const who = (await ask(ip)).split(':')[0]!;
    counts[who] = (counts[who] ?? 0) + 1;
  }
  return counts;
};
const whoOf = async (ip: string): Promise<string[]> => Object.keys(await askMany(ip)).sort();
const balanced = (mode: Mode, ...routingPreference: Scope[]): ServiceOver => ({ loadBalancing: { mode, routingPreference } });
const without = (...names: Name[]): Partial<Record<Name, WorkloadOver>> =>
  Object.fromEntries(names.map((name) => [name, { status: WorkloadStatus.UNHEALTHY }]));
const PREFER_CLOSE = [Scope.NETWORK, Scope.REGION, Scope.ZONE];
const PREFER_NODE = [...PREFER_CLOSE, Scope.SUBZONE, Scope.NODE];

describe('a service', () => {
  test('without a preference reaches every endpoint, of its node and others, by tunnel and plainly', async () => {
    const vip = await service({}, { far: { tunnelProtocol: TunnelProtocol.NONE } });
    expect(await whoOf(vip)).toEqual([...NAMES].sort());
    expect(
      proxy.metric('istio_tcp_connections_opened_total', { destination_workload: 'far', connection_security_policy: 'unknown' }),
    ).not.toBe(0);
  });

  test.each<[string, ServiceOver, Name[], Name[]]>([
    ['that prefers its zone keeps to it', balanced(Mode.FAILOVER, ...PREFER_CLOSE), [], ['here', 'zone']],
    ['that prefers its zone falls back to the region', balanced(Mode.FAILOVER, ...PREFER_CLOSE), ['here', 'zone'], ['region']],
    ['that prefers its zone falls back to anywhere', balanced(Mode.FAILOVER, ...PREFER_CLOSE), ['here', 'zone', 'region'], ['far']],
    ['that prefers its node keeps to it', balanced(Mode.FAILOVER, ...PREFER_NODE), [], ['here']],
    ['that prefers its node falls back to the zone', balanced(Mode.FAILOVER, ...PREFER_NODE), ['here'], ['zone']],
    ['that keeps to its node does', balanced(Mode.STRICT, Scope.NODE), [], ['here']],
    ['that keeps to its region does', balanced(Mode.STRICT, Scope.REGION), [], ['here', 'region', 'zone']],
    ['that keeps to its cluster has all of it', balanced(Mode.STRICT, Scope.CLUSTER), ['far'], ['here', 'region', 'zone']],
  ])('%s', async (_title, init, sick, expected) => {
    expect(await whoOf(await service(init, without(...sick)))).toEqual(expected);
  });

  test('that keeps to its node refuses rather than leave it', async () => {
    const vip = await service(balanced(Mode.STRICT, Scope.NODE), without('here'));
    expect(await ask(vip)).toBe('');
    await until('the line', () => proxy.lines('connection failed', `error="no healthy upstream: ${vip}:80"`).length > 0);
  });

  test('shares its connections by the capacity of its endpoints', async () => {
    const vip = await service({}, { here: { capacity: 3 }, zone: { capacity: 1 }, region: { capacity: 0 }, far: { capacity: 0 } });
    const counts = await askMany(vip, 200);
    expect(Object.keys(counts).sort()).toEqual(['here', 'zone']);
    // 150 of 200 with a standard deviation of 6; five of them.
    expect(Math.abs(counts['here']! - 150)).toBeLessThan(31);
  });

  test('leaves unhealthy endpoints out, unless it takes all', async () => {
    expect(await whoOf(await service({}, without('here', 'far')))).toEqual(['region', 'zone']);
    const all = { loadBalancing: { healthPolicy: Health.ALLOW_ALL } };
    expect(await whoOf(await service(all, without('here', 'far')))).toEqual([...NAMES].sort());
  });

  test('with a named port takes each endpoint at its own, and none that has no such port', async () => {
    const named: ServiceOver = { ports: [{ servicePort: 80, targetPort: 0 }] };
    const vip = await service(named);
    const own = (targetPort?: number): WorkloadOver => ({
      services: { [key(`svc${vips}`)]: { ports: targetPort === undefined ? [] : [{ servicePort: 80, targetPort }] } },
    });
    for (const [name, over] of [
      ['here', own(8080)],
      ['zone', own(9090)],
      ['region', own()],
      ['far', own()],
    ] as const)
      lab.workload(pods.get(name)!, name, over);
    await lab.push();
    const seen = new Set<string>();
    await until('both endpoints', async () => {
      seen.add(await ask(vip));
      seen.delete('');
      return seen.size >= 2;
    });
    expect([...seen].sort()).toEqual(['here:8080', 'zone:9090']);
  });

  test('in PASSTHROUGH is left where it is, whatever its endpoints', async () => {
    lab.service('pass', {
      ...DEFAULTS,
      addresses: [{ network: '', address: ipBytes(outside.ip) }],
      loadBalancing: { mode: Mode.PASSTHROUGH, healthPolicy: Health.ALLOW_ALL },
    });
    lab.workload(pods.get('here')!, 'here', { services: { [key('pass')]: { ports: [] } } });
    await lab.push();
    await until('the service to be known', () => proxy.http(15_000, '/config_dump').includes('pass.default'));
    expect([await ask(outside.ip, 8080), await ask(outside.ip, 9090)]).toEqual(['outside:8080', 'outside:9090']);
  });

  test('that is headless has its pods at their addresses, by tunnel', async () => {
    await service({ addresses: [] });
    const labels = { destination_workload: 'zone', connection_security_policy: 'mutual_tls' };
    const before = proxy.metric('istio_tcp_connections_opened_total', labels);
    expect(await ask(pods.get('zone')!.ip, 9090)).toBe('zone:9090');
    expect(proxy.metric('istio_tcp_connections_opened_total', labels)).toBe(before + 1);
  });
});

describe('an endpoint that is a host name', () => {
  const HOST = 'db.example.com';
  const counter = () => proxy.metric('istio_on_demand_dns_total', { hostname: HOST, source_workload: 'client' });
  const asked = () => nameserver.take().length;

  /** Answers A with these addresses; AAAA there is none. */
  const answer = (ttl: number, ...addresses: string[]): void => {
    nameserver.script = ({ bytes }) => {
      const isA = bytes[bytes.indexOf(0, 12) + 2] === 1;
      return [reply(bytes, isA ? addresses.map((data) => ({ type: 'A' as const, name: HOST, ttl, data })) : [])];
    };
  };

  async function external(): Promise<string> {
    const vip = await service({});
    for (const name of NAMES) delete lab.addresses[`Kubernetes//Pod/default/${name}`];
    lab.workload({ ...outside, name: `ext${vips}` }, 'external', {
      addresses: [],
      hostname: HOST,
      tunnelProtocol: TunnelProtocol.NONE,
      services: { [key(`svc${vips}`)]: { ports: [] } },
    });
    await lab.push();
    await until('the workload to be known', () => proxy.http(15_000, '/config_dump').includes(`ext${vips}`));
    asked();
    return vip;
  }

  test('is asked for as A and AAAA once, kept for as long as the answer says, and counted each time', async () => {
    answer(300, outside.ip);
    const before = counter();
    const vip = await external();
    expect(await ask(vip)).toBe('outside:8080');
    const queries = nameserver.take();
    expect(queries.length).toBeGreaterThanOrEqual(2);
    expect(await ask(vip)).toBe('outside:8080');
    expect(nameserver.take()).toEqual([]);
    expect(counter()).toBe(before + 2);
    const pieces = ['connection complete', `dst.addr=${outside.ip}:8080`, `dst.service="svc${vips}.default.svc.cluster.local"`];
    await until('the line', () => proxy.lines(...pieces).length > 0);
  });

  test('that does not exist refuses the connection, with the name in the log', async () => {
    nameserver.script = ({ bytes }) => [reply(bytes, [], 3)];
    const missing = 'missing.example.com';
    const vip = await service({});
    for (const name of NAMES) delete lab.addresses[`Kubernetes//Pod/default/${name}`];
    lab.workload({ ...outside, name: 'lost' }, 'external', {
      addresses: [],
      hostname: missing,
      tunnelProtocol: TunnelProtocol.NONE,
      services: { [key(`svc${vips}`)]: { ports: [] } },
    });
    await lab.push();
    await until('the workload to be known', () => proxy.http(15_000, '/config_dump').includes('lost'));
    expect(await ask(vip)).toBe('');
    await until('the line', () => proxy.lines('connection failed', missing).length > 0);
  });
});
