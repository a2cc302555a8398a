/** Services by VIP, range and host name, held against a real ztunnel's cases (docs/conformance/ztunnel.md, family "state/service"). */
import { describe, expect, test } from 'bun:test';
import type { NetworkAddress, Service } from '../model.ts';
import type { MeshRegistry } from '../registry.ts';
import { registryOf, service } from '../test-fixtures.ts';

const vip = (text: string, network = ''): NetworkAddress => {
  const [address, length] = text.split('/') as [string, string?];
  return { network, address, ...(length !== undefined && { length: Number(length) }) };
};
const svc = (name: string, namespace: string, vips: readonly string[], over: Partial<Service> = {}): Service =>
  service(name, undefined, { namespace, vips: vips.map((text) => vip(text)), ...over });
/** `namespace/name` of what a client finds; without a namespace nothing is hidden from it. */
const at = (registry: MeshRegistry, ip: string, namespace?: string, network = ''): string | undefined => {
  const found = registry.serviceByAddress(network, ip, namespace);
  return found && `${found.namespace}/${found.name}`;
};

test('two services of one VIP: each namespace finds its own, and removing one leaves the other', () => {
  const registry = registryOf(svc('svc', 'ns-a', ['10.0.0.1', '10.0.0.2']), svc('svc', 'ns-b', ['10.0.0.1', '10.0.0.3']));
  expect(registry.servicesByVip('', '10.0.0.1')).toHaveLength(2);
  expect(at(registry, '10.0.0.1', 'ns-a')).toBe('ns-a/svc');
  expect(at(registry, '10.0.0.1', 'ns-b')).toBe('ns-b/svc');
  expect(at(registry, '10.0.0.2', 'ns-b')).toBe('ns-a/svc');
  expect(at(registry, '10.0.0.3', 'ns-a')).toBe('ns-b/svc');
  expect(at(registry, '10.0.0.1')).toBeDefined();
  registry.removeService('ns-a/svc.ns-a.svc.cluster.local');
  expect(registry.servicesByVip('', '10.0.0.1').map(({ namespace }) => namespace)).toEqual(['ns-b']);
  expect(at(registry, '10.0.0.2')).toBeUndefined();
  registry.removeService('ns-b/svc.ns-b.svc.cluster.local');
  expect([at(registry, '10.0.0.1'), at(registry, '10.0.0.3')]).toEqual([undefined, undefined]);
});

describe('visibility', () => {
  const hidden = { visibility: 'NAMESPACE' } as const;
  test('hides a VIP and a range from other namespaces, and from nobody who has none', () => {
    const registry = registryOf(svc('local', 'ns-a', ['10.0.0.1'], hidden), svc('range', 'ns-a', ['10.1.0.0/16'], hidden));
    for (const ip of ['10.0.0.1', '10.1.0.5'])
      expect([at(registry, ip, 'ns-a') !== undefined, at(registry, ip, 'ns-b'), at(registry, ip) !== undefined]).toEqual([
        true,
        undefined,
        true,
      ]);
  });
  test('a hidden exact VIP does not hide the range around it', () => {
    const registry = registryOf(svc('exact', 'ns-a', ['10.2.0.5'], hidden), svc('range', 'ns-b', ['10.2.0.0/16']));
    expect([at(registry, '10.2.0.5', 'ns-a'), at(registry, '10.2.0.5', 'ns-b')]).toEqual(['ns-a/exact', 'ns-b/range']);
  });
  test('hides a host name likewise, and a visible service of the same name is found', () => {
    const shared = { hostname: 'shared.example.com' };
    const registry = registryOf(
      svc('host', 'ns-a', [], hidden),
      svc('open', 'ns-a', []),
      svc('shared', 'ns-a', [], { ...hidden, ...shared }),
      svc('shared', 'ns-b', [], shared),
    );
    const named = (hostname: string, namespace?: string) => registry.serviceByHostname(hostname, namespace)?.namespace;
    const host = 'host.ns-a.svc.cluster.local';
    expect([named(host, 'ns-a'), named(host, 'ns-b'), named(host)]).toEqual(['ns-a', undefined, 'ns-a']);
    expect(named('open.ns-a.svc.cluster.local', 'ns-b')).toBe('ns-a');
    expect([named(shared.hostname, 'ns-c'), named(shared.hostname, 'ns-a')]).toEqual(['ns-b', 'ns-a']);
  });
});

describe('ranges', () => {
  test.each<[string, readonly string[], readonly string[], readonly string[]]>([
    ['of IPv4', ['10.0.0.0/24'], ['10.0.0.5', '10.0.0.255'], ['10.0.1.5', 'a00::5']],
    ['of IPv6', ['fd00::/112'], ['fd00::5', 'fd00::ffff'], ['fd00::1:0', 'fd01::5', '253.0.0.0']],
    ['of both', ['10.0.0.0/24', 'fd00::/112'], ['10.0.0.5', 'fd00::5'], ['10.0.1.5']],
    ['of IPv6 beside an IPv4 address', ['10.0.0.1', 'fd00::/112'], ['10.0.0.1', 'fd00::5'], ['10.0.0.2']],
  ])('%s hold what is inside and nothing else', (_title, vips, inside, outside) => {
    const registry = registryOf(svc('svc', 'ns', vips));
    for (const ip of inside) expect(at(registry, ip)).toBe('ns/svc');
    for (const ip of outside) expect(at(registry, ip)).toBeUndefined();
  });

  test.each([
    ['10.0.0.0/16', '10.0.0.0/24', '10.0.0.5', '10.0.1.5'],
    ['fd00::/48', 'fd00::/112', 'fd00::5', 'fd00::1:0'],
  ])('the longer of %s and %s wins where both hold', (wide, narrow, both, one) => {
    const registry = registryOf(svc('wide', 'ns', [wide]), svc('narrow', 'ns', [narrow]));
    expect([at(registry, both), at(registry, one)]).toEqual(['ns/narrow', 'ns/wide']);
  });

  test.each([
    ['10.0.0.0/24', '10.0.0.5', '10.0.0.6'],
    ['fd00::/112', 'fd00::5', 'fd00::6'],
  ])('an exact VIP comes before %s', (range, exact, beside) => {
    const registry = registryOf(svc('range', 'ns', [range]), svc('exact', 'ns', [exact]));
    expect([at(registry, exact), at(registry, beside)]).toEqual(['ns/exact', 'ns/range']);
  });

  test('belong to their network', () => {
    const registry = registryOf(svc('svc', 'ns', [], { vips: [vip('10.0.0.0/24', 'net-a')] }));
    expect([at(registry, '10.0.0.5', undefined, 'net-a'), at(registry, '10.0.0.5', undefined, 'net-b')]).toEqual(['ns/svc', undefined]);
  });

  test('that are the same in two namespaces are each namespace’s own, and go one by one', () => {
    const registry = registryOf(svc('svc', 'ns-a', ['10.0.0.0/24']), svc('svc', 'ns-b', ['10.0.0.0/24']));
    expect([at(registry, '10.0.0.5', 'ns-a'), at(registry, '10.0.0.5', 'ns-b')]).toEqual(['ns-a/svc', 'ns-b/svc']);
    registry.removeService('ns-a/svc.ns-a.svc.cluster.local');
    expect(at(registry, '10.0.0.5')).toBe('ns-b/svc');
    registry.removeService('ns-b/svc.ns-b.svc.cluster.local');
    expect(at(registry, '10.0.0.5')).toBeUndefined();
  });

  test('of the client’s namespace come before longer ones of others', () => {
    const registry = registryOf(svc('local', 'ns-local', ['10.0.0.0/16']), svc('global', 'istio-system', ['10.0.0.0/24']));
    expect(at(registry, '10.0.0.5', 'ns-local')).toBe('ns-local/local');
    expect(at(registry, '10.0.0.5', 'ns-other')).toBe('istio-system/global');
    expect(at(registry, '10.0.0.5')).toBe('istio-system/global');
    expect(at(registry, '10.0.1.5', 'ns-other')).toBe('ns-local/local');
  });
});
