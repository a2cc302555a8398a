import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { decodeServicePlan, encodeServicePlan } from '../plan-codec.ts';
import { describeRoute } from './compiled-route.ts';
import { mergeRoutes } from './merge-routes.ts';
import type { GrpcRouteMatch, HttpRouteMatch } from './objects.ts';
import { CONSUMER, compile, http, NAMESPACE, parent, ref, serviceKey } from './test-routes.ts';

const ECHO = serviceKey('echo');
const EARLY = '2026-01-01T00:00:00Z';
const LATE = '2026-01-02T00:00:00Z';
const backendRefs = [ref('echo-v1')];
const anyPort = { parents: [parent('echo')] };

/** `namespace/name/rule` of each rule in the order of the table. */
const order = (routes: Parameters<typeof mergeRoutes>[1], port = 80): string[] | undefined => {
  const http = mergeRoutes(ECHO, routes).ports.find((entry) => entry.port === port)?.http;
  return http?.rules.map(({ action }) => http.actions[action]?.name.split('/').slice(2).join('/') ?? '?');
};

describe('precedence of HTTP matches', () => {
  const field = (name: string) => ({ name, value: '1' });
  // Each goes before the next.
  const ladder: readonly HttpRouteMatch[] = [
    { path: { type: 'Exact', value: '/longer' } },
    { path: { type: 'Exact', value: '/a' }, method: 'GET', headers: [field('a')] },
    { path: { type: 'Exact', value: '/a' } },
    { path: { value: '/a/b' } },
    { path: { value: '/b' }, method: 'GET' },
    { path: { value: '/b' }, headers: [field('a'), field('b')] },
    { path: { value: '/b' }, headers: [field('a')], queryParams: [field('a'), field('b')] },
    { path: { value: '/b' }, headers: [field('a')], queryParams: [field('a')] },
    { path: { value: '/b' }, headers: [field('a')] },
    { path: { value: '/b' }, queryParams: [field('a'), field('b'), field('c')] },
    { path: { value: '/b' } },
    { method: 'GET' },
    { headers: [field('host'), field('a')] },
    {},
    { path: { type: 'RegularExpression', value: '/ab.*' }, method: 'GET' },
    { path: { type: 'RegularExpression', value: '/a.*' }, method: 'GET' },
    { path: { type: 'RegularExpression', value: '/a.*' } },
  ];

  test('is that of the specification, whatever the order of writing', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(
          ladder.map((_, i) => i),
          { minLength: ladder.length },
        ),
        fc.boolean(),
        (shuffled, isOneRoute) => {
          const rules = shuffled.map((i) => ({ name: `m${i}`, matches: [ladder[i]!], backendRefs }));
          const routes = isOneRoute ? [http(rules)] : rules.map((rule, i) => http([rule], { name: `route-${i}` }));
          expect(order(routes)?.map((name) => name.split('/').at(-1))).toEqual(ladder.map((_, i) => `m${i}`));
        },
      ),
    );
  });

  test('gives the older route the tie, then the first by namespace and name, then the first rule and match', () => {
    const header = (name: string): HttpRouteMatch => ({ headers: [field(name)] });
    const rule = (...names: string[]) => ({ matches: names.map(header), backendRefs });
    const routes = [
      http([rule('e')], { name: 'late-a', created: LATE }),
      http([rule('c', 'd')], { name: 'b' }),
      http([rule('a'), rule('b')], { name: 'a' }),
    ];
    const rules = mergeRoutes(ECHO, routes).ports[0]?.http?.rules.map(({ match }) => match.headers?.[0]?.name);
    expect(rules).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('keeps the first of equal matches only, and no action that is not reached', () => {
    const match = { path: { value: '/a' }, headers: [field('x'), field('Y')] };
    const same = { path: { value: '/a/' }, headers: [field('y'), field('X')] };
    const routes = [
      http([{ matches: [same], backendRefs }], { name: 'late', created: LATE }),
      http([{ matches: [match, same], backendRefs }], { name: 'early', created: EARLY }),
    ];
    const { ports } = mergeRoutes(ECHO, routes);
    expect(ports[0]?.http?.rules).toHaveLength(1);
    expect(ports[0]?.http?.actions.map(({ name }) => name)).toEqual([`HTTPRoute/${NAMESPACE}/early/0`]);
  });

  test('shares the action of a rule between its matches', () => {
    const { ports } = mergeRoutes(ECHO, [http([{ matches: [{ path: { value: '/a' } }, { path: { value: '/b' } }], backendRefs }])]);
    expect(ports[0]?.http?.rules.map(({ action }) => action)).toEqual([0, 0]);
    expect(ports[0]?.http?.actions).toHaveLength(1);
  });
});

test('gRPC matches go by the length of the service, then of the method, then by headers; expressions after exact ones', () => {
  const ladder: readonly GrpcRouteMatch[] = [
    { method: { service: 'a.Longer' } },
    { method: { service: 'a.B', method: 'Long' } },
    { method: { service: 'a.B', method: 'C' }, headers: [{ name: 'a', value: '1' }] },
    { method: { service: 'a.B', method: 'C' } },
    { method: { service: 'a.B' } },
    { method: { method: 'C' } },
    { method: { type: 'RegularExpression', service: 'a.*' } },
    { headers: [{ name: 'a', value: '1' }] },
    {},
  ];
  const rules = ladder.map((match, i) => ({ name: `m${i}`, matches: [match] })).reverse();
  const names = order([compile('GRPCRoute', rules)])?.map((name) => name.split('/').at(-1));
  expect(names).toEqual(ladder.map((_, i) => `m${i}`));
});

describe('ports', () => {
  test('a route without a port is merged into each port that has a route of its own', () => {
    const all = http([{ backendRefs }], { ...anyPort, name: 'all' });
    const one = http([{ matches: [{ path: { value: '/a' } }], backendRefs }], { name: 'one' });
    expect(mergeRoutes(ECHO, [all, one]).ports.map(({ port }) => port)).toEqual([0, 80]);
    expect(order([all, one], 80)).toEqual(['one/0', 'all/0']);
    expect(order([all, one], 0)).toEqual(['all/0']);
  });

  test('a route that names a service twice counts once', () => {
    const twice = http([{ backendRefs }], { parents: [parent('echo', { port: 80 }), parent('echo', { sectionName: 'http' })] });
    expect(order([twice])).toEqual(['route/0']);
  });

  test('a service without routes has no entries', () => {
    expect(mergeRoutes(serviceKey('echo-v1'), [http([{ backendRefs }])])).toEqual({ ports: [], conflicts: [] });
  });

  test('a route that matches nothing leaves the port without service, not without a plan', () => {
    const { ports } = mergeRoutes(ECHO, [compile('GRPCRoute', [])]);
    expect(ports).toEqual([{ port: 80, http: { rules: [], actions: [] } }]);
  });
});

describe('routes of several kinds on a port', () => {
  const grpc = compile('GRPCRoute', [{ backendRefs }], { name: 'grpc', created: LATE, parents: [parent('echo', { port: 7070 })] });

  test('the more specific kind has it, however young, and the others are in conflict', () => {
    const web = http([{ backendRefs }], { ...anyPort, name: 'web', created: EARLY });
    const tcp = compile('TCPRoute', [{ backendRefs }], { ...anyPort, name: 'tcp' });
    const { ports, conflicts } = mergeRoutes(ECHO, [tcp, web, grpc]);
    expect(ports.map(({ port, http, tcp }) => [port, http?.actions.map(({ name }) => name.split('/')[0]), tcp])).toEqual([
      [0, ['HTTPRoute'], undefined],
      [7070, ['GRPCRoute'], undefined],
    ]);
    expect(conflicts.map(({ port, winner, loser }) => [port, describeRoute(winner), describeRoute(loser)])).toEqual([
      [0, `HTTPRoute ${NAMESPACE}/web`, `TCPRoute ${NAMESPACE}/tcp`],
      [7070, `GRPCRoute ${NAMESPACE}/grpc`, `TCPRoute ${NAMESPACE}/tcp`],
      [7070, `GRPCRoute ${NAMESPACE}/grpc`, `HTTPRoute ${NAMESPACE}/web`],
    ]);
  });

  test('of two TCPRoutes the older has the port', () => {
    const young = compile('TCPRoute', [{ backendRefs }], { name: 'a', created: LATE });
    const old = compile('TCPRoute', [{ backendRefs }], { name: 'b', created: EARLY });
    const { ports, conflicts } = mergeRoutes(ECHO, [young, old]);
    expect(ports[0]?.tcp?.map(({ name }) => name)).toEqual([`TCPRoute/${NAMESPACE}/b/0`]);
    expect(conflicts.map(({ winner, loser }) => [winner.name, loser.name])).toEqual([['b', 'a']]);
  });
});

describe('consumer routes', () => {
  const consumer = (kind: 'HTTPRoute' | 'TCPRoute' | 'TLSRoute', options: object = {}) =>
    compile(kind, [{ backendRefs: [ref('echo-v1', 8080, { namespace: NAMESPACE })] }], {
      name: 'consumer',
      namespace: CONSUMER,
      parents: [parent('echo', { namespace: NAMESPACE })],
      ...options,
    });
  const producer = http([{ backendRefs: [ref('echo-v2')] }], { ...anyPort, name: 'producer' });

  test('stand beside those of the producer, and merge among themselves only', () => {
    const { ports, conflicts } = mergeRoutes(ECHO, [producer, consumer('HTTPRoute')]);
    expect(ports[0]?.http?.actions.map(({ name }) => name)).toEqual([`HTTPRoute/${NAMESPACE}/producer/0`]);
    expect(ports[0]?.consumers?.map(({ namespace, http }) => [namespace, http.actions.map(({ name }) => name)])).toEqual([
      [CONSUMER, [`HTTPRoute/${CONSUMER}/consumer/0`]],
    ]);
    expect(conflicts).toEqual([]);
  });

  test('of TCP come before the producer’s and take recognised HTTP and TLS of their clients, too', () => {
    const tls = compile('TLSRoute', [{ backendRefs }], { ...anyPort, hostnames: ['a.com'] });
    const { ports } = mergeRoutes(ECHO, [tls, consumer('TCPRoute')]);
    expect(ports[0]?.tls?.map(({ sniHosts, sourceNamespace }) => [sniHosts, sourceNamespace])).toEqual([
      [[], CONSUMER],
      [['a.com'], undefined],
    ]);
    expect(ports[0]?.tcp?.map(({ sourceNamespace }) => sourceNamespace)).toEqual([CONSUMER]);
    expect(ports[0]?.consumers?.map(({ namespace }) => namespace)).toEqual([CONSUMER]);
    expect(ports[0]?.http).toBeUndefined();
  });

  test('of TLS are for their clients', () => {
    const { ports } = mergeRoutes(ECHO, [consumer('TLSRoute', { hostnames: ['a.com'] })]);
    expect(ports[0]?.tls?.map(({ sourceNamespace }) => sourceNamespace)).toEqual([CONSUMER]);
    expect(ports[0]?.consumers).toBeUndefined();
  });
});

test('a merged plan is one that a waypoint takes', () => {
  const filters = [
    { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }] } },
    { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } },
    { type: 'RequestMirror', requestMirror: { backendRef: ref('nobody') } },
    { type: 'CORS', cors: { allowOrigins: ['*'] } },
  ];
  const routes = [
    http([
      {
        matches: [{ path: { value: '/a' }, method: 'GET', queryParams: [{ name: 'q', value: 'v' }] }],
        filters,
        backendRefs,
        retry: {},
        timeouts: { request: '1s' },
        sessionPersistence: {},
      },
    ]),
    compile('TLSRoute', [{ backendRefs }], { parents: [parent('echo', { port: 443 })], hostnames: ['a.com'] }),
    compile('TCPRoute', [{ backendRefs: [ref('nobody')] }], { parents: [parent('echo', { port: 9090 })] }),
  ];
  const plan = { service: ECHO, ports: mergeRoutes(ECHO, routes).ports };
  expect(decodeServicePlan(encodeServicePlan(plan))).toEqual({ ok: true, value: plan });
});
