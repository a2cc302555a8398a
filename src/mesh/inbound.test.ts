import { describe, expect, test } from 'bun:test';
import { inboundService, resolveInbound } from './inbound.ts';
import type { Service, Workload } from './model.ts';
import { gatewayByAddress, gatewayByName, memberOf, port, registryOf, service, workload } from './test-fixtures.ts';

const web = service('web', '10.96.0.1');
const local = workload('web-1', { addresses: ['10.0.0.2', 'fd00::2'], services: memberOf(web, port(80, 9000)) });
const go = (contents: (Workload | Service)[], host: string, to = 80, ip = '10.0.0.2', me = local) =>
  resolveInbound(registryOf(me, ...contents), me, ip, { host, port: to });

describe('an address as authority', () => {
  test('is this pod’s own: connect there', () => {
    expect(go([], '10.0.0.2', 8080)).toEqual({ kind: 'inbound', ip: '10.0.0.2', port: 8080 });
    expect(go([], 'FD00:0::2', 8080, 'fd00::2')).toMatchObject({ ip: 'fd00::2', port: 8080 });
  });

  test('another pod’s is refused with 400, another address of the same pod too', () => {
    expect(go([], '10.0.0.3')).toEqual({
      kind: 'failure',
      reason: 'ip-mismatch',
      message: 'ip mismatch: 10.0.0.2 != 10.0.0.3',
      status: 400,
    });
    expect(go([], 'fd00::2')).toMatchObject({ reason: 'ip-mismatch' });
  });

  test('the proxy’s own ports are refused with 503', () => {
    for (const illegal of [15_001, 15_006, 15_008]) {
      expect(go([], '10.0.0.2', illegal)).toMatchObject({
        reason: 'self-call',
        status: 503,
        message: 'attempted recursive call to ourselves',
      });
    }
    expect(go([], '10.0.0.2', 15_020)).toMatchObject({ kind: 'inbound' });
  });

  test('a service whose waypoint is this workload is accepted, others are not', () => {
    const wpService = service('wp', '10.96.0.9', { ports: [port(15_008)] });
    const wp = workload('wp-1', { addresses: ['10.0.0.9'], services: memberOf(wpService) });
    const mine = service('mine', '10.96.0.20', { waypoint: gatewayByName(wpService) });
    const byAddress = service('by-address', '10.96.0.21', { waypoint: gatewayByAddress('10.0.0.9') });
    const canary = service('canary', '10.96.0.23', { weightedWaypoints: [{ destination: gatewayByName(wpService), weight: 1 }] });
    const foreign = service('foreign', '10.96.0.22', { waypoint: gatewayByAddress('10.0.0.8') });
    const pod = workload('pod', { addresses: ['10.0.0.30'], waypoint: gatewayByName(wpService) });
    const all = [wpService, mine, byAddress, foreign, canary, pod, web];
    for (const accepted of ['10.96.0.20', '10.96.0.21', '10.96.0.23', '10.0.0.30']) {
      expect(go(all, accepted, 80, '10.0.0.9', wp)).toMatchObject({ kind: 'inbound', ip: '10.0.0.9' });
    }
    for (const refused of ['10.96.0.22', '10.96.0.1', '10.9.9.9']) {
      expect(go(all, refused, 80, '10.0.0.9', wp)).toMatchObject({ reason: 'ip-mismatch' });
    }
  });

  test('a destination with a waypoint is open to clients that bypass it: only policy can stop them', () => {
    const guarded = { ...local, waypoint: gatewayByAddress('10.0.0.9') };
    expect(go([], '10.0.0.2', 80, '10.0.0.2', guarded)).toMatchObject({ kind: 'inbound' });
  });
});

describe('an application tunnel', () => {
  test('takes any address and overrides the port, after the check of illegal ports', () => {
    const sandwiched = { ...local, applicationTunnel: { protocol: 'PROXY', port: 15_088 } as const };
    expect(go([], '10.96.9.9', 443, '10.0.0.2', sandwiched)).toEqual({
      kind: 'inbound',
      ip: '10.0.0.2',
      port: 15_088,
      applicationTunnel: 'PROXY',
    });
    expect(go([], '10.96.9.9', 15_008, '10.0.0.2', sandwiched)).toMatchObject({ reason: 'self-call' });
  });
  test('without a port keeps the requested one', () => {
    const plain = { ...local, applicationTunnel: { protocol: 'NONE', port: 0 } as const };
    expect(go([], '10.0.0.2', 443, '10.0.0.2', plain)).toMatchObject({ port: 443, applicationTunnel: 'NONE' });
  });
});

describe('a hostname as authority', () => {
  test('is mapped by this endpoint’s ports, then by the service’s', () => {
    expect(go([web], web.hostname)).toMatchObject({ kind: 'inbound', ip: '10.0.0.2', port: 9000, service: web });
    const unmapped = { ...local, services: memberOf(web) };
    expect(go([web], web.hostname, 80, '10.0.0.2', unmapped)).toMatchObject({ port: 8080 });
  });
  test('prefers the service of this workload’s namespace', () => {
    const other = service('web', '10.96.0.5', { namespace: 'a', hostname: web.hostname, ports: [port(80, 1)] });
    expect(go([other, web], web.hostname)).toMatchObject({ service: web });
  });
  test('unknown, or with a port that leads nowhere, is refused with 503', () => {
    expect(go([], 'nobody.example')).toMatchObject({ message: 'no service or workload for hostname: nobody.example', status: 503 });
    expect(go([web], web.hostname, 81)).toMatchObject({
      message: `requested service ${web.hostname}:81 found, but cannot resolve port`,
      status: 503,
    });
    const named = { ...web, ports: [port(80, 0)] };
    expect(go([named], named.hostname, 80, '10.0.0.2', { ...local, services: memberOf(named) })).toMatchObject({
      reason: 'unresolvable-port',
    });
  });
  test('mapped to a port of the proxy is refused', () => {
    expect(go([{ ...web, ports: [port(80, 15_006)] }], web.hostname, 80, '10.0.0.2', { ...local, services: memberOf(web) })).toMatchObject({
      reason: 'self-call',
    });
  });
});

test('names a service for telemetry: the one the client meant if this workload is in it, else by target port', () => {
  const admin = service('admin', '10.96.0.2', { ports: [port(81, 9001)] });
  const stranger = service('stranger', '10.96.0.3', { ports: [port(80, 9000)] });
  const member = { ...local, services: new Map([...memberOf(web, port(80, 9000)), ...memberOf(admin)]) };
  const registry = registryOf(member, web, admin, stranger);
  expect(inboundService(registry, member, 9000)?.name).toBe('web');
  expect(inboundService(registry, member, 9001)?.name).toBe('admin');
  expect(inboundService(registry, member, 9000, admin.hostname)?.name).toBe('admin');
  expect(inboundService(registry, member, 9000, stranger.hostname)?.name).toBe('web');
  expect(inboundService(registry, member, 1)).toBeUndefined();
});
