import { describe, expect, test } from 'bun:test';
import { meshOf, service, virtualService } from './test-mesh.ts';
import type { IstioHttpMatch, IstioHttpRoute, VirtualServiceObject } from './virtual-service-object.ts';

const reviews = service('reviews');
const ROUTE = [{ destination: { host: 'reviews.default.svc.cluster.local' } }];
type Spec = NonNullable<VirtualServiceObject['spec']>;

const compile = (root: IstioHttpRoute, leaves: readonly IstioHttpRoute[], delegate: Spec = {}) =>
  meshOf({
    services: [reviews],
    virtualServices: [
      virtualService({ hosts: ['reviews'], http: [{ delegate: { name: 'team', namespace: 'shop' }, ...root }] }),
      virtualService({ http: leaves, ...delegate }, { name: 'team', namespace: 'shop' }),
    ],
  }).compiled[0]!;
const tableOf = (...args: Parameters<typeof compile>) => compile(...args).fragments[0]?.http;

describe('a delegate', () => {
  test('takes the place of the route, keeps its own fields and inherits the others', () => {
    const { rules, actions } = tableOf({ name: 'front', match: [{ uri: { prefix: '/shop' } }], timeout: '5s', retries: { attempts: 0 } }, [
      { name: 'cart', match: [{ uri: { exact: '/shop/cart' } }], route: ROUTE, timeout: '1s' },
      { route: ROUTE },
    ])!;
    expect(rules).toEqual([
      { match: { path: { kind: 'exact', value: '/shop/cart' } }, action: 0 },
      { match: { path: { kind: 'prefix', value: '/shop' } }, action: 1 },
    ]);
    const backends = [{ service: reviews.key, port: 8080, weight: 1 }];
    const retry = { attempts: 0, statuses: [], on: [] };
    expect(actions).toEqual([
      { name: 'VirtualService/default/reviews/front/cart', timeouts: { request: 1000 }, retry, backends },
      { name: 'VirtualService/default/reviews/front/1', timeouts: { request: 5000 }, retry, backends },
    ]);
  });

  const merges: [string, IstioHttpMatch, IstioHttpMatch, object | undefined][] = [
    ['a prefix inside a prefix', { uri: { prefix: '/a' } }, { uri: { prefix: '/a/b' } }, { path: { kind: 'prefix', value: '/a/b' } }],
    ['a prefix around a prefix', { uri: { prefix: '/a/b' } }, { uri: { prefix: '/a' } }, undefined],
    ['another exact path', { uri: { exact: '/a' } }, { uri: { exact: '/b' } }, undefined],
    ['patterns', { uri: { regex: '/a.*' } }, { uri: { exact: '/ab' } }, undefined],
    ['different ports', { port: 80 }, { port: 8080 }, undefined],
    ['different namespaces', { sourceNamespace: 'a' }, { sourceNamespace: 'b' }, undefined],
    ['different headers', { headers: { a: { exact: '1' } } }, { headers: { a: { exact: '2' } } }, undefined],
    ['a wider header', { headers: { a: { exact: '1' } } }, { headers: { a: {} } }, undefined],
    ['a wider header written as null', { headers: { a: { exact: '1' } } }, { headers: { a: null } }, undefined],
    [
      'conditions of both',
      { headers: { a: { exact: '1' } }, sourceNamespace: 'x', method: { exact: 'GET' } },
      { headers: { b: { exact: '2' } }, queryParams: { q: { exact: '3' } } },
      {
        method: { kind: 'exact', value: 'GET' },
        headers: [
          { name: 'a', condition: { kind: 'exact', value: '1' } },
          { name: 'b', condition: { kind: 'exact', value: '2' } },
        ],
        query: [{ name: 'q', condition: { kind: 'exact', value: '3' } }],
        sourceNamespace: 'x',
      },
    ],
    [
      'of two exclusions the wider',
      { withoutHeaders: { a: { prefix: 'v' } } },
      { withoutHeaders: { a: { exact: 'v1' } } },
      { headers: [{ name: 'a', condition: { kind: 'prefix', value: 'v' }, isInverted: true }] },
    ],
  ];
  test.each(merges)('matches of both must hold: %s', (_, root, leaf, expected) => {
    const { fragments, problems } = compile({ match: [root] }, [{ match: [leaf], route: ROUTE }]);
    expect(fragments[0]?.http?.rules.map(({ match }) => match)).toEqual(expected && [expected as never]);
    expect(problems.map(({ kind, path }) => [kind, path])).toEqual(
      expected === undefined ? [['unsupported', 'spec.http[0].delegate(shop/team).http[0].match']] : [],
    );
  });

  test('a match fits into any of several', () => {
    const root = { match: [{ uri: { prefix: '/a' } }, { method: { exact: 'GET' } }] };
    expect(tableOf(root, [{ match: [{ uri: { exact: '/b' } }], route: ROUTE }])!.rules.map(({ match }) => match)).toEqual([
      { path: { kind: 'exact', value: '/b' }, method: { kind: 'exact', value: 'GET' } },
    ]);
  });

  test('labels the root asks for are still asked for', () => {
    const { fragments, problems } = compile({ match: [{ sourceLabels: { a: 'b' } }] }, [{ route: ROUTE }]);
    expect([fragments, problems.map(({ kind }) => kind)]).toEqual([[], ['unsupported']]);
  });

  const unfit: [string, Spec][] = [
    ['with hosts', { hosts: ['reviews'] }],
    ['with gateways', { gateways: ['mesh'] }],
    ['with tcp routes', { tcp: [{ route: ROUTE }] }],
    ['that is not exported', { exportTo: ['.'] }],
  ];
  test.each(unfit)('%s is none: its route is left out and reported', (_, spec) => {
    const { problems, fragments } = compile({}, [{ route: ROUTE }], spec);
    expect([fragments, problems]).toMatchObject([[], [{ kind: 'unresolved', path: 'spec.http[0].delegate' }]] as object[]);
  });

  test('that does not exist leaves the other routes', () => {
    const spec = { hosts: ['reviews'], http: [{ delegate: { name: 'nobody' } }, { route: ROUTE }] };
    const { fragments, problems } = meshOf({ services: [reviews], virtualServices: [virtualService(spec)] }).compiled[0]!;
    expect(fragments[0]!.http!.actions.map(({ name }) => name)).toEqual(['VirtualService/default/reviews/1']);
    expect(problems).toMatchObject([{ kind: 'unresolved', path: 'spec.http[0].delegate' }]);
  });

  test('cannot delegate, nor stand beside an action', () => {
    expect(compile({}, [{ delegate: { name: 'more' } }])).toMatchObject({ isRefused: true });
    expect(compile({ route: ROUTE }, [{ route: ROUTE }])).toMatchObject({ isRefused: true });
  });

  test('what is invalid in it refuses the object that delegates, with its place', () => {
    expect(compile({}, [{ route: ROUTE, timeout: 'x' }]).problems).toMatchObject([
      { kind: 'invalid', path: 'spec.http[0].delegate(shop/team).http[0].timeout' },
    ]);
  });
});
