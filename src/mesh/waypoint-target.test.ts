import { expect, test } from 'bun:test';
import { MeshRegistry } from './registry.ts';
import { gatewayByName, memberOf, port, service, workload } from './test-fixtures.ts';
import { resolveWaypointTarget } from './waypoint-target.ts';

const gateway = service('waypoint', undefined, { ports: [port(15_008)] });
const self = workload('waypoint-1', { addresses: ['10.0.0.9'], services: memberOf(gateway, port(15_008)) });
const bound = service('model', '10.1.0.1', { waypoint: gatewayByName(gateway) });
const canary = service('canary', '10.1.0.3', { weightedWaypoints: [{ destination: gatewayByName(gateway), weight: 5 }] });
const free = service('free', '10.1.0.2');
const pod = workload('pod', { addresses: ['10.0.0.1'], waypoint: gatewayByName(gateway) });

const meshOf = (): MeshRegistry => {
  const registry = new MeshRegistry();
  for (const one of [gateway, bound, canary, free]) registry.insertService(one);
  for (const one of [self, pod]) registry.insertWorkload(one);
  return registry;
};
const target = (host: string, toPort: number) => resolveWaypointTarget(meshOf(), self, '10.0.0.9', { host, port: toPort });

test('a service that asks for this waypoint is served, by address and by name', () => {
  expect(target('10.1.0.1', 80)).toEqual({ kind: 'service', service: bound, port: 80 });
  expect(target('model.default.svc.cluster.local', 80)).toEqual({ kind: 'service', service: bound, port: 80 });
});

test('a service of which this waypoint takes a share is served', () => {
  expect(target('10.1.0.3', 80)).toMatchObject({ kind: 'service', service: canary });
});

test('a workload that asks for this waypoint is served at its own port', () => {
  expect(target('10.0.0.1', 8080)).toEqual({ kind: 'workload', workload: pod, port: 8080 });
});

test('what did not ask for this waypoint is refused, whoever asks', () => {
  expect(target('10.1.0.2', 80)).toMatchObject({ kind: 'failure', reason: 'ip-mismatch', status: 400 });
  expect(target('free.default.svc.cluster.local', 80)).toMatchObject({ kind: 'failure', reason: 'unknown-hostname' });
  expect(target('192.0.2.1', 80)).toMatchObject({ kind: 'failure', reason: 'ip-mismatch' });
});

test('a port the service does not have is refused', () => {
  expect(target('10.1.0.1', 81)).toMatchObject({ kind: 'failure', reason: 'unresolvable-port', status: 503 });
  expect(target('model.default.svc.cluster.local', 81)).toMatchObject({ kind: 'failure', reason: 'unresolvable-port' });
});

test('another waypoint does not serve it', () => {
  const stranger = workload('other', { addresses: ['10.0.0.8'] });
  expect(resolveWaypointTarget(meshOf(), stranger, '10.0.0.8', { host: '10.1.0.1', port: 80 })).toMatchObject({
    kind: 'failure',
    reason: 'ip-mismatch',
  });
});
