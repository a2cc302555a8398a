/** The situations of the Gateway API's mesh conformance suite, down to the rule a request takes. */
import { describe, expect, test } from 'bun:test';
import type { HttpAction, HttpTable, RequestView } from '../plan.ts';
import { rewritePath } from '../rewrite.ts';
import { compileHttpTable } from '../route-table.ts';
import type { CompiledRoute } from './compiled-route.ts';
import { mergeRoutes } from './merge-routes.ts';
import type { HttpRouteRule } from './objects.ts';
import { CONSUMER, compile, http, NAMESPACE, parent, ref, serviceKey } from './test-routes.ts';

const request = (path: string, headers: Record<string, string> = {}): RequestView => ({
  method: 'GET',
  path,
  authority: 'echo',
  scheme: 'http',
  headers: Object.entries(headers),
});

const tableOf = (routes: readonly CompiledRoute[], service = 'echo', port = 80): HttpTable | undefined => {
  const { ports } = mergeRoutes(serviceKey(service), routes);
  return (ports.find((entry) => entry.port === port) ?? ports.find((entry) => entry.port === 0))?.http;
};

const actionFor = (table: HttpTable | undefined, view: RequestView): HttpAction | undefined =>
  table === undefined ? undefined : compileHttpTable(table).match(view, undefined)?.action;

/** `echo-v1` of the first backend. */
const backendFor = (table: HttpTable | undefined, view: RequestView): string | undefined =>
  actionFor(table, view)?.backends[0]?.service.split('/')[1]?.split('.')[0];

const to = (name: string) => [ref(name)];

describe('MeshHTTPRouteMatching', () => {
  const table = tableOf([
    http([
      {
        matches: [{ path: { type: 'PathPrefix', value: '/' } }, { headers: [{ name: 'version', value: 'one' }] }],
        backendRefs: to('echo-v1'),
      },
      {
        matches: [{ path: { type: 'PathPrefix', value: '/v2' } }, { headers: [{ name: 'version', value: 'two' }] }],
        backendRefs: to('echo-v2'),
      },
    ]),
  ]);
  test.each([
    ['/', {}, 'echo-v1'],
    ['/example', {}, 'echo-v1'],
    ['/', { version: 'one' }, 'echo-v1'],
    ['/v2', {}, 'echo-v2'],
    ['/v2/example', {}, 'echo-v2'],
    ['/', { version: 'two' }, 'echo-v2'],
    ['/v2/', {}, 'echo-v2'],
    ['/v2example', {}, 'echo-v1'],
    ['/foo/v2/example', {}, 'echo-v1'],
  ] as const)('%s with %j goes to %s', (path, headers, backend) => {
    expect(backendFor(table, request(path, headers))).toBe(backend);
  });
});

describe('MeshHTTPRouteQueryParamMatching', () => {
  const animal = (value: string) => [{ name: 'animal', value }];
  const table = tableOf([
    http([
      { matches: [{ queryParams: animal('whale') }], backendRefs: to('echo-v1') },
      { matches: [{ queryParams: animal('dolphin') }], backendRefs: to('echo-v2') },
      { matches: [{ path: { type: 'PathPrefix', value: '/path1' }, queryParams: animal('whale') }], backendRefs: to('echo-v1') },
      { matches: [{ headers: [{ name: 'version', value: 'one' }], queryParams: animal('whale') }], backendRefs: to('echo-v2') },
      {
        matches: [
          { path: { value: '/path3' }, queryParams: animal('shark') },
          { path: { value: '/path4' }, headers: [{ name: 'version', value: 'three' }], queryParams: animal('kraken') },
        ],
        backendRefs: to('echo-v1'),
      },
      { matches: [{ path: { type: 'PathPrefix', value: '/path5' } }], backendRefs: to('echo-v1') },
      { matches: [{ queryParams: animal('hydra') }], backendRefs: to('echo-v2') },
    ]),
  ]);
  test.each([
    ['/?animal=whale', {}, 'echo-v1'],
    ['/?animal=dolphin', {}, 'echo-v2'],
    ['/?animal=dolphin&color=blue', {}, 'echo-v2'],
    ['/path1?animal=whale', {}, 'echo-v1'],
    ['/?animal=whale', { version: 'one' }, 'echo-v2'],
    ['/path3?animal=shark', {}, 'echo-v1'],
    ['/path4?animal=kraken', { version: 'three' }, 'echo-v1'],
    ['/path4?animal=kraken', {}, undefined],
    ['/path5?animal=hydra', {}, 'echo-v1'],
    ['/?animal=hydra', {}, 'echo-v2'],
    ['/', {}, undefined],
    ['/?animal=Whale', {}, undefined],
  ] as const)('%s with %j goes to %s', (path, headers, backend) => {
    expect(backendFor(table, request(path, headers))).toBe(backend);
  });
});

describe('redirects and rewrites', () => {
  const rule = (path: string, type: 'requestRedirect' | 'urlRewrite', filter: object): HttpRouteRule => ({
    matches: [{ path: { type: 'PathPrefix', value: path } }],
    filters: [{ type: type === 'urlRewrite' ? 'URLRewrite' : 'RequestRedirect', [type]: filter }],
    ...(type === 'urlRewrite' && { backendRefs: to('echo-v1') }),
  });
  const prefixTo = (value: string) => ({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: value } });
  const table = tableOf([
    http([
      rule('/hostname', 'requestRedirect', { hostname: 'example.org' }),
      rule('/host-and-status', 'requestRedirect', { hostname: 'example.org', statusCode: 301 }),
      rule('/see-other', 'requestRedirect', { statusCode: 303 }),
      rule('/scheme', 'requestRedirect', { scheme: 'https' }),
      rule('/port', 'requestRedirect', { port: 8083 }),
      rule('/original', 'requestRedirect', prefixTo('/replacement')),
      rule('/full', 'requestRedirect', { path: { type: 'ReplaceFullPath', replaceFullPath: '/all' } }),
      rule('/prefix/one', 'urlRewrite', prefixTo('/one')),
      rule('/strip', 'urlRewrite', prefixTo('/')),
    ]),
  ]);
  test.each([
    ['/hostname', { status: 302, host: 'example.org' }],
    ['/host-and-status', { status: 301, host: 'example.org' }],
    ['/see-other', { status: 303 }],
    ['/scheme', { status: 302, scheme: 'https' }],
    ['/port', { status: 302, port: 8083 }],
    ['/original/lemon', { status: 302, path: { kind: 'prefix', match: '/original', value: '/replacement' } }],
    ['/full/path', { status: 302, path: { kind: 'full', value: '/all' } }],
  ] as const)('%s is redirected', (path, redirect) => {
    expect(actionFor(table, request(path))?.redirect).toEqual(redirect);
  });
  test.each([
    ['/prefix/one/two', { kind: 'prefix', match: '/prefix/one', value: '/one' }],
    ['/strip/three', { kind: 'prefix', match: '/strip', value: '' }],
  ] as const)('%s is rewritten', (path, rewrite) => {
    expect(actionFor(table, request(path))?.rewrite).toEqual({ path: rewrite });
  });
});

describe('the definition’s table of replaced prefixes', () => {
  test.each([
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    ['/foo?q', '/', '/xyz', '/xyz/foo?q'],
    ['/foo', '/', '/', '/foo'],
  ])('%s with %s → "%s" is %s', (path, prefix, replacement, expected) => {
    const rewrite = { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: replacement } } };
    const table = tableOf([http([{ matches: [{ path: { value: prefix } }], filters: [rewrite], backendRefs: to('echo-v1') }])]);
    const action = actionFor(table, request(path))?.rewrite?.path;
    expect(action && rewritePath(path, action, table?.rules[0]?.match.path)).toBe(expected);
  });
});

describe('weights, split and named rules', () => {
  test('backends keep their weights, 0 included', () => {
    const table = tableOf(
      [
        compile(
          'GRPCRoute',
          [{ backendRefs: [ref('echo-v1', 7070), { ...ref('echo-v2', 7070), weight: 30 }, { ...ref('echo-v3', 7070), weight: 0 }] }],
          {
            parents: [parent('echo', { port: 7070 })],
          },
        ),
      ],
      'echo',
      7070,
    );
    expect(actionFor(table, request('/some.Service/Method'))?.backends).toEqual([
      { service: serviceKey('echo-v1'), port: 7070, weight: 1 },
      { service: serviceKey('echo-v2'), port: 7070, weight: 30 },
      { service: serviceKey('echo-v3'), port: 7070, weight: 0 },
    ]);
  });

  test('an exact path takes nothing below it, and what no rule takes is not served', () => {
    const table = tableOf([
      http(
        [
          { matches: [{ path: { type: 'Exact', value: '/v1' } }], backendRefs: [ref('echo-v1', 80)] },
          { matches: [{ path: { type: 'Exact', value: '/v2' } }], backendRefs: [ref('echo-v2', 80)] },
        ],
        { parents: [parent('echo')] },
      ),
    ]);
    expect(['/v1', '/v2', '/v1/', '/other'].map((path) => backendFor(table, request(path)))).toEqual([
      'echo-v1',
      'echo-v2',
      undefined,
      undefined,
    ]);
  });

  test('a rule is called by its name, else by its number', () => {
    const table = tableOf([
      http([
        { name: 'named-rule', matches: [{ path: { value: '/named' } }], backendRefs: to('echo-v1') },
        { matches: [{ path: { value: '/unnamed' } }], backendRefs: to('echo-v2') },
      ]),
    ]);
    expect(table?.actions.map(({ name }) => name).sort()).toEqual([
      `HTTPRoute/${NAMESPACE}/route/1`,
      `HTTPRoute/${NAMESPACE}/route/named-rule`,
    ]);
  });
});

describe('MeshPorts', () => {
  const route = http([{ backendRefs: [ref('echo-v1', 80)] }], { parents: [parent('echo-v1', { port: 80 })] });

  test('a route with a port leaves the other ports alone', () => {
    const { ports } = mergeRoutes(serviceKey('echo-v1'), [route]);
    expect(ports.map(({ port }) => port)).toEqual([80]);
  });

  test('a route without a port is on every port', () => {
    const all = http([{ backendRefs: [ref('echo-v2', 80)] }], { parents: [parent('echo-v2')] });
    expect(backendFor(tableOf([all], 'echo-v2', 8080), request('/'))).toBe('echo-v2');
  });
});

describe('MeshConsumerRoute', () => {
  const consumer = http(
    [
      {
        filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { set: [{ name: 'X-Header-Set', value: 'set' }] } }],
        backendRefs: [ref('echo-v1', 80, { namespace: NAMESPACE })],
      },
    ],
    { namespace: CONSUMER, parents: [parent('echo-v1', { namespace: NAMESPACE })] },
  );

  test('a route of another namespace is for clients of that namespace, and needs no grant for the service it is about', () => {
    const { ports } = mergeRoutes(serviceKey('echo-v1'), [consumer]);
    expect(ports).toEqual([
      {
        port: 0,
        consumers: [
          {
            namespace: CONSUMER,
            http: {
              rules: [{ match: {}, action: 0 }],
              actions: [
                {
                  name: `HTTPRoute/${CONSUMER}/route/0`,
                  responseHeaders: { remove: [], set: [['x-header-set', 'set']], add: [] },
                  backends: [{ service: serviceKey('echo-v1'), port: 80, weight: 1 }],
                },
              ],
            },
          },
        ],
      },
    ]);
  });
});

describe('request header modifiers', () => {
  const modifier = {
    set: [{ name: 'X-Header-Set', value: 'set' }],
    add: [{ name: 'X-Header-Add', value: 'add' }],
    remove: ['X-Header-Remove'],
  };
  const edit = { remove: ['x-header-remove'], set: [['x-header-set', 'set']], add: [['x-header-add', 'add']] };
  const filters = [{ type: 'RequestHeaderModifier', requestHeaderModifier: modifier }];

  test('of a rule apply to all its backends', () => {
    const action = actionFor(tableOf([http([{ filters, backendRefs: to('echo-v1') }])]), request('/'));
    expect(action?.requestHeaders).toEqual(edit as never);
    expect(action?.backends[0]?.requestHeaders).toBeUndefined();
  });

  test('of a backend apply to that backend', () => {
    const action = actionFor(tableOf([http([{ backendRefs: [{ ...ref('echo-v1'), filters }, ref('echo-v2')] }])]), request('/'));
    expect(action?.requestHeaders).toBeUndefined();
    expect(action?.backends.map(({ requestHeaders }) => requestHeaders)).toEqual([edit as never, undefined]);
  });
});
