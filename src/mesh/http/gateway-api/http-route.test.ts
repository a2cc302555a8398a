import { describe, expect, test } from 'bun:test';
import type { HttpAction, HttpMatch } from '../plan.ts';
import type { CompiledRoute } from './compiled-route.ts';
import type { GrpcRouteMatch, HttpRouteMatch, HttpRouteRule, RouteFilter } from './objects.ts';
import { compile, conditionsOf, http, NAMESPACE, ref, serviceKey } from './test-routes.ts';

const httpOf = (compiled: CompiledRoute) => {
  const fragment = compiled.parents[0]?.attachments[0]?.fragment;
  if (fragment?.kind !== 'http') throw new Error(JSON.stringify(compiled.refused ?? 'not attached'));
  return fragment;
};
const actionOf = (rule: HttpRouteRule): HttpAction | undefined => httpOf(http([rule])).actions[0];
const matchOf = (match: HttpRouteMatch): HttpMatch | undefined => httpOf(http([{ matches: [match] }])).rules[0]?.match;
const backendRefs = [ref('echo-v1')];

describe('matches of an HTTPRoute', () => {
  const cases: readonly (readonly [string, HttpRouteMatch, HttpMatch])[] = [
    ['nothing', {}, {}],
    ['the prefix of every path', { path: { type: 'PathPrefix', value: '/' } }, {}],
    ['a prefix, its last slash aside', { path: { type: 'PathPrefix', value: '/a/' } }, { path: { kind: 'segments', value: '/a' } }],
    ['a prefix by default', { path: { value: '/a' } }, { path: { kind: 'segments', value: '/a' } }],
    ['an exact path', { path: { type: 'Exact', value: '/a/' } }, { path: { kind: 'exact', value: '/a/' } }],
    ['an expression', { path: { type: 'RegularExpression', value: '/v[12]' } }, { path: { kind: 'regex', value: '/v[12]' } }],
    ['a method', { method: 'PATCH' }, { method: { kind: 'exact', value: 'PATCH' } }],
    [
      'headers by name in lower case, the first of a name, sorted',
      {
        headers: [
          { name: 'X-B', value: '1' },
          { name: 'x-a', value: '2', type: 'RegularExpression' },
          { name: 'x-b', value: '3' },
        ],
      },
      {
        headers: [
          { name: 'x-a', condition: { kind: 'regex', value: '2' } },
          { name: 'x-b', condition: { kind: 'exact', value: '1' } },
        ],
      },
    ],
    ['the Host header', { headers: [{ name: 'Host', value: 'a:80' }] }, { authority: { kind: 'exact', value: 'a:80' } }],
    [
      'query parameters by name as written',
      {
        queryParams: [
          { name: 'B', value: '1' },
          { name: 'b', value: '2' },
          { name: 'b', value: '3' },
        ],
      },
      {
        query: [
          { name: 'B', condition: { kind: 'exact', value: '1' } },
          { name: 'b', condition: { kind: 'exact', value: '2' } },
        ],
      },
    ],
  ];
  test.each(cases)('%s', (_, source, match) => {
    expect(matchOf(source)).toEqual(match);
  });
});

describe('matches of a GRPCRoute', () => {
  const cases: readonly (readonly [string, GrpcRouteMatch, HttpMatch])[] = [
    ['service and method', { method: { service: 'a.B', method: 'C' } }, { path: { kind: 'exact', value: '/a.B/C' } }],
    ['service', { method: { type: 'Exact', service: 'a.B' } }, { path: { kind: 'prefix', value: '/a.B/' } }],
    ['method', { method: { method: 'C' } }, { path: { kind: 'regex', value: '/[^/]+/C' } }],
    ['method with a character of expressions', { method: { method: 'C+' } }, { path: { kind: 'regex', value: '/[^/]+/C\\+' } }],
    [
      'expressions',
      { method: { type: 'RegularExpression', service: 'a|b', method: 'C.*' } },
      { path: { kind: 'regex', value: '/(?:a|b)/(?:C.*)' } },
    ],
    [
      'an expression for the service',
      { method: { type: 'RegularExpression', service: 'a' } },
      { path: { kind: 'regex', value: '/(?:a)/[^/]+' } },
    ],
    [
      'headers',
      { headers: [{ name: 'Version', value: '1' }] },
      { headers: [{ name: 'version', condition: { kind: 'exact', value: '1' } }] },
    ],
    ['every call', {}, {}],
  ];
  test.each(cases)('%s', (_, source, match) => {
    expect(httpOf(compile('GRPCRoute', [{ matches: [source] }])).rules[0]?.match).toEqual(match);
  });

  test('a rule without matches takes every call, a route without rules none', () => {
    expect(httpOf(compile('GRPCRoute', [{ backendRefs }])).rules.map(({ match }) => match)).toEqual([{}]);
    expect(httpOf(compile('GRPCRoute', [])).rules).toEqual([]);
  });
});

describe('filters', () => {
  const cases: readonly (readonly [string, RouteFilter, Partial<HttpAction>])[] = [
    [
      'response headers',
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: ['Server'] } },
      { responseHeaders: { remove: ['server'], set: [], add: [] } },
    ],
    ['an empty modifier', { type: 'RequestHeaderModifier', requestHeaderModifier: {} }, {}],
    [
      'the first of two entries for a header',
      {
        type: 'RequestHeaderModifier',
        requestHeaderModifier: {
          set: [
            { name: 'A', value: '1' },
            { name: 'a', value: '2' },
          ],
        },
      },
      { requestHeaders: { remove: [], set: [['a', '1']], add: [] } },
    ],
    [
      'a host set as a header',
      { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'Host', value: 'a.b:80' }] } },
      { rewrite: { host: 'a.b:80' } },
    ],
    [
      'a rewrite of host and path',
      { type: 'URLRewrite', urlRewrite: { hostname: 'a.b', path: { type: 'ReplaceFullPath', replaceFullPath: '/x' } } },
      { rewrite: { host: 'a.b', path: { kind: 'full', value: '/x' } } },
    ],
    [
      'a replaced prefix of every path',
      { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/x/' } } },
      { rewrite: { path: { kind: 'prefix', match: '', value: '/x' } } },
    ],
    [
      'a mirror of everything',
      { type: 'RequestMirror', requestMirror: { backendRef: ref('echo-v2') } },
      { mirrors: [{ backend: { service: serviceKey('echo-v2'), port: 8080 }, numerator: 100, denominator: 100 }] },
    ],
    [
      'a mirror of a percentage',
      { type: 'RequestMirror', requestMirror: { backendRef: ref('echo-v2'), percent: 20 } },
      { mirrors: [{ backend: { service: serviceKey('echo-v2'), port: 8080 }, numerator: 20, denominator: 100 }] },
    ],
    [
      'a mirror of a fraction',
      { type: 'RequestMirror', requestMirror: { backendRef: ref('echo-v2'), fraction: { numerator: 1, denominator: 1000 } } },
      { mirrors: [{ backend: { service: serviceKey('echo-v2'), port: 8080 }, numerator: 1, denominator: 1000 }] },
    ],
    ['a mirror of nothing', { type: 'RequestMirror', requestMirror: { backendRef: ref('echo-v2'), percent: 0 } }, { mirrors: [] }],
    [
      'CORS',
      {
        type: 'CORS',
        cors: { allowOrigins: ['https://a.com:443', 'http://*.b.com'], allowMethods: ['GET'], allowHeaders: ['*'], allowCredentials: true },
      },
      {
        cors: {
          allowOrigins: [
            { kind: 'exact', value: 'https://a.com' },
            { kind: 'exact', value: 'http://*.b.com' },
          ],
          allowMethods: ['GET'],
          allowHeaders: ['*'],
          exposeHeaders: [],
          allowCredentials: true,
          maxAgeSeconds: 5,
          forwardsUnmatchedPreflights: false,
        },
      },
    ],
  ];
  test.each(cases)('%s', (_, filter, expected) => {
    const { name, backends, ...rest } = actionOf({ filters: [filter], backendRefs }) ?? { name: '', backends: [] };
    expect(name).toBe(`HTTPRoute/${NAMESPACE}/route/0`);
    expect(backends).toHaveLength(1);
    expect(rest).toEqual(expected);
  });

  test('a rule may mirror more than once', () => {
    const mirror = (name: string): RouteFilter => ({ type: 'RequestMirror', requestMirror: { backendRef: ref(name) } });
    expect(actionOf({ filters: [mirror('echo-v2'), mirror('echo-v3')], backendRefs })?.mirrors).toHaveLength(2);
  });

  test('a mirror that does not resolve is kept as such and reported', () => {
    const compiled = http([{ filters: [{ type: 'RequestMirror', requestMirror: { backendRef: ref('nobody') } }], backendRefs }]);
    expect(httpOf(compiled).actions[0]?.mirrors?.[0]?.invalid).toBe(`Service ${NAMESPACE}/nobody does not exist`);
    expect(conditionsOf(compiled.parents)[1]).toBe('ResolvedRefs=False BackendNotFound');
  });

  test('a rewrite depends on the prefix that matched', () => {
    const fragment = httpOf(
      http([
        {
          matches: [{ path: { value: '/a' } }, { path: { value: '/b' } }, { path: { value: '/a' }, method: 'GET' }],
          filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } }],
          backendRefs,
        },
      ]),
    );
    expect(fragment.rules.map(({ action }) => action)).toEqual([0, 1, 0]);
    expect(fragment.actions.map(({ rewrite }) => rewrite?.path)).toEqual([
      { kind: 'prefix', match: '/a', value: '' },
      { kind: 'prefix', match: '/b', value: '' },
    ]);
  });

  test('filters of a backend belong to it', () => {
    const filters: RouteFilter[] = [
      { type: 'URLRewrite', urlRewrite: { hostname: 'a.b' } },
      { type: 'RequestMirror', requestMirror: { backendRef: ref('echo-v3') } },
    ];
    const redirect: RouteFilter[] = [{ type: 'RequestRedirect', requestRedirect: { hostname: 'c.d' } }];
    const action = actionOf({
      backendRefs: [
        { ...ref('echo-v1'), filters },
        { ...ref('echo-v2'), filters: redirect },
      ],
    });
    expect(action?.rewrite).toBeUndefined();
    expect(action?.backends[0]?.rewrite).toEqual({ host: 'a.b' });
    expect(action?.backends[0]?.mirrors).toHaveLength(1);
    expect(action?.backends[1]?.redirect).toEqual({ status: 302, host: 'c.d' });
  });

  test('CORS of the only backend is the rule’s', () => {
    const filters: RouteFilter[] = [{ type: 'CORS', cors: { allowOrigins: ['*'] } }];
    expect(actionOf({ backendRefs: [{ ...ref('echo-v1'), filters }] })?.cors?.allowOrigins).toEqual([{ kind: 'exact', value: '*' }]);
  });

  test('an extension nobody knows fails the requests of its rule, not those of others', () => {
    const filters: RouteFilter[] = [{ type: 'ExtensionRef', extensionRef: { group: 'example.com', kind: 'Magic', name: 'm' } }];
    const compiled = http([
      { filters, backendRefs },
      { matches: [{ path: { value: '/a' } }], backendRefs },
    ]);
    const { actions } = httpOf(compiled);
    expect(actions[0]).toEqual({ name: `HTTPRoute/${NAMESPACE}/route/0`, backends: [], respond: { status: 500, body: '' } });
    expect(actions[1]?.respond).toBeUndefined();
    expect(conditionsOf(compiled.parents)).toEqual(['Accepted=True Accepted', 'ResolvedRefs=False InvalidKind']);
  });

  test('an extension nobody knows on a backend fails that backend', () => {
    const filters: RouteFilter[] = [{ type: 'ExtensionRef', extensionRef: { group: 'example.com', kind: 'Magic', name: 'm' } }];
    const action = actionOf({ backendRefs: [{ ...ref('echo-v1'), filters }, ref('echo-v2')] });
    expect(action?.backends.map(({ invalid }) => invalid === undefined)).toEqual([false, true]);
  });

  test('external authorisation fails closed: partly invalid beside other rules, not accepted alone', () => {
    const rule = { filters: [{ type: 'ExternalAuth' }], backendRefs };
    const beside = http([rule, { matches: [{ path: { value: '/a' } }], backendRefs }]);
    expect(httpOf(beside).actions.map(({ respond }) => respond?.status)).toEqual([500, undefined]);
    expect(conditionsOf(beside.parents)).toEqual([
      'Accepted=True Accepted',
      'PartiallyInvalid=True UnsupportedValue',
      'ResolvedRefs=True ResolvedRefs',
    ]);
    expect(beside.parents[0]?.conditions[1]?.message).toStartWith('Dropped Rule');
    const alone = http([rule]);
    expect(httpOf(alone).actions[0]?.respond?.status).toBe(500);
    expect(conditionsOf(alone.parents)[0]).toBe('Accepted=False UnsupportedValue');
  });
});

describe('timeouts, retries, sessions', () => {
  test.each([
    [
      { request: '10s', backendRequest: '500ms' },
      { request: 10_000, perTry: 500 },
    ],
    [{ request: '1h30m' }, { request: 5_400_000 }],
    [{ request: '0s', backendRequest: '2s' }, { perTry: 2_000 }],
    [{ request: '0s' }, undefined],
  ] as const)('timeouts %j', (timeouts, expected) => {
    expect(actionOf({ timeouts, backendRefs })?.timeouts as object).toEqual(expected as never);
  });

  test.each([
    [{}, { attempts: 2, statuses: [], on: ['connect-failure', 'refused-stream', 'reset'] }],
    [
      { codes: [503, 500, 503], attempts: 3, backoff: '100ms' },
      { attempts: 3, statuses: [500, 503], on: ['connect-failure', 'refused-stream', 'reset'], backoff: 100 },
    ],
  ] as const)('retry %j', (retry, expected) => {
    expect(actionOf({ retry, backendRefs })?.retry as object).toEqual(expected as never);
  });

  test.each([
    [{}, { kind: 'cookie', name: `lateen-httproute-${NAMESPACE}-route-0`, path: '/' }],
    [
      { type: 'Header', sessionName: 'X-Session', idleTimeout: '1m' },
      { kind: 'header', name: 'x-session', idleTimeout: 60_000 },
    ],
    [
      { sessionName: 'Session', absoluteTimeout: '1h', cookieConfig: { lifetimeType: 'Permanent' } },
      { kind: 'cookie', name: 'Session', absoluteTimeout: 3_600_000, path: '/' },
    ],
    [{ cookie: { name: 'c', path: '/app' } }, { kind: 'cookie', name: 'c', path: '/app' }],
    [
      { type: 'Header', header: { name: 'S' } },
      { kind: 'header', name: 's' },
    ],
  ] as const)('session persistence %j', (sessionPersistence, expected) => {
    expect(actionOf({ sessionPersistence, backendRefs })?.session as object).toEqual(expected as never);
  });
});

describe('what is refused, with the field', () => {
  const filter = (type: string, field: string, value: object): HttpRouteRule => ({ filters: [{ type, [field]: value }], backendRefs });
  const redirect = (value: object): HttpRouteRule => ({ filters: [{ type: 'RequestRedirect', requestRedirect: value }] });
  const set = (...headers: { name: string; value: string }[]) => filter('RequestHeaderModifier', 'requestHeaderModifier', { set: headers });
  const cases: readonly (readonly [string, HttpRouteRule])[] = [
    ['matches[0].path.type', { matches: [{ path: { type: 'Glob', value: '/' } }] }],
    ['matches[1].path.value', { matches: [{}, { path: { type: 'Exact', value: 'a' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a//b' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a/../b' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a/..' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a%2Fb' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a#b' } }] }],
    ['matches[0].path.value', { matches: [{ path: { value: '/a b' } }] }],
    ['matches[0].path.value', { matches: [{ path: { type: 'RegularExpression', value: '(' } }] }],
    ['matches[0].method', { matches: [{ method: 'get' }] }],
    ['matches[0].headers[0].value', { matches: [{ headers: [{ name: 'a', type: 'RegularExpression', value: '(?=a)' }] }] }],
    ['matches[0].headers[0].type', { matches: [{ headers: [{ name: 'a', type: 'Prefix', value: 'a' }] }] }],
    ['matches[0].headers[0].name', { matches: [{ headers: [{ name: ':method', value: 'a' }] }] }],
    ['matches[0].queryParams[0].value', { matches: [{ queryParams: [{ name: 'a', type: 'RegularExpression', value: '[' }] }] }],
    ['filters[0].type', { filters: [{ type: 'Compress' }] }],
    ['filters[0].requestRedirect', { filters: [{ type: 'RequestRedirect' }] }],
    ['filters[0].requestRedirect.statusCode', redirect({ statusCode: 300 })],
    ['filters[0].requestRedirect.scheme', redirect({ scheme: 'ftp' })],
    ['filters[0].requestRedirect.hostname', redirect({ hostname: 'a/b' })],
    ['filters[0].requestRedirect.port', redirect({ port: 0 })],
    ['filters[0].requestRedirect.path.type', redirect({ path: { type: 'Regex' } })],
    ['filters[0].requestRedirect.path.replaceFullPath', redirect({ path: { type: 'ReplaceFullPath' } })],
    ['filters[0].requestRedirect.path.replaceFullPath', redirect({ path: { type: 'ReplaceFullPath', replaceFullPath: '/a\r\nb' } })],
    [
      'filters[0].urlRewrite.path',
      {
        matches: [{ path: { type: 'Exact', value: '/a' } }],
        ...filter('URLRewrite', 'urlRewrite', { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } }),
      },
    ],
    ['backendRefs', { ...redirect({}), backendRefs }],
    [
      'filters',
      {
        filters: [
          { type: 'RequestRedirect', requestRedirect: {} },
          { type: 'URLRewrite', urlRewrite: {} },
        ],
      },
    ],
    [
      'filters[1]',
      {
        filters: [
          { type: 'CORS', cors: {} },
          { type: 'CORS', cors: {} },
        ],
      },
    ],
    ['filters[0].requestHeaderModifier.set[0].value', set({ name: 'a', value: 'b\r\nc' })],
    ['filters[0].requestHeaderModifier.set[0].name', set({ name: 'Content-Length', value: '3' })],
    ['filters[0].requestHeaderModifier.set[0].name', set({ name: 'a b', value: '3' })],
    ['filters[0].requestHeaderModifier.set[0].value', set({ name: 'host', value: 'a/b' })],
    ['filters[0].requestHeaderModifier.remove[0]', filter('RequestHeaderModifier', 'requestHeaderModifier', { remove: ['Host'] })],
    [
      'filters[0].requestHeaderModifier.remove[0]',
      filter('RequestHeaderModifier', 'requestHeaderModifier', { set: [{ name: 'a', value: 'b' }], remove: ['A'] }),
    ],
    [
      'filters[0].requestMirror',
      filter('RequestMirror', 'requestMirror', { backendRef: ref('echo-v2'), percent: 1, fraction: { numerator: 1 } }),
    ],
    [
      'filters[0].requestMirror.fraction',
      filter('RequestMirror', 'requestMirror', { backendRef: ref('echo-v2'), fraction: { numerator: 2, denominator: 1 } }),
    ],
    ['filters[0].requestMirror.percent', filter('RequestMirror', 'requestMirror', { backendRef: ref('echo-v2'), percent: 101 })],
    ['filters[0].cors.allowOrigins[0]', filter('CORS', 'cors', { allowOrigins: ['example.com'] })],
    ['filters[0].cors.allowMethods', filter('CORS', 'cors', { allowMethods: ['*', 'GET'] })],
    ['filters[0].cors.maxAge', filter('CORS', 'cors', { maxAge: 0 })],
    ['backendRefs[0].weight', { backendRefs: [{ ...ref('echo-v1'), weight: -1 }] }],
    ['backendRefs[1].filters', { backendRefs: [ref('echo-v1'), { ...ref('echo-v2'), filters: [{ type: 'CORS', cors: {} }] }] }],
    [
      'backendRefs[0].filters[0].urlRewrite.hostname',
      { backendRefs: [{ ...ref('echo-v1'), filters: [{ type: 'URLRewrite', urlRewrite: { hostname: '*' } }] }] },
    ],
    ['timeouts.request', { timeouts: { request: '1.5s' } }],
    ['timeouts.backendRequest', { timeouts: { request: '1s', backendRequest: '2s' } }],
    ['retry.codes[1]', { retry: { codes: [500, 200] } }],
    ['retry.attempts', { retry: { attempts: 0 } }],
    ['retry.backoff', { retry: { backoff: 'soon' } }],
    ['sessionPersistence.type', { sessionPersistence: { type: 'Address' } }],
    ['sessionPersistence.sessionName', { sessionPersistence: { sessionName: 'a;b' } }],
    ['sessionPersistence.absoluteTimeout', { sessionPersistence: { cookieConfig: { lifetimeType: 'Permanent' } } }],
    ['sessionPersistence.cookieConfig.lifetimeType', { sessionPersistence: { cookieConfig: { lifetimeType: 'Short' } } }],
  ];
  test.each(cases)('%s', (field, rule) => {
    const compiled = http([{ matches: [{ path: { value: '/first' } }], backendRefs }, rule]);
    expect(compiled.refused?.map((problem) => problem.field)).toEqual([`spec.rules[1].${field}`]);
    expect(compiled.parents[0]?.attachments).toEqual([]);
    const [accepted] = compiled.parents[0]?.conditions ?? [];
    expect(accepted?.status).toBe('False');
    expect(accepted?.reason).toBe(compiled.refused?.[0]?.reason);
    expect(accepted?.message).toStartWith(`spec.rules[1].${field}: `);
  });

  test.each([
    ['matches[0].method', { matches: [{ method: {} }] }],
    ['matches[0].method.service', { matches: [{ method: { service: 'a/b' } }] }],
    ['matches[0].method.type', { matches: [{ method: { type: 'Glob', service: 'a' } }] }],
    ['matches[0].method.method', { matches: [{ method: { type: 'RegularExpression', method: '(' } }] }],
    ['filters[0].type', { filters: [{ type: 'URLRewrite', urlRewrite: {} }] }],
  ] as const)('%s of a GRPCRoute', (field, rule) => {
    expect(compile('GRPCRoute', [rule]).refused?.map((problem) => problem.field)).toEqual([`spec.rules[0].${field}`]);
  });

  test('filters that exclude each other have a reason of their own', () => {
    const rule = {
      filters: [
        { type: 'RequestRedirect', requestRedirect: {} },
        { type: 'URLRewrite', urlRewrite: {} },
      ],
    };
    expect(conditionsOf(http([rule]).parents)[0]).toBe('Accepted=False IncompatibleFilters');
  });
});
