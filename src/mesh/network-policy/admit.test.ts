/** For whom a waypoint may speak, and what a certificate says about the source. */
import { expect, test } from 'bun:test';
import type { Workload } from '../model.ts';
import { MeshRegistry } from '../registry.ts';
import { gatewayByAddress, gatewayByName, memberOf, port, service, workload } from '../test-fixtures.ts';
import { admitNetwork, networkSource } from './admit.ts';
import type { NetworkFacts } from './model.ts';

const facts = (groups: readonly string[], enforces = false): NetworkFacts => ({
  groups: new Set(groups),
  ports: new Map(),
  nodeAddresses: [],
  enforces,
});
const backend = service('backend', '10.96.0.1', { waypoint: gatewayByAddress('10.0.0.9') });
const SERVER = workload('server', {
  addresses: ['10.0.0.1'],
  networkPolicy: facts(['servers']),
  services: memberOf(backend, port(80, 8080)),
});
const WAYPOINT = workload('waypoint', { addresses: ['10.0.0.9'], serviceAccount: 'waypoint', networkPolicy: facts([], true) });
const CLIENT = workload('client', { addresses: ['10.0.0.2'], serviceAccount: 'client', networkPolicy: facts(['clients']) });

function meshOf(...workloads: readonly Workload[]): MeshRegistry {
  const registry = new MeshRegistry();
  for (const one of workloads) registry.insertWorkload(one);
  registry.insertService(backend);
  registry.insertNetworkPolicy({
    namespace: 'default',
    name: 'servers',
    selects: 'servers',
    selector: 'app=server',
    ingress: [{ peers: [{ kind: 'group', group: 'clients', text: 'clients' }], ports: [] }],
  });
  return registry;
}
const identityOf = ({ trustDomain, namespace, serviceAccount }: Workload) => ({ trustDomain, namespace, serviceAccount });

function reaches(registry: MeshRegistry, from: Workload, options: { readonly plain?: boolean; readonly to?: Workload } = {}): boolean {
  const [sourceIp = ''] = from.addresses;
  const identity = options.plain === true ? undefined : identityOf(from);
  const arrival = { sourceIp, identity, destinationIp: '10.0.0.1', port: 8080 };
  return admitNetwork(registry, networkSource(registry, '', sourceIp, identity), options.to ?? SERVER, arrival).allowed;
}

test('the waypoint of a service speaks for whomever it let through', () => {
  expect(reaches(meshOf(SERVER, CLIENT, WAYPOINT), WAYPOINT)).toBe(true);
});

test('so does the waypoint of the workload itself, found by name', () => {
  const gateway = service('waypoint', '10.96.0.9');
  const own = { ...SERVER, services: new Map(), waypoint: gatewayByName(gateway) };
  const registry = meshOf(own, CLIENT, { ...WAYPOINT, services: memberOf(gateway, port(15_008)) });
  registry.insertService(gateway);
  expect(reaches(registry, WAYPOINT, { to: own })).toBe(true);
});

test('a waypoint that does not evaluate NetworkPolicies is an ordinary pod', () => {
  const foreign = { ...WAYPOINT, networkPolicy: facts([]) };
  expect(reaches(meshOf(SERVER, CLIENT, foreign), foreign)).toBe(false);
  const { networkPolicy: _, ...unknown } = WAYPOINT;
  expect(reaches(meshOf(SERVER, CLIENT, unknown), unknown)).toBe(false);
});

test('a waypoint that does not stand before the destination is an ordinary pod', () => {
  const other = { ...WAYPOINT, uid: 'Kubernetes//Pod/default/other', name: 'other', addresses: ['10.0.0.8'] };
  expect(reaches(meshOf(SERVER, CLIENT, WAYPOINT, other), other)).toBe(false);
});

test('plain text from the address of the waypoint speaks for nobody', () => {
  expect(reaches(meshOf(SERVER, CLIENT, WAYPOINT), WAYPOINT, { plain: true })).toBe(false);
});

test('an address with the certificate of another pod is no pod: its former owner has gone', () => {
  const registry = meshOf(SERVER, CLIENT);
  expect(reaches(registry, CLIENT)).toBe(true);
  expect(networkSource(registry, '', '10.0.0.2', { ...identityOf(CLIENT), serviceAccount: 'newcomer' })).toBeUndefined();
  expect(reaches(registry, { ...CLIENT, serviceAccount: 'newcomer' })).toBe(false);
  // Without a certificate the address is all there is.
  expect(reaches(registry, CLIENT, { plain: true })).toBe(true);
});
