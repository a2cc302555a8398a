import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { rankEndpoint, reachWorkload, selectEndpoint, targetPort } from './load-balance.ts';
import type { LoadBalancing, RoutingScope, Workload } from './model.ts';
import type { Endpoint } from './registry.ts';
import { gatewayByAddress, port, seeded, service, workload } from './test-fixtures.ts';

const endpoint = (name: string, over: Partial<Workload> = {}, ports = [port(80, 9000)]): Endpoint => ({
  workload: workload(name, { addresses: ['10.0.0.1'], ...over }),
  ports,
});
const at = (region: string, zone = '', over: Partial<Workload> = {}): Partial<Workload> => ({
  locality: { region, zone, subzone: '' },
  ...over,
});
const balanced = (mode: LoadBalancing['mode'], ...routingPreference: RoutingScope[]) =>
  service('s', '10.96.0.1', { loadBalancing: { mode, routingPreference, healthPolicy: 'ONLY_HEALTHY' } });
const zero = () => 0;
const source = workload('src', at('r1', 'z1', { network: 'n1', node: 'node1', clusterId: 'c1' }));

describe('ranking', () => {
  const NRZ: RoutingScope[] = ['NETWORK', 'REGION', 'ZONE'];
  test.each([
    ['network, region, zone', 'n1', 'r1', 'z1', 5],
    ['network, region', 'n1', 'r1', 'z2', 4],
    ['network', 'n1', 'r2', 'z2', 3],
    ['network; a zone without its region counts nothing', 'n1', 'r2', 'z1', 3],
    ['region, zone of another network', 'n2', 'r1', 'z1', 2],
    ['region of another network', 'n2', 'r1', 'z2', 1],
    ['nothing', 'n2', 'r2', 'z2', 0],
  ])('a leading NETWORK is preferred, not required: %s', (_title, network, region, zone, rank) => {
    expect(rankEndpoint(NRZ, false, source, workload('w', at(region, zone, { network })))).toBe(rank);
  });

  test('NETWORK further back stops like any other scope', () => {
    expect(rankEndpoint(['REGION', 'NETWORK', 'ZONE'], false, source, workload('w', at('r1', 'z1', { network: 'n2' })))).toBe(1);
  });

  test('two unknown localities are equal', () => {
    expect(rankEndpoint(['REGION', 'ZONE', 'SUBZONE'], false, workload('a'), workload('b'))).toBe(3);
  });

  test('STRICT rules out whatever misses one scope, a leading NETWORK included', () => {
    expect(rankEndpoint(['NODE'], true, source, workload('w', { node: 'node2' }))).toBe(-1);
    expect(rankEndpoint(['NODE', 'CLUSTER'], true, source, workload('w', { node: 'node1', clusterId: 'c1' }))).toBe(2);
    expect(rankEndpoint(['NETWORK', 'REGION'], true, source, workload('w', at('r1', '', { network: 'n2' })))).toBe(-1);
  });
});

describe('selection', () => {
  const pick = (svc: ReturnType<typeof service>, endpoints: Endpoint[], random = zero, mode: 'standard' | 'waypoint' = 'standard') =>
    selectEndpoint(svc, endpoints, source, 80, mode, random)?.workload.name;

  test('FAILOVER keeps to the best rank and falls back when it is gone', () => {
    const svc = balanced('FAILOVER', 'REGION', 'ZONE');
    const far = endpoint('far', at('r2'));
    const near = endpoint('near', at('r1'));
    const here = endpoint('here', at('r1', 'z1'));
    const random = seeded(1);
    for (let i = 0; i < 50; i++) expect(pick(svc, [far, near, here], random)).toBe('here');
    expect(pick(svc, [far, near])).toBe('near');
    expect(pick(svc, [far])).toBe('far');
  });

  test('STRICT has no fallback', () => {
    expect(pick(balanced('STRICT', 'NODE'), [endpoint('far', { node: 'node2' })])).toBeUndefined();
    expect(pick(balanced('STRICT', 'NODE'), [endpoint('far', { node: 'node2' }), endpoint('here', { node: 'node1' })])).toBe('here');
  });

  test('an unspecified mode ignores the preference', () => {
    const svc = balanced('UNSPECIFIED', 'NODE');
    const random = seeded(2);
    const seen = new Set(
      Array.from({ length: 100 }, () => pick(svc, [endpoint('a', { node: 'node2' }), endpoint('b', { node: 'node1' })], random)),
    );
    expect([...seen].sort()).toEqual(['a', 'b']);
  });

  test('shares connections by capacity, and a capacity of 0 gets none', () => {
    const svc = service('s', '10.96.0.1');
    const endpoints = [
      endpoint('none', { capacity: 0 }),
      endpoint('one', { capacity: 1 }),
      endpoint('three', { capacity: 3 }),
      endpoint('zero', { capacity: 0 }),
    ];
    const counts: Record<string, number> = {};
    const random = seeded(3);
    for (let i = 0; i < 10_000; i++) {
      const name = pick(svc, endpoints, random)!;
      counts[name] = (counts[name] ?? 0) + 1;
    }
    expect(Object.keys(counts).sort()).toEqual(['one', 'three']);
    // Standard deviation of a fair draw is 43; five of them.
    expect(Math.abs(counts['three']! - 7500)).toBeLessThan(220);
  });

  test('no endpoint when every capacity is 0', () => {
    expect(pick(service('s', '10.96.0.1'), [endpoint('a', { capacity: 0 })])).toBeUndefined();
  });

  test('the last draw below 1 still finds an endpoint', () => {
    expect(
      pick(service('s', '10.96.0.1'), [endpoint('a'), endpoint('b'), endpoint('zero', { capacity: 0 })], () => 1 - Number.EPSILON / 2),
    ).toBe('b');
  });

  test('leaves out endpoints without this port', () => {
    const named = service('s', '10.96.0.1', { ports: [port(80, 0)] });
    expect(pick(named, [endpoint('unmapped', {}, []), endpoint('mapped')])).toBe('mapped');
    expect(pick(named, [endpoint('unmapped', {}, [])])).toBeUndefined();
    expect(pick(service('s', '10.96.0.1', { ports: [port(81)] }), [endpoint('mapped')])).toBeUndefined();
    expect(pick(service('s', '10.96.0.1', { ports: [port(80, 8080)] }), [endpoint('unmapped', {}, [])])).toBe('unmapped');
  });

  test('a waypoint with an application tunnel needs no port, an ordinary endpoint does', () => {
    const svc = service('s', '10.96.0.1', { ports: [] });
    const tunnelled = endpoint('wp', { applicationTunnel: { protocol: 'PROXY', port: 15_088 } }, []);
    expect(pick(svc, [tunnelled], zero, 'waypoint')).toBe('wp');
    expect(pick(svc, [tunnelled], zero, 'standard')).toBeUndefined();
    expect(pick(svc, [endpoint('plain', {}, [])], zero, 'waypoint')).toBeUndefined();
  });

  test('an endpoint without address or name is fit only behind another network’s gateway', () => {
    const svc = service('s', '10.96.0.1');
    const gateway = gatewayByAddress('10.9.9.9', 'n2');
    expect(pick(svc, [endpoint('bare', { addresses: [], network: 'n2' })])).toBeUndefined();
    expect(pick(svc, [endpoint('local', { addresses: [], network: 'n1', networkGateway: gateway })])).toBeUndefined();
    expect(pick(svc, [endpoint('remote', { addresses: [], network: 'n2', networkGateway: gateway })])).toBe('remote');
    expect(pick(svc, [endpoint('named', { addresses: [], hostname: 'x.example', network: 'n1' })])).toBe('named');
  });

  test('always chooses a candidate of the highest rank', () => {
    const scopes = fc.uniqueArray(fc.constantFrom<RoutingScope>('NETWORK', 'REGION', 'ZONE', 'NODE', 'CLUSTER'), { maxLength: 4 });
    const placed = fc.record({
      region: fc.constantFrom('r1', 'r2'),
      zone: fc.constantFrom('z1', 'z2'),
      network: fc.constantFrom('n1', 'n2'),
      node: fc.constantFrom('node1', 'node2'),
      capacity: fc.nat(2),
    });
    fc.assert(
      fc.property(
        scopes,
        fc.array(placed, { maxLength: 6 }),
        fc.boolean(),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (scopesOf, places, strict, draw) => {
          const svc = balanced(strict ? 'STRICT' : 'FAILOVER', ...scopesOf);
          const endpoints = places.map(({ region, zone, ...rest }, i) => endpoint(`w${i}`, at(region, zone, { ...rest, clusterId: 'c1' })));
          const ranks = new Map(endpoints.map((one) => [one, rankEndpoint(scopesOf, strict, source, one.workload)]));
          const best = Math.max(-1, ...ranks.values());
          const winners = endpoints.filter((one) => best >= 0 && ranks.get(one) === best && one.workload.capacity > 0);
          const chosen = selectEndpoint(svc, endpoints, source, 80, 'standard', () => draw);
          if (winners.length === 0) expect(chosen).toBeUndefined();
          else expect(winners).toContain(chosen!);
        },
      ),
    );
  });
});

test('target port: the endpoint’s map, then the service’s, then the service port of an application tunnel', () => {
  const svc = service('s', '10.96.0.1', { ports: [port(80, 8080), port(81, 0)] });
  expect(targetPort(svc, endpoint('a'), 80)).toBe(9000);
  expect(targetPort(svc, endpoint('a', {}, []), 80)).toBe(8080);
  expect(targetPort(svc, endpoint('a', {}, []), 81)).toBeUndefined();
  expect(targetPort(svc, endpoint('a', { applicationTunnel: { protocol: 'PROXY', port: 15_088 } }, []), 443)).toBe(443);
  expect(targetPort(svc, endpoint('a', { applicationTunnel: { protocol: 'PROXY', port: 0 } }, []), 443)).toBeUndefined();
});

describe('reaching a workload', () => {
  const dual = workload('w', { addresses: ['10.0.0.1', 'fd00::1'] });
  const ip = (reach: ReturnType<typeof reachWorkload>) => (reach?.kind === 'ip' ? reach.ip : reach?.kind);
  test('by the requested address if it owns it, whatever the service allows', () => {
    expect(ip(reachWorkload(dual, service('s', undefined, { ipFamilies: 'IPV4_ONLY' }), 'fd00::1'))).toBe('fd00::1');
  });
  test('by the family of the request, else by the other', () => {
    expect(ip(reachWorkload(dual, undefined, 'fd00::9'))).toBe('fd00::1');
    expect(ip(reachWorkload(dual, undefined, '10.9.9.9'))).toBe('10.0.0.1');
    expect(ip(reachWorkload(workload('w', { addresses: ['10.0.0.1'] }), undefined, 'fd00::9'))).toBe('10.0.0.1');
  });
  test('only by families the service allows', () => {
    expect(ip(reachWorkload(dual, service('s', undefined, { ipFamilies: 'IPV6_ONLY' }), '10.9.9.9'))).toBe('fd00::1');
    expect(ip(reachWorkload(dual, service('s', undefined, { ipFamilies: 'IPV4_ONLY' }), 'fd00::9'))).toBe('10.0.0.1');
    expect(
      reachWorkload(workload('w', { addresses: ['10.0.0.1'] }), service('s', undefined, { ipFamilies: 'IPV6_ONLY' }), 'fd00::9'),
    ).toBeUndefined();
  });
  test('by name, else only through a gateway, else not at all', () => {
    const named = workload('w', { hostname: 'x.example', networkGateway: gatewayByAddress('10.9.9.9') });
    expect(reachWorkload(named, undefined, 'fd00::9')).toEqual({ kind: 'dns', hostname: 'x.example', preferFamily: 6 });
    expect(ip(reachWorkload({ ...named, hostname: '' }, undefined, 'fd00::9'))).toBe('gateway');
    expect(reachWorkload(workload('w'), undefined, '10.0.0.1')).toBeUndefined();
  });
});
