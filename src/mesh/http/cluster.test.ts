import { describe, expect, test } from 'bun:test';
import type { Service, Workload } from '../model.ts';
import { port, seeded, service, workload } from '../test-fixtures.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { type EndpointState, endpointKey } from './endpoint-state.ts';
import { hashText } from './hash.ts';
import type { BackendPolicy } from './plan.ts';
import { endpoint, isLikely, tally } from './test-endpoints.ts';

const reviews = service('reviews', '10.96.0.1');
const source = workload('waypoint');
const clusterOf = (endpoints: ReturnType<typeof endpoint>[], options: Partial<ClusterOptions> = {}, svc: Service = reviews) => {
  const cluster = new Cluster({ port: 80, ...options });
  cluster.update(svc, endpoints, source, 0);
  return cluster;
};
const pods = (count: number, over: (index: number) => Partial<Workload> = () => ({})) =>
  Array.from({ length: count }, (_, i) => endpoint(`pod-${i}`, over(i)));
const random = seeded(11);
const name = (state: EndpointState | undefined): string | undefined => state?.workload.name;
const balanced = (kind: 'least-request' | 'round-robin' | 'random'): BackendPolicy => ({ loadBalancer: { kind } });

describe('endpoints', () => {
  test('without any, or without one for the port, there is none', () => {
    expect(clusterOf([]).pick({ random, now: 0 })).toBeUndefined();
    expect(clusterOf(pods(2), { port: 81 }).pick({ random, now: 0 })).toBeUndefined();
    expect(clusterOf([endpoint('lost', { addresses: [] })]).pick({ random, now: 0 })).toBeUndefined();
    expect(clusterOf(pods(2, () => ({ capacity: 0 }))).pick({ random, now: 0 })).toBeUndefined();
  });

  test('behind the gateway of another network are reached there', () => {
    const gateway = { destination: { kind: 'address', value: { network: 'n2', address: '1.2.3.4' } }, hboneMtlsPort: 15_008 } as const;
    const remote = endpoint('remote', { addresses: [], network: 'n2', networkGateway: gateway });
    expect(name(clusterOf([remote]).pick({ random, now: 0 }))).toBe('remote');
  });

  test('have the port of their own map', () => {
    expect(clusterOf([endpoint('a', {}, 9090)]).pick({ random, now: 0 })?.targetPort).toBe(9090);
  });

  test('of a subset are those it names', () => {
    const cluster = clusterOf(pods(3), { subset: { name: 'v1', workloads: ['Kubernetes//Pod/default/pod-1'] } });
    expect(tally(20, () => name(cluster.pick({ random, now: 0 })))).toEqual({ 'pod-1': 20 });
    cluster.setSubset({ name: 'v1', workloads: ['Kubernetes//Pod/default/pod-2'] });
    cluster.update(reviews, pods(3), source, 0);
    expect(name(cluster.pick({ random, now: 0 }))).toBe('pod-2');
  });

  test('keep their state as long as workload and port stay', () => {
    const cluster = clusterOf(pods(2));
    const before = [...cluster.states];
    before[0]!.active = 7;
    cluster.update(reviews, [...pods(1, () => ({ capacity: 3 })), endpoint('new')], source, 0);
    const after = [...cluster.states];
    expect(after[0]).toBe(before[0]!);
    expect(after[0]).toMatchObject({ active: 7, weight: 3 });
    expect(before[1]!.isGone).toBe(true);
    expect(after.map(name)).toEqual(['pod-0', 'new']);
    cluster.update(reviews, [endpoint('pod-0', {}, 9999)], source, 0);
    expect(cluster.pick({ random, now: 0 })).not.toBe(before[0]!);
  });
});

describe('least request', () => {
  test('takes the one with less in flight of two', () => {
    const cluster = clusterOf(pods(2));
    const [a, b] = [...cluster.states];
    a!.active = 5;
    // `a` is taken only when it is drawn twice.
    const counts = tally(10_000, () => name(cluster.pick({ random, now: 0 })));
    expect(isLikely(counts[name(a)!], 10_000, 1 / 4)).toBe(true);
    b!.active = 5;
    expect(isLikely(tally(10_000, () => name(cluster.pick({ random, now: 0 })))[name(a)!], 10_000, 1 / 2)).toBe(true);
  });

  test('gives idle endpoints shares by capacity', () => {
    const cluster = clusterOf(pods(3, (i) => ({ capacity: i + 1 })));
    const counts = tally(12_000, () => name(cluster.pick({ random, now: 0 })));
    for (const i of [0, 1, 2]) expect(isLikely(counts[`pod-${i}`], 12_000, (i + 1) / 6)).toBe(true);
  });

  test('fills endpoints in proportion to their capacity', () => {
    const cluster = clusterOf(pods(4, (i) => ({ capacity: i === 0 ? 4 : 1 })));
    for (let i = 0; i < 7_000; i++) cluster.pick({ random, now: 0 })!.active++;
    for (const { active, weight } of cluster.states) expect(Math.abs(active - 1_000 * weight)).toBeLessThan(100);
  });
});

describe('round robin', () => {
  test('takes each in turn', () => {
    const cluster = clusterOf(pods(3), { policy: balanced('round-robin') });
    const names = Array.from({ length: 6 }, () => name(cluster.pick({ random, now: 0 })));
    expect(new Set(names.slice(0, 3)).size).toBe(3);
    expect(names.slice(3)).toEqual(names.slice(0, 3));
  });

  test('takes each as often as its capacity says, spread over the round', () => {
    const cluster = clusterOf(
      pods(2, (i) => ({ capacity: i === 0 ? 5 : 2 })),
      { policy: balanced('round-robin') },
    );
    const names = Array.from({ length: 7 }, () => name(cluster.pick({ random, now: 0 })));
    expect(names.filter((one) => one === 'pod-1')).toHaveLength(2);
    expect(`${names.join(' ')} ${names[0]}`).not.toContain('pod-1 pod-1');
  });
});

test('random takes each as often as its capacity says', () => {
  const cluster = clusterOf(
    pods(3, (i) => ({ capacity: i + 1 })),
    { policy: balanced('random') },
  );
  const counts = tally(12_000, () => name(cluster.pick({ random, now: 0 })));
  for (const i of [0, 1, 2]) expect(isLikely(counts[`pod-${i}`], 12_000, (i + 1) / 6)).toBe(true);
});

describe.each(['least-request', 'round-robin', 'random'] as const)('%s', (kind) => {
  test('goes around what was tried, unless everything was', () => {
    const cluster = clusterOf(pods(5), { policy: balanced(kind) });
    const all = [...cluster.states];
    const exclude = new Set(all.slice(0, 4));
    for (let i = 0; i < 200; i++) expect(cluster.pick({ random, now: 0, exclude })).toBe(all[4]!);
    expect(cluster.pick({ random, now: 0, exclude: new Set(all) })).toBeDefined();
  });
});

describe.each([
  ['ring hash', { kind: 'ring-hash', hash: { kind: 'source-ip' }, minimumRingSize: 1_024 }],
  ['maglev', { kind: 'maglev', hash: { kind: 'source-ip' }, tableSize: 65_537 }],
] as const)('%s', (_title, loadBalancer) => {
  test('keeps to one endpoint per hash, and takes any without one', () => {
    const cluster = clusterOf(pods(5), { policy: { loadBalancer } });
    const hash = hashText('user');
    expect(Object.keys(tally(50, () => name(cluster.pick({ random, now: 0, hash }))))).toHaveLength(1);
    expect(Object.keys(tally(200, () => name(cluster.pick({ random, now: 0 }))))).toHaveLength(5);
  });
});

describe('warm-up', () => {
  const policy: BackendPolicy = { ...balanced('round-robin'), warmup: { duration: 10_000, minimumPercent: 10, aggression: 1 } };
  const shareOfNew = (now: number): number => {
    const cluster = clusterOf(pods(1), { policy });
    cluster.update(reviews, pods(2), source, 100_000);
    return (tally(20_000, () => name(cluster.pick({ random, now })))['pod-1'] ?? 0) / 20_000;
  };
  test('lets a new endpoint’s share grow from its minimum to its whole', () => {
    expect(shareOfNew(100_000)).toBeWithin(0.05, 0.12);
    expect(shareOfNew(105_000)).toBeWithin(0.28, 0.4);
    expect(shareOfNew(110_000)).toBeWithin(0.48, 0.52);
  });
  test('is not for what was there from the start', () => {
    const cluster = clusterOf(pods(2), { policy });
    const counts = tally(100, () => name(cluster.pick({ random, now: 0 })));
    expect(counts).toEqual({ 'pod-0': 50, 'pod-1': 50 });
  });
});

describe('ejection', () => {
  const policy = (minHealthPercent = 0): BackendPolicy => ({
    outlier: {
      consecutive5xx: 2,
      splitExternalLocalOrigin: false,
      interval: 1_000,
      baseEjectionTime: 30_000,
      maxEjectionPercent: 100,
      minHealthPercent,
    },
  });
  const fail = (cluster: Cluster, state: EndpointState): void => {
    for (let i = 0; i < 2; i++) cluster.report(state, 503, 0);
  };

  test('takes an endpoint out and lets it back', () => {
    const cluster = clusterOf(pods(2), { policy: policy() });
    const [bad, good] = [...cluster.states];
    fail(cluster, bad!);
    expect(tally(50, () => name(cluster.pick({ random, now: 1 })))).toEqual({ [name(good)!]: 50 });
    expect(cluster.find(bad!.key, 1)).toBeUndefined();
    expect(cluster.find(good!.key, 1)).toBe(good!);
    expect(Object.keys(tally(50, () => name(cluster.pick({ random, now: 40_000 }))))).toHaveLength(2);
    expect(cluster.find(bad!.key, 40_000)).toBe(bad!);
  });

  test('of all leaves none, unless so few healthy ones are worse than all', () => {
    const strict = clusterOf(pods(2), { policy: policy() });
    for (const state of strict.states) fail(strict, state);
    expect(strict.pick({ random, now: 1 })).toBeUndefined();
    const panicking = clusterOf(pods(2), { policy: policy(50) });
    for (const state of panicking.states) fail(panicking, state);
    expect(panicking.pick({ random, now: 1 })).toBeDefined();
  });

  test('in the own zone moves traffic to the next, and a retry goes there too', () => {
    const zones = pods(4, (i) => ({ locality: { region: 'r', zone: i < 2 ? 'a' : 'b', subzone: '' } }));
    const cluster = new Cluster({ port: 80, policy: policy() });
    cluster.update(reviews, zones, workload('w', { locality: { region: 'r', zone: 'a', subzone: '' } }), 0);
    const near = [...cluster.states].slice(0, 2);
    expect(Object.keys(tally(200, () => name(cluster.pick({ random, now: 0 })))).sort()).toEqual(['pod-0', 'pod-1']);
    fail(cluster, near[0]!);
    const counts = tally(10_000, () => name(cluster.pick({ random, now: 1 })));
    expect(isLikely(counts['pod-1'], 10_000, 0.7)).toBe(true);
    expect(['pod-2', 'pod-3']).toContain(name(cluster.pick({ random: () => 0, now: 1, exclude: new Set(near) }))!);
  });

  test('survives what the registry changes', () => {
    const cluster = clusterOf(pods(3), { policy: policy() });
    fail(cluster, [...cluster.states][0]!);
    cluster.update(reviews, pods(3), source, 1);
    expect(Object.keys(tally(100, () => name(cluster.pick({ random, now: 2 })))).sort()).toEqual(['pod-1', 'pod-2']);
  });
});

test('a session finds its endpoint by key', () => {
  const cluster = clusterOf(pods(2));
  const key = endpointKey('Kubernetes//Pod/default/pod-1', 8080);
  expect(name(cluster.find(key, 0))).toBe('pod-1');
  expect(cluster.find(endpointKey('Kubernetes//Pod/default/pod-1', 1), 0)).toBeUndefined();
});

test('a service with another port map changes the endpoints', () => {
  const cluster = clusterOf([{ workload: endpoint('a').workload, ports: [] }], {}, { ...reviews, ports: [port(80, 1)] });
  expect(cluster.pick({ random, now: 0 })?.targetPort).toBe(1);
});
