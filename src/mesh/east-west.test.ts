import { expect, test } from 'bun:test';
import { resolveEastWest } from './east-west.ts';
import type { Service, Workload } from './model.ts';
import type { MeshRegistry } from './registry.ts';
import { registryOf as contentsOf, port, service, workload } from './test-fixtures.ts';

const HOST = 'echo.default.svc.cluster.local';
const gateway = workload('gateway', { network: 'b', addresses: ['10.1.0.1'] });
const member = (name: string, hostname: string, over: Partial<Workload>) =>
  workload(name, { network: 'b', services: new Map([[`default/${hostname}`, []]]), ...over });
const near = member('near', HOST, { addresses: ['10.1.0.2'] });
const far = member('far', HOST, {
  network: 'a',
  networkGateway: { destination: { kind: 'address', value: { network: 'a', address: '10.9.0.1' } }, hboneMtlsPort: 15_008 },
});
const plain = member('plain', HOST, { addresses: ['10.1.0.3'], tunnelProtocol: 'NONE' });
const waypoint = member('waypoint', 'waypoint.default.svc.cluster.local', { addresses: ['10.1.0.4'] });

const registryOf = (services: Service[], workloads: Workload[]): MeshRegistry => contentsOf(...services, gateway, ...workloads);
const echo = (over: Partial<Service> = {}) => service('echo', '10.2.0.1', over);
const behindWaypoint = echo({
  waypoint: {
    destination: { kind: 'hostname', value: { namespace: 'default', hostname: 'waypoint.default.svc.cluster.local' } },
    hboneMtlsPort: 15_008,
  },
});
const resolve = (registry: MeshRegistry, host = HOST, to = 80, random = 0) =>
  resolveEastWest(registry, gateway, { host, port: to }, () => random);

test('a name goes to the tunnel port of an endpoint of the gateway’s own network that takes tunnels', () => {
  const registry = registryOf([echo()], [near, far, plain]);
  for (const random of [0, 0.5, 0.99])
    expect(resolve(registry, HOST, 80, random)).toMatchObject({ kind: 'relay', ip: '10.1.0.2', port: 15_008, servicePort: 80 });
});

test('a service with a waypoint goes to the waypoint, at the port its service maps', () => {
  const door = service('waypoint', undefined, { ports: [port(15_008, 15_108)] });
  const target = resolve(registryOf([behindWaypoint, door], [near, waypoint]));
  expect(target).toMatchObject({ kind: 'relay', ip: '10.1.0.4', port: 15_108, workload: { name: 'waypoint' } });
});

test('what is configured behind a waypoint never goes around it', () => {
  expect(resolve(registryOf([behindWaypoint], [near]))).toMatchObject({ reason: 'unknown-waypoint' });
});

test('addresses, unknown names and ports, and services without an endpoint here are refused', () => {
  const registry = registryOf([echo()], [far, plain]);
  expect(resolve(registry, '10.1.0.2')).toMatchObject({ reason: 'unknown-hostname' });
  expect(resolve(registry, 'other.default.svc.cluster.local')).toMatchObject({ reason: 'unknown-hostname' });
  expect(resolve(registry, HOST, 81)).toMatchObject({ reason: 'unresolvable-port' });
  expect(resolve(registry)).toMatchObject({ reason: 'no-healthy-upstream', status: 503 });
});
