/** What the proxy of the source asks the egress rules about, for each kind of route. */
import { expect, test } from 'bun:test';
import type { Route } from '../route.ts';
import { registryOf, workload } from '../test-fixtures.ts';
import { decideRoute } from './egress.ts';
import type { NetworkFacts, NetworkRule } from './model.ts';

const facts = (groups: readonly string[], enforces = false): NetworkFacts => ({
  groups: new Set(groups),
  ports: new Map([['web', 8080]]),
  nodeAddresses: [],
  enforces,
});
const SOURCE = workload('source', { addresses: ['10.0.0.1'], networkPolicy: facts(['source']) });
const SERVER = workload('server', { addresses: ['10.0.0.2'], networkPolicy: facts(['server']) });
const GROUP = { kind: 'group', group: 'server', text: 'servers' } as const;

const allows = (route: Exclude<Route, { kind: 'failure' }>, rule: NetworkRule): boolean => {
  const registry = registryOf(SOURCE, SERVER, ...('destinationWorkload' in route ? [route.destinationWorkload] : []));
  registry.insertNetworkPolicy({ namespace: 'default', name: 'out', selects: 'source', selector: '*', egress: [rule] });
  return decideRoute(registry, route, SOURCE, '10.0.0.1').allowed;
};
const range = (first: number, last = first) => ({ kind: 'range', first, last }) as const;
const hbone = (over: object): Exclude<Route, { kind: 'failure' }> => ({
  kind: 'hbone',
  via: 'direct',
  target: { kind: 'ip', ip: '10.0.0.2', port: 15_008 },
  address: '10.0.0.2:15008',
  authority: '10.0.0.2:8080',
  acceptedIdentities: [],
  destinationWorkload: SERVER,
  ...over,
});

test('of a tunnel to a pod it is the port inside', () => {
  expect(allows(hbone({}), { peers: [GROUP], ports: [range(8080)] })).toBe(true);
  expect(allows(hbone({}), { peers: [GROUP], ports: [{ kind: 'name', name: 'web' }] })).toBe(true);
  expect(allows(hbone({}), { peers: [GROUP], ports: [range(15_008)] })).toBe(false);
  expect(
    allows(hbone({ authority: '[fd00::2]:8080', target: { kind: 'ip', ip: 'fd00::2', port: 15_008 } }), {
      peers: [GROUP],
      ports: [range(8080)],
    }),
  ).toBe(true);
});

test('a waypoint of ours is asked nothing: it asks itself, about the endpoint', () => {
  const ours = workload('waypoint', { addresses: ['10.0.0.3'], networkPolicy: facts([], true) });
  const route = hbone({
    via: 'service-waypoint',
    target: { kind: 'ip', ip: '10.0.0.3', port: 15_008 },
    destinationWorkload: ours,
    authority: '10.96.0.1:80',
  });
  expect(allows(route, { peers: [GROUP], ports: [range(8080)] })).toBe(true);
});

test('any other waypoint is a pod at port 15008', () => {
  const foreign = workload('waypoint', { addresses: ['10.0.0.3'] });
  const route = hbone({
    via: 'workload-waypoint',
    target: { kind: 'ip', ip: '10.0.0.3', port: 15_008 },
    destinationWorkload: foreign,
    authority: '10.96.0.1:80',
  });
  expect(allows(route, { peers: [GROUP], ports: [] })).toBe(false);
  const block = { kind: 'block', block: { cidr: { address: '10.0.0.3', length: 32 }, except: [] }, text: '' } as const;
  expect(allows(route, { peers: [block], ports: [range(15_008)] })).toBe(true);
  expect(allows(route, { peers: [block], ports: [range(80)] })).toBe(false);
});

test('plain connections are what they are', () => {
  const tcp: Exclude<Route, { kind: 'failure' }> = {
    kind: 'tcp',
    target: { kind: 'ip', ip: '10.0.0.2', port: 8080 },
    address: '10.0.0.2:8080',
    destinationWorkload: SERVER,
  };
  expect(allows(tcp, { peers: [GROUP], ports: [range(8080)] })).toBe(true);
  expect(allows(tcp, { peers: [GROUP], ports: [range(8081)] })).toBe(false);
  const outside: Exclude<Route, { kind: 'failure' }> = {
    kind: 'passthrough',
    target: { kind: 'ip', ip: '203.0.113.1', port: 443 },
    address: '203.0.113.1:443',
  };
  expect(allows(outside, { peers: [GROUP], ports: [] })).toBe(false);
  expect(allows(outside, { peers: [], ports: [range(443)] })).toBe(true);
});

test('asked again about an open connection, it is the destination as it is now', () => {
  const registry = registryOf(SOURCE, SERVER);
  registry.insertNetworkPolicy({
    namespace: 'default',
    name: 'out',
    selects: 'source',
    selector: '*',
    egress: [{ peers: [GROUP], ports: [] }],
  });
  const decide = () => decideRoute(registry, hbone({}), SOURCE, '10.0.0.1').allowed;
  expect(decide()).toBe(true);
  registry.insertWorkload({ ...SERVER, networkPolicy: facts(['other']) });
  expect(decide()).toBe(false);
  registry.insertWorkload(SERVER);
  expect(decide()).toBe(true);
  registry.removeWorkload(SERVER.uid);
  expect(decide()).toBe(false);
});
