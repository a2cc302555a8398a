import { describe, expect, test } from 'bun:test';
import type { Service, Workload } from '../model.ts';
import { workload } from '../test-fixtures.ts';
import { EndpointState } from './endpoint-state.ts';
import { loadShares } from './load-share.ts';
import { groupEndpoints } from './locality.ts';
import type { BackendPolicy, LocalityPolicy, OutlierPolicy } from './plan.ts';
import { endpoint } from './test-endpoints.ts';

const at = (text: string, over: Partial<Workload> = {}): Partial<Workload> => {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { locality: { region, zone, subzone }, ...over };
};
const state = (name: string, place: string, over: Partial<Workload> = {}) => new EndpointState(endpoint(name, at(place, over)), 8080, 0);
const source = workload('waypoint', at('r1/z1/s1', { network: 'n1', node: 'node1' }));
const outlier: OutlierPolicy = {
  splitExternalLocalOrigin: false,
  interval: 1,
  baseEjectionTime: 1,
  maxEjectionPercent: 10,
  minHealthPercent: 0,
};
const groups = (
  endpoints: EndpointState[],
  policy: BackendPolicy,
  service: Pick<Service, 'loadBalancing'> = {},
  from: Workload | undefined = source,
) =>
  groupEndpoints(endpoints, policy, service, from).map(({ priority, weight, endpoints: members }) => [
    priority,
    weight,
    members.map(({ workload: { name } }) => name).join(' '),
  ]);
const local = (over: Partial<LocalityPolicy> = {}): LocalityPolicy => ({ isEnabled: true, ...over });

const here = state('here', 'r1/z1/s1');
const zone = state('zone', 'r1/z1/s2');
const region = state('region', 'r1/z2');
const far = state('far', 'r2/z1');
const farther = state('farther', 'r3/z1');
const all = [farther, far, region, zone, here];

describe('without outlier detection', () => {
  test('locality does not count: a nearer endpoint that fails would never be left', () => {
    expect(groups(all, { locality: local({ failover: [{ from: 'r1', to: 'r2' }] }) })).toEqual([[0, 1, 'farther far region zone here']]);
  });
});

describe('with outlier detection', () => {
  test('the nearest come first, by default', () => {
    const nearest = [
      [0, 1, 'here'],
      [1, 1, 'zone'],
      [2, 1, 'region'],
      [3, 1, 'farther far'],
    ];
    expect(groups(all, { outlier })).toEqual(nearest);
    expect(groups(all, { outlier, locality: local() })).toEqual(nearest);
    expect(groups(all, { outlier, locality: { isEnabled: false } })).toEqual([[0, 1, 'farther far region zone here']]);
    expect(groupEndpoints(all, { outlier }, {}, undefined)).toHaveLength(1);
  });

  test('a region may have another to fail over to', () => {
    expect(groups([far, farther, zone], { outlier, locality: local({ failover: [{ from: 'r1', to: 'r3' }] }) })).toEqual([
      [0, 1, 'zone'],
      [1, 1, 'farther'],
      [2, 1, 'far'],
    ]);
  });

  test('labels in a row may decide, the network in front only ranks', () => {
    const a = state('a', 'r1/z1', { network: 'n1' });
    const b = state('b', 'r1/z2', { network: 'n1' });
    const c = state('c', 'r1/z1', { network: 'n2' });
    const d = state('d', 'r2/z1', { network: 'n1' });
    const failoverPriority = ['topology.istio.io/network', 'topology.kubernetes.io/region', 'topology.kubernetes.io/zone'];
    expect(groups([d, c, b, a], { outlier, locality: local({ failoverPriority }) })).toEqual([
      [0, 1, 'a'],
      [1, 1, 'b'],
      [2, 1, 'd'],
      [3, 1, 'c'],
    ]);
    expect(groups([a, d], { outlier, locality: local({ failoverPriority: ['topology.kubernetes.io/region=r2'] }) })).toEqual([
      [0, 1, 'd'],
      [1, 1, 'a'],
    ]);
  });
});

test('traffic is distributed over localities by weight, and only over those', () => {
  const distribute = [
    { from: 'r9/*', to: [{ locality: '*', weight: 100 }] },
    {
      from: 'r1/z1/*',
      to: [
        { locality: 'r1/z1/*', weight: 80 },
        { locality: 'r2', weight: 20 },
      ],
    },
  ];
  expect(groups(all, { locality: local({ distribute }) })).toEqual([
    [0, 80, 'zone here'],
    [0, 20, 'far'],
  ]);
});

test('the Service’s traffic distribution counts when the DestinationRule says nothing', () => {
  const service = (mode: 'FAILOVER' | 'STRICT') =>
    ({ loadBalancing: { mode, routingPreference: ['REGION', 'ZONE'], healthPolicy: 'ONLY_HEALTHY' } }) as const;
  expect(groups(all, {}, service('FAILOVER'))).toEqual([
    [0, 1, 'zone here'],
    [1, 1, 'region'],
    [2, 1, 'farther far'],
  ]);
  expect(groups(all, {}, service('STRICT'))).toEqual([[0, 1, 'zone here']]);
  expect(groups(all, { locality: { isEnabled: false } }, service('FAILOVER'))).toHaveLength(1);
});

describe('shares', () => {
  const make = (healthy: number, total: number, priority: number, weight = 1) => ({
    priority,
    weight,
    endpoints: Array.from({ length: total }, (_, i) => {
      const one = state(`${priority}-${i}`, '');
      one.isEjected = i >= healthy;
      return one;
    }),
  });
  const shares = (levels: Parameters<typeof loadShares>[0], panic = 0) =>
    loadShares(levels, panic).map(({ share, endpoints }) => [Math.round(share * 1000) / 1000, endpoints.length]);

  // The table of Envoy's documentation, "Priority levels".
  test.each([
    [100, 1, 0],
    [72, 1, 0],
    [71, 0.994, 0.006],
    [50, 0.7, 0.3],
    [25, 0.35, 0.65],
    [0, 0, 1],
  ])('with %p % of the first priority healthy it takes %p', (percent, first, second) => {
    const expected = [[first, percent] as const, [second, 100] as const].filter(([share]) => share > 0);
    expect(shares([make(percent, 100, 0), make(100, 100, 1)])).toEqual(expected.map((entry) => [...entry]));
  });

  test('what all priorities together cannot take is divided between them', () => {
    expect(shares([make(25, 100, 0), make(25, 100, 1)])).toEqual([
      [0.5, 25],
      [0.5, 25],
    ]);
  });

  test('under the panic threshold all endpoints are used, unless another priority can take it', () => {
    expect(shares([make(4, 10, 0)], 50)).toEqual([[1, 10]]);
    expect(shares([make(5, 10, 0)], 50)).toEqual([[1, 5]]);
    expect(shares([make(0, 10, 0)], 50)).toEqual([[1, 10]]);
    expect(shares([make(4, 10, 0), make(10, 10, 1)], 50)).toEqual([
      [0.56, 4],
      [0.44, 10],
    ]);
    expect(shares([make(4, 10, 0)], 0)).toEqual([[1, 4]]);
    expect(shares([make(0, 10, 0)], 0)).toEqual([]);
  });

  test('localities share by weight and by what they have left', () => {
    expect(shares([make(10, 10, 0, 80), make(10, 10, 0, 20)])).toEqual([
      [0.8, 10],
      [0.2, 10],
    ]);
    expect(shares([make(5, 10, 0, 50), make(10, 10, 0, 50)])).toEqual([
      [0.412, 5],
      [0.588, 10],
    ]);
    expect(shares([make(0, 10, 0, 50), make(10, 10, 0, 50)])).toEqual([[1, 10]]);
  });
});
