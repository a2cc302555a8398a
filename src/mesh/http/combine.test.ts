import { describe, expect, test } from 'bun:test';
import { combinePlans } from './combine.ts';
import type { HttpTable, PortPlan } from './plan.ts';

const SERVICE = 'default/reviews.default.svc.cluster.local';
const backends = [{ service: SERVICE, port: 80, weight: 1 }];
const table = (source: string): HttpTable => ({ rules: [{ match: {}, action: 0 }], actions: [{ name: `${source}/0`, backends }] });
const route = (port: number, more: Partial<PortPlan> = {}): PortPlan => ({ port, http: table('HTTPRoute/default/reviews'), ...more });
const virtualService = (port: number): PortPlan => ({ port, http: table('VirtualService/default/reviews') });
const sources = (ports: readonly PortPlan[]) => ports.map(({ port, http }) => [port, http?.actions[0]?.name.split('/')[0]]);

describe('ports of two families', () => {
  const cases: readonly (readonly [string, readonly PortPlan[], readonly PortPlan[], unknown, readonly number[]])[] = [
    ['only routes', [route(80)], [], [[80, 'HTTPRoute']], []],
    ['only VirtualServices', [], [virtualService(80)], [[80, 'VirtualService']], []],
    [
      'different ports',
      [route(80)],
      [virtualService(81)],
      [
        [80, 'HTTPRoute'],
        [81, 'VirtualService'],
      ],
      [],
    ],
    ['the same port', [route(80)], [virtualService(80)], [[80, 'HTTPRoute']], [80]],
    [
      'a route for one port of a VirtualService for all',
      [route(80)],
      [virtualService(0)],
      [
        [0, 'VirtualService'],
        [80, 'HTTPRoute'],
      ],
      [80],
    ],
    [
      'a VirtualService for one port of a route for all',
      [route(0)],
      [virtualService(80)],
      [
        [0, 'HTTPRoute'],
        [80, 'HTTPRoute'],
      ],
      [80],
    ],
  ];
  test.each(cases)('%s', (_, routes, istio, expected, conflicts) => {
    const combined = combinePlans(SERVICE, routes, { ports: istio });
    expect(sources(combined.plan.ports)).toEqual(expected as never);
    expect(combined.conflicts.map(({ port }) => port)).toEqual([...conflicts]);
  });
});

test('a conflict names both objects', () => {
  const { conflicts } = combinePlans(SERVICE, [route(80)], { ports: [virtualService(80)] });
  expect(conflicts).toEqual([
    {
      service: SERVICE,
      port: 80,
      winner: 'HTTPRoute default/reviews',
      loser: 'VirtualService default/reviews',
      message: `HTTPRoute default/reviews and VirtualService default/reviews both route ${SERVICE} port 80; the former is in force, the latter is not`,
    },
  ]);
});

test('a port is the route’s whole, whatever the VirtualService says about other traffic of it', () => {
  const tcp = [{ name: 'VirtualService/default/reviews/tcp/0', backends }];
  const { plan } = combinePlans(SERVICE, [route(80)], { ports: [{ ...virtualService(80), tcp }] });
  expect(plan.ports).toEqual([route(80)]);
});

test('consumer routes take their clients and leave everybody else to the VirtualService', () => {
  const consumers = [{ namespace: 'team', http: table('HTTPRoute/team/mine') }];
  const ownTcp = [{ name: 'TCPRoute/team/mine/0', sourceNamespace: 'team', backends }];
  const tcp = [{ name: 'VirtualService/default/reviews/tcp/0', backends }];
  const { plan, conflicts } = combinePlans(SERVICE, [{ port: 80, consumers, tcp: ownTcp }], { ports: [{ ...virtualService(0), tcp }] });
  expect(plan.ports).toEqual([
    { ...virtualService(0), tcp },
    { port: 80, http: table('VirtualService/default/reviews'), consumers, tcp: [...ownTcp, ...tcp] },
  ]);
  expect(conflicts).toEqual([]);
});

test('policies and subsets count whoever routes', () => {
  const policy = { loadBalancer: { kind: 'random' } } as const;
  const subsets = [{ name: 'v1', workloads: ['a'] }];
  const { plan } = combinePlans(SERVICE, [route(80)], { ports: [], policy, subsets });
  expect(plan).toEqual({ service: SERVICE, ports: [route(80)], policy, subsets });
});
