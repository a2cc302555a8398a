import { describe, expect, test } from 'bun:test';
import type { Service, Workload } from './model.ts';
import { resolveOutbound } from './resolve.ts';
import { type DoubleHboneRoute, type HboneRoute, type Route, withResolvedIp } from './route.ts';
import { gatewayByAddress, gatewayByName, memberOf, port, registryOf, seeded, service, workload } from './test-fixtures.ts';
import type { Trace } from './trace.ts';

const source = workload('client', { addresses: ['10.0.0.1'], serviceAccount: 'client-sa' });
const zero = () => 0;
const go = (contents: (Workload | Service)[], ip: string, destinationPort = 80, random = zero): Route =>
  resolveOutbound(registryOf(source, ...contents), source, { ip, port: destinationPort }, random);
const asHbone = (route: Route): HboneRoute => {
  if (route.kind !== 'hbone') throw new Error(`expected hbone, got ${JSON.stringify(route)}`);
  return route;
};
const asDouble = (route: Route): DoubleHboneRoute => {
  if (route.kind !== 'double-hbone') throw new Error(`expected double-hbone, got ${JSON.stringify(route)}`);
  return route;
};
const failed = (route: Route) => (route.kind === 'failure' ? route.message : route.kind);

const web = service('web', '10.96.0.1');
const pod = workload('web-1', { addresses: ['10.0.0.2'], serviceAccount: 'web-sa', services: memberOf(web, port(80, 8080)) });
const wpService = service('wp', '10.96.0.9', { ports: [port(15_008)], subjectAltNames: ['spiffe://cluster.local/ns/default/sa/wp-extra'] });
const wpPod = workload('wp-1', { addresses: ['10.0.0.9'], serviceAccount: 'wp', services: memberOf(wpService) });

describe('direct', () => {
  test('a service goes by HBONE to an endpoint, its authority the target port', () => {
    const route = asHbone(go([web, pod], '10.96.0.1'));
    expect(route).toMatchObject({ via: 'direct', address: '10.0.0.2:15008', authority: '10.0.0.2:8080' });
    expect(route.acceptedIdentities).toEqual(['spiffe://cluster.local/ns/default/sa/web-sa']);
    expect([route.destinationService?.name, route.destinationWorkload.name]).toEqual(['web', 'web-1']);
  });

  test('the service’s subject alternative names are accepted as well, each once', () => {
    const named = { ...web, subjectAltNames: ['spiffe://other/ns/x/sa/y', 'spiffe://cluster.local/ns/default/sa/web-sa'] };
    expect(asHbone(go([named, pod], '10.96.0.1')).acceptedIdentities).toEqual(named.subjectAltNames);
    expect(asHbone(go([named, pod], '10.0.0.2')).acceptedIdentities).toEqual(['spiffe://cluster.local/ns/default/sa/web-sa']);
  });

  test('a pod address keeps its port and has no service', () => {
    const route = asHbone(go([web, pod], '10.0.0.2', 1234));
    expect(route.authority).toBe('10.0.0.2:1234');
    expect(route.destinationService).toBeUndefined();
  });

  test('IPv6 authorities are in brackets', () => {
    const route = asHbone(go([workload('six', { addresses: ['fd00::2'] })], 'fd00::2', 80));
    expect([route.address, route.authority]).toEqual(['[fd00::2]:15008', '[fd00::2]:80']);
  });

  test('a workload that takes no tunnel gets plain TCP at its target port', () => {
    const route = go([web, { ...pod, tunnelProtocol: 'NONE' }], '10.96.0.1');
    expect(route).toMatchObject({ kind: 'tcp', address: '10.0.0.2:8080' });
  });

  test('a workload known by name is resolved later, and then dialled and addressed by IP', () => {
    const named = workload('ext', { hostname: 'db.example', services: memberOf(web, port(80, 5432)) });
    const route = asHbone(go([web, named], '10.96.0.1'));
    expect(route.target).toEqual({ kind: 'dns', hostname: 'db.example', preferFamily: 4, port: 15_008 });
    expect(withResolvedIp(route, '192.0.2.7')).toMatchObject({
      address: '192.0.2.7:15008',
      authority: '192.0.2.7:5432',
      target: { kind: 'ip' },
    });
    const plain = go([web, { ...named, tunnelProtocol: 'NONE' }], '10.96.0.1');
    if (plain.kind !== 'tcp') throw new Error(plain.kind);
    expect(withResolvedIp(plain, '192.0.2.7').address).toBe('192.0.2.7:5432');
  });

  test('a pod may reach itself through its service', () => {
    const self = workload('client', { addresses: ['10.0.0.1'], services: memberOf(web) });
    const registry = registryOf(web, self);
    expect(asHbone(resolveOutbound(registry, self, { ip: '10.96.0.1', port: 80 }, zero)).address).toBe('10.0.0.1:15008');
  });
});

describe('no endpoint', () => {
  test('nothing known at the address: plain TCP to the original destination', () => {
    expect(go([], '203.0.113.5', 443)).toEqual({
      kind: 'passthrough',
      target: { kind: 'ip', ip: '203.0.113.5', port: 443 },
      address: '203.0.113.5:443',
    });
  });

  test('a PASSTHROUGH service: plain TCP to the original destination, naming the service', () => {
    const open: Service = { ...web, loadBalancing: { mode: 'PASSTHROUGH', routingPreference: [], healthPolicy: 'ALLOW_ALL' } };
    const route = go([open, pod], '10.96.0.1');
    expect(route).toMatchObject({ kind: 'passthrough', address: '10.96.0.1:80' });
  });

  test('a service without a fit endpoint fails, it is not passed through', () => {
    expect(failed(go([web], '10.96.0.1'))).toBe('no healthy upstream: 10.96.0.1:80');
    expect(failed(go([web, { ...pod, status: 'UNHEALTHY' }], '10.96.0.1'))).toBe('no healthy upstream: 10.96.0.1:80');
    expect(failed(go([web, pod], '10.96.0.1', 81))).toBe('no healthy upstream: 10.96.0.1:81');
  });

  test('an endpoint without an address of an allowed family has no valid destination', () => {
    expect(failed(go([{ ...web, ipFamilies: 'IPV6_ONLY' }, pod], '10.96.0.1'))).toBe('no valid routing destination for workload: web-1');
  });

  test('the proxy’s own ports on loopback are refused', () => {
    expect(failed(go([], '127.0.0.1', 15_008))).toBe('attempted recursive call to ourselves');
    expect(failed(go([], '::1', 15_001))).toBe('attempted recursive call to ourselves');
    expect(go([], '127.0.0.1', 15_000).kind).toBe('passthrough');
    expect(go([], '10.0.0.77', 15_008).kind).toBe('passthrough');
  });
});

describe('service waypoint', () => {
  const bound = { ...web, waypoint: gatewayByName(wpService) };

  test('takes the connection with the VIP untranslated as authority', () => {
    const route = asHbone(go([bound, pod, wpService, wpPod], '10.96.0.1'));
    expect(route).toMatchObject({ via: 'service-waypoint', address: '10.0.0.9:15008', authority: '10.96.0.1:80' });
    expect(route.acceptedIdentities).toEqual(['spiffe://cluster.local/ns/default/sa/wp-extra', 'spiffe://cluster.local/ns/default/sa/wp']);
    expect([route.destinationService?.name, route.destinationWorkload.name]).toEqual(['web', 'wp-1']);
  });

  test('is dialled at the target port its Service maps 15008 to', () => {
    const mapped = { ...wpService, ports: [port(15_008, 18_008)] };
    expect(asHbone(go([bound, mapped, wpPod], '10.96.0.1')).address).toBe('10.0.0.9:18008');
  });

  test('by address: a VIP, or a pod with the port unchanged', () => {
    expect(asHbone(go([{ ...web, waypoint: gatewayByAddress('10.96.0.9') }, wpService, wpPod], '10.96.0.1')).address).toBe(
      '10.0.0.9:15008',
    );
    expect(asHbone(go([{ ...web, waypoint: gatewayByAddress('10.0.0.9', '', 1555) }, wpService, wpPod], '10.96.0.1')).address).toBe(
      '10.0.0.9:1555',
    );
  });

  test('an application tunnel needs no service port on the waypoint', () => {
    const tunnelled = { ...wpPod, applicationTunnel: { protocol: 'PROXY', port: 15_088 } as const };
    expect(asHbone(go([bound, { ...wpService, ports: [] }, tunnelled], '10.96.0.1')).address).toBe('10.0.0.9:15008');
  });

  test('that cannot be resolved fails the connection; it never goes around', () => {
    expect(failed(go([bound, pod], '10.96.0.1'))).toBe('unknown waypoint: default/wp.default.svc.cluster.local');
    expect(failed(go([bound, pod, wpService], '10.96.0.1'))).toStartWith('unknown waypoint: default/wp.default.svc.cluster.local');
    expect(failed(go([{ ...web, waypoint: gatewayByAddress('10.9.9.9') }, pod], '10.96.0.1'))).toBe('unknown waypoint: /10.9.9.9');
  });

  test('another replica stands in for one that was not reached; without one left it still never goes around', () => {
    const second = workload('wp-2', { addresses: ['10.0.0.10'], serviceAccount: 'wp', services: memberOf(wpService) });
    const registry = registryOf(source, bound, pod, wpService, wpPod, second);
    const without = (...uids: string[]): Route =>
      resolveOutbound(registry, source, { ip: '10.96.0.1', port: 80 }, zero, { without: new Set(uids) });
    expect(asHbone(without(wpPod.uid)).address).toBe('10.0.0.10:15008');
    expect(asHbone(without(second.uid)).address).toBe('10.0.0.9:15008');
    expect(failed(without(wpPod.uid, second.uid))).toContain('has no healthy endpoint');
    const byAddress = registryOf(source, { ...web, waypoint: gatewayByAddress('10.0.0.9') }, pod, wpService, wpPod);
    const route = resolveOutbound(byAddress, source, { ip: '10.96.0.1', port: 80 }, zero, { without: new Set([wpPod.uid]) });
    expect(failed(route)).toStartWith('unknown waypoint: ');
  });

  test('is not asked for traffic to the pod’s own address', () => {
    expect(asHbone(go([bound, pod, wpService, wpPod], '10.0.0.2')).via).toBe('direct');
  });

  test('weights share connections among waypoints; all zero falls back to the plain one', () => {
    const other = service('wp2', '10.96.0.10', { ports: [port(15_008)] });
    const otherPod = workload('wp2-1', { addresses: ['10.0.0.10'], services: memberOf(other) });
    const weighted = (a: number, b: number): Service => ({
      ...bound,
      weightedWaypoints: [
        { destination: gatewayByName(wpService), weight: a },
        { destination: gatewayByName(other), weight: b },
      ],
    });
    const random = seeded(4);
    let canary = 0;
    for (let i = 0; i < 1000; i++)
      if (asHbone(go([weighted(90, 10), wpService, wpPod, other, otherPod], '10.96.0.1', 80, random)).address.startsWith('10.0.0.10:'))
        canary++;
    expect(canary).toBeGreaterThan(50);
    expect(canary).toBeLessThan(160);
    expect(asHbone(go([weighted(0, 0), wpService, wpPod, other, otherPod], '10.96.0.1')).address).toBe('10.0.0.9:15008');
    expect(asHbone(go([weighted(0, 1), wpService, wpPod, other, otherPod], '10.96.0.1', 80, () => 0.999)).address).toBe('10.0.0.10:15008');
  });
});

describe('workload waypoint', () => {
  const guarded = { ...pod, waypoint: gatewayByName(wpService) };

  test('takes traffic addressed to the pod, the original destination as authority', () => {
    const route = asHbone(go([web, guarded, wpService, wpPod], '10.0.0.2', 1234));
    expect(route).toMatchObject({ via: 'workload-waypoint', address: '10.0.0.9:15008', authority: '10.0.0.2:1234' });
  });

  test('is not asked for service-addressed traffic', () => {
    expect(asHbone(go([web, guarded, wpService, wpPod], '10.96.0.1')).via).toBe('direct');
  });

  test('that cannot be resolved fails the connection', () => {
    expect(failed(go([guarded], '10.0.0.2'))).toStartWith('unknown waypoint: ');
  });

  test('an address that is both a pod’s and a VIP: not service-addressed, yet the service chooses the endpoint', () => {
    const overlap = service('overlap', '10.0.0.3');
    const owner = workload('owner', { addresses: ['10.0.0.3'] });
    const member = { ...guarded, services: memberOf(overlap, port(80, 8080)) };
    const route = asHbone(go([overlap, owner, member, wpService, wpPod], '10.0.0.3'));
    expect(route).toMatchObject({ via: 'workload-waypoint', authority: '10.0.0.3:80' });
    // And the overlapping service's own waypoint is not consulted.
    const withWaypoint = { ...overlap, waypoint: gatewayByAddress('10.9.9.9') };
    expect(asHbone(go([withWaypoint, owner, { ...member, waypoint: undefined as never }], '10.0.0.3')).via).toBe('direct');
  });

  test('traffic from the waypoint itself goes direct: same identity and the connecting address among its own', () => {
    const registry = registryOf(web, guarded, wpService, wpPod);
    const to = { ip: '10.0.0.2', port: 8080 };
    expect(asHbone(resolveOutbound(registry, wpPod, to, zero)).via).toBe('direct');
    expect(asHbone(resolveOutbound(registry, wpPod, to, zero, { sourceIp: '10.0.0.9' })).via).toBe('direct');
    expect(asHbone(resolveOutbound(registry, wpPod, to, zero, { sourceIp: '10.0.0.8' })).via).toBe('workload-waypoint');
    expect(asHbone(resolveOutbound(registry, { ...wpPod, serviceAccount: 'other' }, to, zero)).via).toBe('workload-waypoint');
  });
});

describe('another network', () => {
  const gwService = service('gw', '172.16.0.1', {
    vips: [{ network: 'far', address: '172.16.0.1' }],
    ports: [port(15_008, 15_008)],
    subjectAltNames: ['spiffe://cluster.local/ns/default/sa/gw-extra'],
  });
  const gwPod = workload('gw-1', { addresses: ['172.16.0.7'], network: 'far', serviceAccount: 'gw', services: memberOf(gwService) });
  const global = { ...web, subjectAltNames: ['spiffe://cluster.local/ns/default/sa/remote-web'] };
  const remote = workload('web-far', {
    addresses: [],
    network: 'far',
    networkGateway: gatewayByAddress('172.16.0.1', 'far'),
    services: memberOf(web),
  });

  test('is reached by double HBONE, both authorities the service’s name and port', () => {
    const route = asDouble(go([global, remote, gwService, gwPod], '10.96.0.1'));
    expect(route).toMatchObject({
      via: 'direct',
      address: '172.16.0.7:15008',
      authority: 'web.default.svc.cluster.local:80',
      innerAuthority: 'web.default.svc.cluster.local:80',
    });
    expect(route.acceptedIdentities).toEqual(['spiffe://cluster.local/ns/default/sa/gw-extra', 'spiffe://cluster.local/ns/default/sa/gw']);
  });

  test('the inner server is checked against the service’s subject alternative names and nothing else', () => {
    expect(asDouble(go([global, remote, gwService, gwPod], '10.96.0.1')).innerAcceptedIdentities).toEqual(global.subjectAltNames);
    expect(asDouble(go([web, remote, gwService, gwPod], '10.96.0.1')).innerAcceptedIdentities).toEqual([]);
  });

  test('needs a service, a gateway, and a gateway that exists', () => {
    const addressed = { ...remote, addresses: ['10.0.0.2'], network: 'far' };
    const registry = registryOf(source, addressed, gwService, gwPod);
    expect(failed(resolveOutbound(registry, { ...source, network: 'near' }, { ip: '10.0.0.2', port: 80 }, zero))).toBe('passthrough');
    const { networkGateway: _, ...lost } = { ...addressed, services: memberOf(web) };
    expect(failed(go([web, lost], '10.96.0.1'))).toStartWith('unknown network gateway: ');
    expect(failed(go([global, remote], '10.96.0.1'))).toBe('unknown network gateway: far/172.16.0.1');
  });

  test('a waypoint in another network is reached the same way, checked against its own service', () => {
    const farWp = service('wp', '10.96.0.9', { ports: [port(15_008)], subjectAltNames: ['spiffe://cluster.local/ns/default/sa/far-wp'] });
    const farWpPod = workload('wp-far', {
      network: 'far',
      networkGateway: gatewayByAddress('172.16.0.1', 'far'),
      services: memberOf(farWp),
    });
    const route = asDouble(go([{ ...global, waypoint: gatewayByName(farWp) }, farWp, farWpPod, gwService, gwPod], '10.96.0.1'));
    expect(route).toMatchObject({ via: 'service-waypoint', address: '172.16.0.7:15008', authority: 'web.default.svc.cluster.local:80' });
    expect(route.innerAcceptedIdentities).toEqual(['spiffe://cluster.local/ns/default/sa/far-wp']);
    expect(route.destinationService?.name).toBe('web');
  });
});

test('says on request which steps led to the decision, and decides the same', () => {
  const registry = registryOf(source, web, pod);
  const trace: Trace = [];
  const to = { ip: '10.96.0.1', port: 80 };
  const traced = resolveOutbound(registry, source, to, zero, { trace });
  expect(traced).toEqual(resolveOutbound(registry, source, to, zero));
  expect(trace.map(({ rule }) => rule)).toEqual(['2.3.1', '2.4b', '2.3.2', '2.3.6']);
  expect(trace[0]?.text).toBe('10.96.0.1:80 is a VIP of service default/web.default.svc.cluster.local');
});
