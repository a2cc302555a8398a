import { expect, test } from 'bun:test';
import {
  type GrpcRoute,
  GrpcRouteKind,
  type HttpRoute,
  HttpRouteKind,
  type HttpRouteRule,
  type Kind,
  type TcpRoute,
  TcpRouteKind,
  type TlsRoute,
  TlsRouteKind,
} from './index.ts';
import type { KubeObject } from './meta.ts';

/** The fields that are wrong once defaults are filled in, as the server does it. */
function wrongFields<T extends KubeObject>(kind: Kind<T>, object: T): string[] {
  const filled = structuredClone(object);
  kind.applyDefaults(filled);
  return kind.validate(filled).map((problem) => problem.field);
}
const httpRoute = (rule: HttpRouteRule, more: Partial<HttpRoute['spec']> = {}): HttpRoute => ({
  metadata: { name: 'r' },
  spec: { rules: [rule], ...more },
});
const backend = { name: 'echo', port: 80 };
const onPath = (type: string, value: string): HttpRouteRule => ({ matches: [{ path: { type, value } }] });
const redirect = { type: 'RequestRedirect', requestRedirect: { scheme: 'https' } };
const prefixRewrite = { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v1' } } };
const headers = { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }] } };

test('an empty HTTPRoute matches every path, and its references have the default kinds', () => {
  const route: HttpRoute = { metadata: { name: 'r' }, spec: { parentRefs: [{ name: 'gw' }] } };
  HttpRouteKind.applyDefaults(route);
  expect(route.spec).toEqual({
    parentRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'gw' }],
    rules: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }] }],
  });
  const withBackend = httpRoute({ backendRefs: [backend], matches: [{ headers: [{ name: 'x', value: 'y' }] }] });
  HttpRouteKind.applyDefaults(withBackend);
  expect(withBackend.spec.rules?.[0]).toEqual({
    backendRefs: [{ group: '', kind: 'Service', name: 'echo', port: 80, weight: 1 }],
    matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [{ type: 'Exact', name: 'x', value: 'y' }] }],
  });
  const once = structuredClone(withBackend);
  HttpRouteKind.applyDefaults(withBackend);
  expect(withBackend).toEqual(once);
});

const RULE = 'spec.rules[0]';
test.each<[string, HttpRouteRule, string[]]>([
  ['a plain backend', { backendRefs: [backend] }, []],
  ['a Service without a port', { backendRefs: [{ name: 'echo' }] }, [`${RULE}.backendRefs[0]`]],
  ['another kind without a port', { backendRefs: [{ name: 'pool', group: 'inference.networking.k8s.io', kind: 'InferencePool' }] }, []],
  ['a path in normal form', onPath('PathPrefix', '/a/b%20c'), []],
  ['a relative path', onPath('Exact', 'a'), [`${RULE}.matches[0].path`]],
  ['an empty segment', onPath('PathPrefix', '/a//b'), [`${RULE}.matches[0].path`]],
  ['a dot segment', onPath('PathPrefix', '/a/../b'), [`${RULE}.matches[0].path`]],
  ['a final dot segment', onPath('PathPrefix', '/a/..'), [`${RULE}.matches[0].path`]],
  ['an escaped slash', onPath('Exact', '/a%2Fb'), [`${RULE}.matches[0].path`]],
  ['a space', onPath('Exact', '/a b'), [`${RULE}.matches[0].path`]],
  ['a regular expression, which may be anything', onPath('RegularExpression', 'a//[^#]+'), []],
  ['a redirect beside backends', { filters: [redirect], backendRefs: [backend] }, [RULE]],
  ['a redirect', { filters: [redirect] }, []],
  ['a filter twice', { filters: [headers, headers] }, [`${RULE}.filters`]],
  ['two mirrors', { filters: Array(2).fill({ type: 'RequestMirror', requestMirror: { backendRef: backend } }) }, []],
  ['a redirect with a rewrite', { filters: [redirect, { type: 'URLRewrite', urlRewrite: { hostname: 'a.b' } }] }, [`${RULE}.filters`]],
  ['a type without its field', { filters: [{ type: 'CORS' }] }, [`${RULE}.filters[0]`]],
  ['a field of another type', { filters: [{ ...headers, cors: {} }] }, [`${RULE}.filters[0]`]],
  ['the prefix replaced of a prefix', { ...onPath('PathPrefix', '/v0'), filters: [prefixRewrite] }, []],
  ['the prefix replaced of an exact path', { ...onPath('Exact', '/v0'), filters: [prefixRewrite] }, [RULE]],
  [
    'the prefix replaced for one backend of an exact path',
    { ...onPath('Exact', '/v0'), backendRefs: [{ ...backend, filters: [prefixRewrite] }] },
    [RULE],
  ],
  [
    'a replacement of the other type',
    { filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replacePrefixMatch: '/' } } }] },
    Array(2).fill(`${RULE}.filters[0].urlRewrite.path`),
  ],
  [
    'percent and fraction',
    { filters: [{ type: 'RequestMirror', requestMirror: { backendRef: backend, percent: 5, fraction: { numerator: 1 } } }] },
    [`${RULE}.filters[0].requestMirror`],
  ],
  [
    'a fraction above one',
    { filters: [{ type: 'RequestMirror', requestMirror: { backendRef: backend, fraction: { numerator: 3, denominator: 2 } } }] },
    [`${RULE}.filters[0].requestMirror.fraction`],
  ],
  [
    'any origin beside another',
    { filters: [{ type: 'CORS', cors: { allowOrigins: ['*', 'https://a.b'] } }] },
    [`${RULE}.filters[0].cors.allowOrigins`],
  ],
  [
    'an authorizer without its protocol part',
    { filters: [{ type: 'ExternalAuth', externalAuth: { protocol: 'HTTP', backendRef: backend, grpc: {} } }] },
    Array(2).fill(`${RULE}.filters[0].externalAuth`),
  ],
  ['a backend timeout within the request', { timeouts: { request: '1s', backendRequest: '500ms' } }, []],
  ['a backend timeout beyond the request', { timeouts: { request: '1s', backendRequest: '1s1ms' } }, [`${RULE}.timeouts`]],
  ['a request without limit', { timeouts: { request: '0s', backendRequest: '1h' } }, []],
  [
    'a permanent cookie without an end',
    { sessionPersistence: { cookieConfig: { lifetimeType: 'Permanent' } } },
    [`${RULE}.sessionPersistence`],
  ],
  ['a cookie for a header', { sessionPersistence: { type: 'Header', cookieConfig: {} } }, [`${RULE}.sessionPersistence`]],
])('an HTTP rule with %s', (_title, rule, expected) => {
  expect(wrongFields(HttpRouteKind, httpRoute(rule))).toEqual(expected);
});

test('a route has at most 128 matches and no rule name twice', () => {
  const rules: HttpRouteRule[] = [{ name: 'a', matches: Array(64).fill({}) }, { matches: Array(64).fill({}) }];
  expect(wrongFields(HttpRouteKind, { metadata: { name: 'r' }, spec: { rules } })).toEqual([]);
  expect(wrongFields(HttpRouteKind, { metadata: { name: 'r' }, spec: { rules: [...rules, {}] } })).toEqual(['spec.rules']);
  expect(wrongFields(HttpRouteKind, { metadata: { name: 'r' }, spec: { rules: [{ name: 'a' }, { name: 'a' }] } })).toEqual(['spec.rules']);
});

test.each<[string, object[], boolean]>([
  ['two different ones', [{ name: 'a' }, { name: 'b' }], true],
  ['one in two namespaces', [{ name: 'a' }, { name: 'a', namespace: 'n' }], true],
  ['one twice', [{ name: 'a' }, { name: 'a' }], false],
  [
    'two sections of one',
    [
      { name: 'a', sectionName: 'x' },
      { name: 'a', sectionName: 'y' },
    ],
    true,
  ],
  ['a section of one and the whole', [{ name: 'a', sectionName: 'x' }, { name: 'a' }], false],
  [
    'a section of one and a port of it',
    [
      { name: 'a', sectionName: 'x' },
      { name: 'a', port: 80 },
    ],
    false,
  ],
  [
    'one section twice, by different ports',
    [
      { name: 'a', sectionName: 'x', port: 1 },
      { name: 'a', sectionName: 'x', port: 2 },
    ],
    true,
  ],
])('parents that are %s', (_title, parentRefs, isValid) => {
  const fields = wrongFields(HttpRouteKind, { metadata: { name: 'r' }, spec: { parentRefs: parentRefs as { name: string }[] } });
  expect(fields).toEqual(isValid ? [] : ['spec.parentRefs']);
});

test.each<[string, NonNullable<NonNullable<GrpcRoute['spec']['rules']>[number]>, string[]]>([
  ['a service and a method', { matches: [{ method: { service: 'a.b.C', method: 'Do' } }] }, []],
  ['neither service nor method', { matches: [{ method: {} }] }, [`${RULE}.matches[0].method`]],
  ['a bad service', { matches: [{ method: { service: 'a/b' } }] }, [`${RULE}.matches[0].method`]],
  ['a bad method', { matches: [{ method: { method: 'Do.It' } }] }, [`${RULE}.matches[0].method`]],
  ['a regular expression', { matches: [{ method: { type: 'RegularExpression', service: 'a/.*' } }] }, []],
  ['a filter without its field', { filters: [{ type: 'RequestMirror' }] }, [`${RULE}.filters[0]`]],
  ['a Service without a port', { backendRefs: [{ name: 'echo' }] }, [`${RULE}.backendRefs[0]`]],
])('a gRPC rule with %s', (_title, rule, expected) => {
  expect(wrongFields(GrpcRouteKind, { metadata: { name: 'r' }, spec: { rules: [rule] } })).toEqual(expected);
});

test('TCP and TLS routes need ports of Services, and no address as server name', () => {
  const tcp: TcpRoute = { metadata: { name: 'r' }, spec: { rules: [{ backendRefs: [{ name: 'a' }, backend] }] } };
  expect(wrongFields(TcpRouteKind, tcp)).toEqual(['spec.rules[0].backendRefs[0]']);
  const tls: TlsRoute = { metadata: { name: 'r' }, spec: { hostnames: ['*.a.b', '10.0.0.1'], rules: [{ backendRefs: [backend] }] } };
  expect(wrongFields(TlsRouteKind, tls)).toEqual(['spec.hostnames']);
});

test('hostnames print as a list, and nothing when there are none', () => {
  expect(HttpRouteKind.cells(httpRoute({}, { hostnames: ['a.b', 'c.d'] }), 0)[1]).toBe('["a.b","c.d"]');
  expect(GrpcRouteKind.cells({ metadata: { name: 'r' }, spec: {} }, 0)[1]).toBeNull();
});
