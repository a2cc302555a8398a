import { describe, expect, test } from 'bun:test';
import { type MeshParts, meshOf, service, virtualService } from './test-mesh.ts';
import type { VirtualServiceObject } from './virtual-service-object.ts';

type Spec = NonNullable<VirtualServiceObject['spec']>;

const reviews = service('reviews');
const HTTP: Spec['http'] = [{ route: [{ destination: { host: 'reviews' } }] }];
const compile = (spec: Spec, services: MeshParts['services'] = [reviews], metadata: VirtualServiceObject['metadata'] = {}) =>
  meshOf({ services, virtualServices: [virtualService(spec, metadata)] }).compiled[0]!;
const targets = (...args: Parameters<typeof compile>) => compile(...args).fragments.map(({ service: key, port }) => `${key}:${port}`);

describe('which services a VirtualService is about', () => {
  const other = service('other', { ports: [90, 80] });
  const elsewhere = service('reviews', { namespace: 'shop' });
  test.each([
    ['a short name is of its own namespace', ['reviews'], [reviews.key]],
    ['a full name', ['reviews.default.svc.cluster.local'], [reviews.key]],
    ['case does not matter', ['Reviews'], [reviews.key]],
    ['a wildcard', ['*.default.svc.cluster.local'], [other.key, reviews.key]],
    ['everything', ['*'], [other.key, reviews.key]],
    ['a service of another namespace is not its to route', ['reviews', 'reviews.shop.svc.cluster.local'], [reviews.key]],
  ])('%s', (_, hosts, expected) => {
    const { fragments } = compile({ hosts, http: HTTP }, [reviews, other, elsewhere]);
    expect([...new Set(fragments.map((fragment) => fragment.service))]).toEqual(expected);
  });

  test('every port, in order', () => {
    expect(targets({ hosts: ['other'], http: HTTP }, [other, reviews])).toEqual([`${other.key}:80`, `${other.key}:90`]);
  });

  test('a host of a ServiceEntry', () => {
    const external = service('', { hostname: 'api.example.com', ports: [443] });
    expect(targets({ hosts: ['api.example.com'], http: HTTP }, [external, reviews])).toEqual(['default/api.example.com:443']);
  });

  test("a waypoint honours those of its own namespace and of the service's, as far as they are exported to it", () => {
    const far = service('reviews', { waypointNamespace: 'infra' });
    const from = (namespace: string, exportTo?: string[]) =>
      compile({ hosts: [far.hostname], http: HTTP, ...(exportTo && { exportTo }) }, [far], { namespace });
    const seen = (...args: Parameters<typeof from>) => from(...args).fragments.length;
    expect([seen('default'), seen('infra'), seen('shop')]).toEqual([1, 1, 0]);
    expect([seen('default', ['*']), seen('default', ['infra']), seen('infra', ['.'])]).toEqual([1, 1, 1]);
    expect([seen('default', ['.']), seen('default', ['shop']), seen('default', ['~'])]).toEqual([0, 0, 0]);
    expect(from('shop').condition).toMatchObject({ status: 'False', reason: 'NamespaceNotAllowed' });
    expect(from('default', ['.']).condition).toMatchObject({ status: 'False', reason: 'NotExported' });
  });

  test('without any service it says why', () => {
    const plain = service('plain', { waypointNamespace: undefined });
    expect(compile({ hosts: ['nobody'], http: HTTP }).condition).toMatchObject({ status: 'False', reason: 'NoMatchingService' });
    expect(compile({ hosts: ['plain'], http: HTTP }, [plain, reviews]).condition).toMatchObject({ status: 'False', reason: 'NoWaypoint' });
  });

  test('a host without a service is a problem beside others that have one', () => {
    const { condition, fragments, problems } = compile({ hosts: ['reviews', 'nobody'], http: HTTP });
    expect(problems).toMatchObject([{ kind: 'unresolved', path: 'spec.hosts[1]' }]);
    expect([fragments.length, condition!.status]).toEqual([1, 'True']);
  });

  test('names what it depends on', () => {
    const spec: Spec = {
      hosts: ['reviews'],
      http: [{ route: [{ destination: { host: 'b.a.svc.cluster.local' } }] }, { delegate: { name: 'd' } }],
    };
    expect(compile(spec).dependsOn).toEqual({
      hosts: ['b.a.svc.cluster.local', 'reviews.default.svc.cluster.local'],
      virtualServices: ['default/d'],
    });
  });
});

describe('gateways', () => {
  test.each([
    ['none named', {}, 1],
    ['mesh', { gateways: ['mesh', 'ingress'] }, 1],
    ['others only', { gateways: ['ingress'] }, 0],
    ['a match of its own that names mesh', { gateways: ['ingress'], http: [{ ...HTTP[0]!, match: [{ gateways: ['mesh'] }] }] }, 1],
  ] as [string, Partial<Spec>, number][])('%s', (_, spec, count) => {
    expect(compile({ hosts: ['reviews'], http: HTTP, ...spec }).fragments).toHaveLength(count);
  });

  test('what is not for waypoints has no status', () => {
    expect(compile({ hosts: ['reviews'], http: HTTP, gateways: ['ingress'] }).condition).toBeUndefined();
    expect(compile({ http: HTTP }).condition).toBeUndefined();
  });

  test('an empty one is invalid', () => {
    expect(compile({ hosts: ['reviews'] })).toMatchObject({ isRefused: true, condition: { status: 'False', reason: 'Invalid' } });
  });
});

describe('TCP and TLS', () => {
  const database = service('database', { ports: [5432, 443], addresses: ['10.0.0.7', 'fd00::7'] });
  const route = [{ destination: { host: 'database' } }];
  const backend = (port: number) => ({ service: database.key, port, weight: 1 });
  const at = (spec: Partial<Spec>, port = 5432) => {
    const compiled = compile({ hosts: ['database'], ...spec }, [database]);
    return { ...compiled, fragment: compiled.fragments.find((fragment) => fragment.port === port) };
  };
  const NAME = 'VirtualService/default/reviews';

  test('a TCP route without a match takes every connection of every port', () => {
    expect(at({ tcp: [{ route }] }).fragment!.tcp).toEqual([{ name: `${NAME}/tcp/0`, backends: [backend(5432)] }]);
    expect(at({ tcp: [{ route }] }, 443).fragment!.tcp).toEqual([{ name: `${NAME}/tcp/0`, backends: [backend(443)] }]);
  });

  test('TCP by port, by namespace of the client, and by weight', () => {
    const tcp = [
      {
        match: [{ port: 5432, sourceNamespace: 'shop' }],
        route: [
          { ...route[0]!, weight: 3 },
          { ...route[0]!, weight: 1 },
        ],
      },
    ];
    expect(at({ tcp }).fragment!.tcp).toEqual([
      { name: `${NAME}/tcp/0`, sourceNamespace: 'shop', backends: [{ ...backend(5432), weight: 3 }, backend(5432)] },
    ]);
    expect(at({ tcp }, 443).fragment).toBeUndefined();
  });

  test("addresses of the destination are the service's own, known beforehand", () => {
    const holds = (...destinationSubnets: string[]) => {
      const { fragment, problems } = at({ tcp: [{ match: [{ destinationSubnets }], route }] });
      return [fragment !== undefined, problems.length];
    };
    expect(holds('10.0.0.0/8', 'fd00::/16')).toEqual([true, 0]);
    expect(holds('11.0.0.0/8')).toEqual([false, 0]);
    expect(holds('10.0.0.7')).toEqual([false, 1]);
    expect(at({ tcp: [{ match: [{ destinationSubnets: ['x'] }], route }] })).toMatchObject({ isRefused: true });
  });

  test('what cannot be known of a client holds for none, and is reported', () => {
    for (const match of [{ sourceLabels: { a: 'b' } }, { sourceSubnet: '10.0.0.0/8' }]) {
      const { fragment, problems } = at({ tcp: [{ match: [match], route }] });
      expect([fragment, problems]).toMatchObject([undefined, [{ kind: 'unsupported' }]] as object[]);
    }
  });

  test('TLS by server name; * is any', () => {
    const tls = [
      { match: [{ sniHosts: ['A.example.com', '*.b.com'], port: 443 }], route },
      { match: [{ sniHosts: ['*'], sourceNamespace: 'shop' }], route },
    ];
    expect(at({ tls }, 443).fragment!.tls).toEqual([
      { name: `${NAME}/tls/0`, sniHosts: ['a.example.com', '*.b.com'], backends: [backend(443)] },
      { name: `${NAME}/tls/1`, sniHosts: [], sourceNamespace: 'shop', backends: [backend(443)] },
    ]);
    expect(at({ tls }).fragment!.tls).toHaveLength(1);
  });

  test.each([
    ['a route to nowhere', { tcp: [{ route: [] }] }, 'spec.tcp[0].route'],
    ['TLS without a match', { tls: [{ match: [], route }] }, 'spec.tls[0].match'],
    ['TLS without server names', { tls: [{ match: [{ sniHosts: [] }], route }] }, 'spec.tls[0].match[0].sniHosts'],
  ] as [string, Partial<Spec>, string][])('%s is invalid', (_, spec, path) => {
    expect(at(spec)).toMatchObject({ isRefused: true, problems: [{ kind: 'invalid', path }] });
  });
});
