import { describe, expect, test } from 'bun:test';
import type { NetworkAddress, Service } from '../model.ts';
import { memberOf, registryOf, seeded, service, workload } from '../test-fixtures.ts';
import { type AddressType, type NameOptions, resolveName } from './resolve-name.ts';

const OPTIONS: NameOptions = { clusterDomain: 'cluster.local', preferredNamespace: 'preferred-ns', ipv6: true };
const vip = (address: string, network = 'nw1'): NetworkAddress => ({ network, address });
const vips = (addresses: readonly string[]): NetworkAddress[] => addresses.map((address) => vip(address));
/** A service of Kubernetes in `ns1`. */
const own = (name: string, addresses: readonly string[], over: Partial<Service> = {}): Service =>
  service(name, undefined, { namespace: 'ns1', vips: vips(addresses), ...over });
/** A host of a ServiceEntry. */
const host = (hostname: string, addresses: readonly string[], over: Partial<Service> = {}): Service =>
  own(hostname, addresses, { hostname, ...over });

const headless = own('headless', []);
const external = host('headless.example.com', []);
const headlessV6 = own('headless-ipv6', [], { ipFamilies: 'IPV6_ONLY' });
const backing = (name: string, owner: Service, ...addresses: string[]) =>
  workload(name, { namespace: 'ns1', network: 'nw1', addresses, services: memberOf(owner) });
const client = workload('client', { namespace: 'ns1', network: 'nw1', addresses: ['10.0.0.1'] });

const mesh = [
  client,
  host('www.google.com', ['1.1.1.1']),
  own('productpage', ['9.9.9.9']),
  own('example', ['10.10.10.10'], { namespace: 'ns2' }),
  host('everywhere.io', ['10.10.10.110'], { namespace: 'ns2' }),
  host('preferred.io', ['10.10.10.210'], { namespace: 'ns2' }),
  host('everywhere.io', ['10.10.10.111'], { namespace: 'preferred-ns' }),
  host('preferred.io', ['10.10.10.211'], { namespace: 'preferred-ns' }),
  host('everywhere.io', ['10.10.10.112']),
  host('canonical.svc', ['10.10.10.140'], { namespace: 'ns2' }),
  host('canonical.svc', ['10.10.10.141'], { namespace: 'ns3', canonical: true }),
  host('canonical.with.local', ['10.10.10.150']),
  host('canonical.with.local', ['10.10.10.151'], { namespace: 'ns2', canonical: true }),
  host('details.ns2.svc.cluster.remote', ['11.11.11.11', '12.12.12.12', '13.13.13.13', '14.14.14.14'], { namespace: 'ns2' }),
  host('ipv4.localhost', ['2.2.2.2']),
  host('ipv6.localhost', ['2001:db8::ff00:42:8329']),
  host('dual.localhost', ['2.2.2.2', '2001:db8::ff00:42:8329']),
  host('*.wildcard', ['10.10.10.10']),
  host('*.b.wildcard', ['11.11.11.11']),
  host('*.svc.mesh.company.net', ['10.1.2.3']),
  own('nw2-only', [], { vips: [vip('20.20.20.20', 'nw2')] }),
  own('both-networks', [], { vips: [vip('21.21.21.21'), vip('22.22.22.22', 'nw2')] }),
  own('range', [], { vips: [{ network: 'nw1', address: '10.20.0.0', length: 16 }], hostname: 'range.example.com' }),
  own('hidden', ['10.10.10.99'], { namespace: 'ns2', visibility: 'NAMESPACE' }),
  own('seen', ['10.10.10.98'], { visibility: 'NAMESPACE' }),
  headless,
  external,
  host('headless-no-endpoints.example.com', []),
  headlessV6,
  backing('pod-0', headless, '30.30.30.30', '2001:db8::30'),
  backing('headless1', headless, '31.31.31.31', '2001:db8::31'),
  { ...backing('sick', headless, '39.39.39.39'), status: 'UNHEALTHY' as const },
  backing('headless-external', external, '32.32.32.32', '2001:db8::32'),
  backing('headless2', headlessV6, '33.33.33.33', '2001:db8::33'),
];
const registry = registryOf(...mesh);
const ask = (name: string, type: AddressType = 'A', options: Partial<NameOptions> = {}, from = client) => {
  const result = resolveName(registry, from, name, type, { ...OPTIONS, ...options }, seeded(1));
  return result.kind === 'forward' ? 'forward' : { alias: result.alias, addresses: [...result.addresses].sort() };
};
const found = (...addresses: string[]) => ({ alias: undefined, addresses });

describe('names and what they resolve to for a client of ns1', () => {
  test.each<[string, AddressType, ReturnType<typeof ask>]>([
    ['www.google.com', 'A', found('1.1.1.1')],
    ['www.google.com.', 'A', found('1.1.1.1')],
    ['www.google.com.ns1.svc.cluster.local.', 'A', { alias: 'www.google.com', addresses: ['1.1.1.1'] }],
    ['www.bing.com', 'A', 'forward'],
    ['productpage.ns1.svc.cluster.local.', 'A', found('9.9.9.9')],
    ['productpage.ns1.', 'A', found('9.9.9.9')],
    ['productpage.', 'A', found('9.9.9.9')],
    ['PRODUCTPAGE.ns1.svc.Cluster.Local', 'A', found('9.9.9.9')],
    ['productpage.ns1.ns1.svc.cluster.local.', 'A', { alias: 'productpage.ns1', addresses: ['9.9.9.9'] }],
    ['productpage.ns1.ns1.svc.cluster.local.', 'AAAA', found()],
    ['example.ns2.', 'A', found('10.10.10.10')],
    ['example.ns2.svc.cluster.local.', 'A', found('10.10.10.10')],
    ['example.ns2.svc.', 'A', found('10.10.10.10')],
    ['example.', 'A', 'forward'],
    ['details.ns2.svc.cluster.remote.', 'A', found('11.11.11.11', '12.12.12.12', '13.13.13.13', '14.14.14.14')],
    ['details.ns2.', 'A', 'forward'],
    ['dual.localhost.', 'A', found('2.2.2.2')],
    ['dual.localhost.', 'AAAA', found('2001:db8::ff00:42:8329')],
    ['ipv6.localhost.', 'A', found()],
    ['ipv4.localhost.', 'AAAA', found()],
    ['foo.wildcard.', 'A', found('10.10.10.10')],
    ['a.b.wildcard.', 'A', found('11.11.11.11')],
    ['wildcard.', 'A', 'forward'],
    ['foo.svc.mesh.company.net.', 'A', found('10.1.2.3')],
    ['foo.foons.svc.mesh.company.net.', 'A', found('10.1.2.3')],
    ['foo.svc.mesh.company.net.ns1.svc.cluster.local.', 'A', found('10.1.2.3')],
    ['nw2-only.ns1.svc.cluster.local.', 'A', found()],
    ['both-networks.ns1.svc.cluster.local.', 'A', found('21.21.21.21')],
    ['headless.ns1.svc.cluster.local.', 'A', found('30.30.30.30', '31.31.31.31')],
    ['headless.ns1.svc.cluster.local.', 'AAAA', found('2001:db8::30', '2001:db8::31')],
    ['headless-ipv6.ns1.svc.cluster.local.', 'AAAA', found('2001:db8::33')],
    ['headless-ipv6.ns1.svc.cluster.local.', 'A', found()],
    ['headless.pod0.ns1.svc.cluster.local.', 'A', 'forward'],
    ['headless.pod0.ns1.', 'A', 'forward'],
    ['headless-no-endpoints.example.com', 'A', 'forward'],
    ['headless.example.com', 'A', 'forward'],
    ['range.example.com', 'A', 'forward'],
    ['preferred.io.', 'A', found('10.10.10.211')],
    ['everywhere.io.', 'A', found('10.10.10.112')],
    ['canonical.svc', 'A', found('10.10.10.141')],
    ['canonical.with.local', 'A', found('10.10.10.150')],
    ['hidden.ns2.svc.cluster.local', 'A', 'forward'],
    ['seen.ns1.svc.cluster.local', 'A', found('10.10.10.98')],
    ['.', 'A', 'forward'],
    ['', 'A', 'forward'],
  ])('%s %s', (name, type, expected) => {
    expect(ask(name, type)).toEqual(expected);
  });
});

test('a client of another namespace and network gets what it sees and reaches', () => {
  const other = workload('other', { namespace: 'ns2', network: 'nw2' });
  expect(ask('hidden.ns2.svc.cluster.local', 'A', {}, { ...other, network: 'nw1' })).toEqual(found('10.10.10.99'));
  expect(ask('both-networks.ns1', 'A', {}, other)).toEqual(found('22.22.22.22'));
  expect(ask('everywhere.io', 'A', {}, { ...other, network: 'nw1' })).toEqual(found('10.10.10.110'));
  expect(ask('productpage', 'A', {}, other)).toBe('forward');
});

test('without IPv6 there are no AAAA records, whatever a service has', () => {
  expect(ask('dual.localhost', 'AAAA', { ipv6: false })).toEqual(found());
  expect(ask('dual.localhost', 'A', { ipv6: false })).toEqual(found('2.2.2.2'));
});

test('a headless service that publishes what is not ready answers with it', () => {
  const all = own('all', [], { loadBalancing: { routingPreference: [], mode: 'UNSPECIFIED', healthPolicy: 'ALLOW_ALL' } });
  const sick = { ...backing('s', all, '10.0.0.7'), status: 'UNHEALTHY' as const };
  const result = resolveName(registryOf(all, sick), client, 'all', 'A', OPTIONS, seeded(1));
  expect(result).toMatchObject({ kind: 'found', addresses: ['10.0.0.7'] });
});

test('the addresses come in every order', () => {
  const random = seeded(3);
  const firsts = new Map<string, number>();
  for (let i = 0; i < 400; i++) {
    const result = resolveName(registry, client, 'details.ns2.svc.cluster.remote', 'A', OPTIONS, random);
    const first = result.kind === 'found' ? result.addresses[0]! : '';
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  expect(firsts.size).toBe(4);
  for (const count of firsts.values()) expect(count).toBeGreaterThan(60);
});

test('a search list of its own is stripped instead of that of Kubernetes', () => {
  expect(ask('www.google.com.corp.example', 'A', { search: ['corp.example'] })).toEqual({
    alias: 'www.google.com',
    addresses: ['1.1.1.1'],
  });
  expect(ask('www.google.com.ns1.svc.cluster.local', 'A', { search: ['corp.example'] })).toBe('forward');
});
