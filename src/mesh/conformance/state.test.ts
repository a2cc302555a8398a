/** Choosing endpoints and finding what a name or address means, held against a real ztunnel's cases (docs/conformance/ztunnel.md, family "state"). */
import { describe, expect, test } from 'bun:test';
import { findGateway, upstreamOf } from '../gateway.ts';
import { selectEndpoint } from '../load-balance.ts';
import type { LoadBalancing, Service, Workload } from '../model.ts';
import { serviceWaypoint } from '../resolve.ts';
import { gatewayByAddress, memberOf, port, registryOf, seeded, service, workload } from '../test-fixtures.ts';

describe('endpoints by network, region and zone', () => {
  const at = (name: string, network: string, region: string, zone: string, addresses = ['192.168.0.1']): Workload =>
    workload(name, { network, addresses, locality: { region, zone, subzone: '' } });
  const all = [
    at('match', 'network', 'reg', 'zone'),
    at('almost', 'network', 'reg', 'not-zone'),
    at('no-locality', 'network', '', ''),
    at('other', 'other', 'reg', 'zone'),
    at('empty-ip', 'network', 'reg', 'zone', []),
  ].map((endpoint) => ({ workload: endpoint, ports: [port(80)] }));
  const chosen = (mode: LoadBalancing['mode'], from: Workload): string[] => {
    const svc = service('s', undefined, {
      ports: [port(80)],
      loadBalancing: { mode, routingPreference: ['NETWORK', 'REGION', 'ZONE'], healthPolicy: 'ONLY_HEALTHY' },
    });
    const random = seeded(7);
    const names = Array.from({ length: 200 }, () => selectEndpoint(svc, all, from, 80, 'standard', random)?.workload.name ?? 'none');
    return [...new Set(names)].sort();
  };
  const nowhere = at('src', '', '', '');

  test.each<[string, LoadBalancing['mode'], Workload, string[]]>([
    ['STRICT without a match chooses none', 'STRICT', nowhere, ['none']],
    ['STRICT with a match chooses it', 'STRICT', at('src', 'network', 'reg', 'zone'), ['match']],
    [
      'FAILOVER without a match chooses any that can be reached',
      'FAILOVER',
      at('src', 'no-match', 'no-match', 'no-match'),
      ['almost', 'match', 'no-locality', 'other'],
    ],
    ['FAILOVER: network, region and zone', 'FAILOVER', at('src', 'network', 'reg', 'zone'), ['match']],
    ['FAILOVER: network and region', 'FAILOVER', at('src', 'network', 'reg', ''), ['almost', 'match']],
    ['FAILOVER: network', 'FAILOVER', at('src', 'network', 'no-match', 'no-match'), ['almost', 'match', 'no-locality']],
    ['FAILOVER: region and zone of another network', 'FAILOVER', at('src', 'no-match', 'reg', 'zone'), ['match', 'other']],
  ])('%s', (_title, mode, from, expected) => {
    expect(chosen(mode, from)).toEqual(expected);
  });

  test('an endpoint without an address is never chosen', () => {
    expect(chosen('FAILOVER', nowhere)).not.toContain('empty-ip');
  });
});

test.each<[string, Partial<Service>, Partial<Workload>, Parameters<typeof memberOf>[1][], 'standard' | 'waypoint', number]>([
  ['its own map', { ports: [port(80, 0)] }, {}, [port(80, 9090)], 'standard', 9090],
  ['the target port of the service', { ports: [port(80, 8080)] }, {}, [], 'standard', 8080],
  [
    'the service port itself with an application tunnel',
    { ports: [port(80, 0)] },
    { applicationTunnel: { protocol: 'PROXY', port: 15_088 } },
    [],
    'waypoint',
    80,
  ],
])('the port of an endpoint comes from %s', (_title, ports, over, own, mode, expected) => {
  const svc = service('s', '10.0.0.1', ports);
  const endpoint = workload('ep', { addresses: ['192.168.0.1'], services: memberOf(svc, ...own), ...over });
  const registry = registryOf(svc, endpoint);
  const found = registry.findUpstream('', '10.0.0.1', 'default');
  expect(upstreamOf({ registry, source: endpoint, random: () => 0 }, found, '10.0.0.1', 80, mode)).toMatchObject({ port: expected });
});

test('a destination is looked up by address, workload first, or by namespace and host name', () => {
  const registry = registryOf(
    workload('w', { addresses: ['127.0.0.1'] }),
    workload('named', { namespace: 'here', hostname: 'named.example' }),
    service('s', undefined, { hostname: 'defaulthost' }),
  );
  const byName = (namespace: string, hostname: string) =>
    findGateway(registry, { destination: { kind: 'hostname', value: { namespace, hostname } }, hboneMtlsPort: 1 }, 'default');
  expect(findGateway(registry, gatewayByAddress('127.0.0.1'), 'default')).toMatchObject({ kind: 'workload' });
  expect(findGateway(registry, gatewayByAddress('127.0.0.2'), 'default')).toBeUndefined();
  expect(byName('default', 'defaulthost')).toMatchObject({ kind: 'service' });
  expect(byName('default', 'nothost')).toBeUndefined();
  expect(byName('here', 'named.example')).toMatchObject({ kind: 'workload' });
  expect(byName('elsewhere', 'named.example')).toBeUndefined();
});

describe('weighted waypoints', () => {
  const [a, b] = [gatewayByAddress('10.0.0.1'), gatewayByAddress('10.0.0.2')];
  const weighted = (first: number, second: number, waypoint?: typeof a): Service =>
    service('s', undefined, {
      ...(waypoint && { waypoint }),
      weightedWaypoints: [
        { destination: a, weight: first },
        { destination: b, weight: second },
      ],
    });
  const draws = (svc: Service, count: number) => {
    const random = seeded(11);
    return Array.from({ length: count }, () => serviceWaypoint(svc, random));
  };
  test('none and no waypoint is none', () => expect(draws(service('s', undefined), 1)).toEqual([undefined]));
  test('a weight of 0 is never drawn', () => {
    expect(new Set(draws(weighted(100, 0), 50))).toEqual(new Set([a]));
    expect(new Set(draws(weighted(0, 100), 50))).toEqual(new Set([b]));
  });
  test('only weights of 0 leave the plain waypoint', () => expect(new Set(draws(weighted(0, 0, a), 50))).toEqual(new Set([a])));
  test('75 to 25 is 75 to 25', () => {
    const first = draws(weighted(75, 25), 10_000).filter((drawn) => drawn === a).length;
    // Five standard deviations of a fair draw.
    expect(Math.abs(first - 7500)).toBeLessThan(217);
  });
});
