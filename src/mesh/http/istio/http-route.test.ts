import { describe, expect, test } from 'bun:test';
import type { HttpAction } from '../plan.ts';
import { ISTIO_DEFAULT_RETRY } from './retry.ts';
import { meshOf, service, virtualService } from './test-mesh.ts';
import type { IstioHttpRoute } from './virtual-service-object.ts';

const reviews = service('reviews');
const ratings = service('ratings', { ports: [9080] });
const ROUTE = [{ destination: { host: 'reviews' } }];
const BACKEND = { service: reviews.key, port: 8080, weight: 1 };
const compile = (route: IstioHttpRoute, port = 8080) => {
  const target = service('reviews', { ports: [port] });
  const spec = { hosts: ['reviews'], http: [route] };
  return meshOf({ services: [target, ratings], virtualServices: [virtualService(spec)] }).compiled[0]!;
};
const actionOf = (route: IstioHttpRoute, port = 8080): Partial<HttpAction> => {
  const { name: _, retry, backends, ...action } = compile(route, port).fragments[0]!.http!.actions[0]!;
  return action;
};
/** Of a route that forwards. */
const forwarding = (route: IstioHttpRoute) => actionOf({ route: ROUTE, ...route });

describe('parts of an action', () => {
  const cases: [string, IstioHttpRoute, Partial<HttpAction>][] = [
    ['nothing beside the route', {}, {}],
    ['a timeout', { timeout: '1.5s' }, { timeouts: { request: 1500 } }],
    ['a timeout of 0 is none', { timeout: '0s' }, {}],
    [
      'headers set, added, removed, sorted and in lower case',
      {
        headers: {
          request: { set: { 'X-B': '1', 'X-A': '100%%' }, add: { c: '2' }, remove: ['X-D'] },
          response: { add: { e: '3' } },
        },
      },
      {
        requestHeaders: {
          remove: ['x-d'],
          set: [
            ['x-a', '100%'],
            ['x-b', '1'],
          ],
          add: [['c', '2']],
        },
        responseHeaders: { remove: [], set: [], add: [['e', '3']] },
      },
    ],
    [
      'the authority set by a header is a rewrite',
      { headers: { request: { set: { ':authority': 'a.b' } } } },
      { rewrite: { host: 'a.b' } },
    ],
    ['so is Host', { headers: { request: { add: { Host: 'a.b' } } } }, { rewrite: { host: 'a.b' } }],
    [
      'the rewrite of the authority wins over headers',
      { rewrite: { authority: 'x.y' }, headers: { request: { set: { host: 'a.b' } } } },
      { rewrite: { host: 'x.y' } },
    ],
    [
      'a path rewritten without a match',
      { rewrite: { uri: '/new' } },
      { rewrite: { path: { kind: 'prefix', match: '/', value: '/new' } } },
    ],
    [
      'a path rewritten behind a prefix',
      { match: [{ uri: { prefix: '/old/' } }], rewrite: { uri: '/' } },
      { rewrite: { path: { kind: 'prefix', match: '/old/', value: '/' } } },
    ],
    [
      'a path rewritten behind an exact match',
      { match: [{ uri: { exact: '/a' } }], rewrite: { uri: '/b' } },
      { rewrite: { path: { kind: 'full', value: '/b' } } },
    ],
    [
      'a path rewritten behind a pattern',
      { match: [{ uri: { regex: '/a.*' } }], rewrite: { uri: '/b' } },
      { rewrite: { path: { kind: 'full', value: '/b' } } },
    ],
    [
      'a path rewritten by pattern',
      { rewrite: { uriRegexRewrite: { match: '^/v1/(.*)$', rewrite: '/\\1' } } },
      { rewrite: { path: { kind: 'regex', pattern: '^/v1/(.*)$', substitution: '/\\1' } } },
    ],
    [
      'a mirror of everything',
      { mirror: { host: 'ratings' } },
      { mirrors: [{ backend: { service: ratings.key, port: 9080 }, numerator: 100, denominator: 100 }] },
    ],
    [
      'mirrors with shares; one of 0 % is none',
      {
        mirrors: [
          { destination: { host: 'ratings' }, percentage: { value: 12.5 } },
          { destination: { host: 'reviews' }, percentage: { value: 0 } },
        ],
      },
      { mirrors: [{ backend: { service: ratings.key, port: 9080 }, numerator: 125_000, denominator: 1_000_000 }] },
    ],
    [
      'the older share of a mirror',
      { mirror: { host: 'ratings' }, mirrorPercent: 5 },
      { mirrors: [{ backend: { service: ratings.key, port: 9080 }, numerator: 5, denominator: 100 }] },
    ],
    ['the newer share wins', { mirror: { host: 'ratings' }, mirrorPercent: 5, mirrorPercentage: { value: 0 } }, {}],
    [
      'CORS',
      {
        corsPolicy: {
          allowOrigins: [{ exact: '*' }, { regex: 'https://.*' }],
          allowMethods: ['GET'],
          maxAge: '24h',
          allowCredentials: true,
          unmatchedPreflights: 'IGNORE',
        },
      },
      {
        cors: {
          allowOrigins: [
            { kind: 'exact', value: '*' },
            { kind: 'regex', value: 'https://.*' },
          ],
          allowMethods: ['GET'],
          allowHeaders: [],
          exposeHeaders: [],
          allowCredentials: true,
          maxAgeSeconds: 86_400,
          forwardsUnmatchedPreflights: false,
        },
      },
    ],
    [
      'the older origins of CORS',
      { corsPolicy: { allowOrigin: ['https://a.b'] } },
      {
        cors: {
          allowOrigins: [{ kind: 'exact', value: 'https://a.b' }],
          allowMethods: [],
          allowHeaders: [],
          exposeHeaders: [],
          allowCredentials: false,
          forwardsUnmatchedPreflights: true,
        },
      },
    ],
    [
      'faults',
      { fault: { delay: { percentage: { value: 0.1 }, fixedDelay: '5s' }, abort: { percentage: { value: 50 }, httpStatus: 400 } } },
      { fault: { delay: { percentage: 0.1, duration: 5000 }, abort: { percentage: 50, httpStatus: 400 } } },
    ],
    [
      'a gRPC status by name',
      { fault: { abort: { percentage: { value: 1 }, grpcStatus: 'UNAVAILABLE' } } },
      { fault: { abort: { percentage: 1, grpcStatus: 14 } } },
    ],
    [
      'the older share of a delay',
      { fault: { delay: { percent: 7, fixedDelay: '1s' } } },
      { fault: { delay: { percentage: 7, duration: 1000 } } },
    ],
    ['a fault without a share is none', { fault: { abort: { httpStatus: 500 } } }, {}],
  ];
  test.each(cases)('%s', (_, route, expected) => {
    expect(compile({ route: ROUTE, ...route }).problems).toEqual([]);
    expect(forwarding(route)).toEqual(expected);
  });
});

describe('redirects and answers', () => {
  const cases: [string, IstioHttpRoute, number, Partial<HttpAction>][] = [
    ['a path', { redirect: { uri: '/new' } }, 8080, { redirect: { status: 301, path: { kind: 'full', value: '/new' } } }],
    ['a code', { redirect: { uri: '/', redirectCode: 308 } }, 8080, { redirect: { status: 308, path: { kind: 'full', value: '/' } } }],
    ['a host has the port of its scheme', { redirect: { authority: 'a.b' } }, 8080, { redirect: { status: 301, host: 'a.b', port: 80 } }],
    ['a host with a port', { redirect: { authority: 'a.b:99' } }, 8080, { redirect: { status: 301, host: 'a.b', port: 99 } }],
    ['an IPv6 host with a port', { redirect: { authority: '[::1]:99' } }, 80, { redirect: { status: 301, host: '[::1]', port: 99 } }],
    [
      'https with a host',
      { redirect: { authority: 'a.b', scheme: 'https' } },
      80,
      { redirect: { status: 301, scheme: 'https', host: 'a.b', port: 443 } },
    ],
    ['https alone leaves out the port of http', { redirect: { scheme: 'https' } }, 80, { redirect: { status: 301, scheme: 'https' } }],
    [
      'https alone keeps any other port',
      { redirect: { scheme: 'https' } },
      8080,
      { redirect: { status: 301, scheme: 'https', port: 8080 } },
    ],
    ['a port', { redirect: { port: 99 } }, 80, { redirect: { status: 301, port: 99 } }],
    [
      'the port of the request',
      { redirect: { derivePort: 'FROM_REQUEST_PORT', authority: 'a.b' } },
      8080,
      { redirect: { status: 301, host: 'a.b', port: 8080 } },
    ],
    [
      'the port of the protocol',
      { redirect: { derivePort: 'FROM_PROTOCOL_DEFAULT', scheme: 'https' } },
      8080,
      { redirect: { status: 301, scheme: 'https', port: 443 } },
    ],
    [
      'a prefix',
      { match: [{ uri: { prefix: '/foo/' } }], redirect: { prefixRewrite: '/bar/' } },
      80,
      { redirect: { status: 301, path: { kind: 'prefix', match: '/foo/', value: '/bar/' } } },
    ],
    [
      'an answer',
      { directResponse: { status: 503, body: { string: 'later' } } },
      80,
      { respond: { status: 503, body: 'later', contentType: 'text/plain' } },
    ],
    [
      'an answer of bytes',
      { directResponse: { status: 200, body: { bytes: 'w6Q=' } } },
      80,
      { respond: { status: 200, body: 'ä', contentType: 'text/plain' } },
    ],
    [
      'an empty answer with a header',
      { directResponse: { status: 204 }, headers: { response: { set: { a: 'b' } } } },
      80,
      { respond: { status: 204, body: '' }, responseHeaders: { remove: [], set: [['a', 'b']], add: [] } },
    ],
  ];
  test.each(cases)('%s', (_, route, port, expected) => {
    const { problems, fragments } = compile(route, port);
    expect(problems).toEqual([]);
    expect(fragments[0]!.http!.actions[0]).toEqual({ name: 'VirtualService/default/reviews/0', backends: [], ...expected });
  });
});

describe('retries', () => {
  const retryOf = (retries: IstioHttpRoute['retries']) =>
    compile({ route: ROUTE, ...(retries && { retries }) }).fragments[0]!.http!.actions[0]!.retry;
  test("Istio's own where nothing is said: twice, and never on 503", () => {
    expect(retryOf(undefined)).toEqual(ISTIO_DEFAULT_RETRY);
    expect(ISTIO_DEFAULT_RETRY).toEqual({
      attempts: 2,
      statuses: [],
      on: ['connect-failure', 'refused-stream', 'unavailable', 'cancelled'],
    });
  });
  test('none with 0 attempts', () => {
    expect(retryOf({ attempts: 0 })).toEqual({ attempts: 0, statuses: [], on: [] });
  });
  test('words and statuses', () => {
    const retry = { attempts: 3, perTryTimeout: '2s', retryOn: '5xx, 503,retriable-status-codes,reset', backoff: '10ms' };
    expect(retryOf(retry)).toEqual({ attempts: 3, perTryTimeout: 2000, statuses: [503], on: ['5xx', 'reset'], backoff: 10 });
  });
  test('a count alone keeps the usual reasons', () => {
    expect(retryOf({ attempts: 5 })).toEqual({ ...ISTIO_DEFAULT_RETRY, attempts: 5 });
  });
});

describe('destinations', () => {
  const backendsOf = (...route: NonNullable<IstioHttpRoute['route']>) => compile({ route }).fragments[0]!.http!.actions[0]!.backends;
  test('one takes everything whatever its weight; several share by weight, which may make any sum', () => {
    expect(backendsOf({ destination: { host: 'reviews' }, weight: 0 })).toEqual([BACKEND]);
    expect(backendsOf({ destination: { host: 'reviews' }, weight: 7 }, { destination: { host: 'ratings' } })).toEqual([
      { ...BACKEND, weight: 7 },
      { service: ratings.key, port: 9080, weight: 0 },
    ]);
  });
  test('headers of a destination stay with it, its authority too unless the route sets one', () => {
    const route = [{ destination: { host: 'reviews' }, headers: { request: { set: { a: 'b', host: 'c.d' } } } }];
    const edit = { requestHeaders: { remove: [], set: [['a', 'b']], add: [] } };
    expect(backendsOf(...route)).toMatchObject([{ ...BACKEND, ...edit, rewrite: { host: 'c.d' } }]);
    const { actions } = compile({ route, rewrite: { authority: 'e.f' } }).fragments[0]!.http!;
    expect(actions[0]).toMatchObject({ rewrite: { host: 'e.f' }, backends: [{ ...BACKEND, ...edit }] });
    expect(actions[0]!.backends[0]!.rewrite).toBeUndefined();
  });

  const missing: [string, NonNullable<IstioHttpRoute['route']>[number]['destination'], string, string][] = [
    ['a service that is not there', { host: 'nobody' }, 'host', 'default/nobody.default.svc.cluster.local'],
    ['a name that is not full', { host: 'reviews.default' }, 'host', 'default/reviews.default'],
    ['a service elsewhere', { host: 'nobody.shop.svc.cluster.local' }, 'host', 'shop/nobody.shop.svc.cluster.local'],
    ['an unknown subset', { host: 'reviews', subset: 'v9' }, 'subset', reviews.key],
    ['an unknown port', { host: 'reviews', port: { number: 99 } }, 'port', reviews.key],
  ];
  test.each(missing)('%s is answered with an error, and the status says why', (_, destination, field, key) => {
    const { fragments, problems, condition } = compile({ route: [{ destination }] });
    const [backend] = fragments[0]!.http!.actions[0]!.backends;
    expect(backend!.service).toBe(key);
    expect(backend!.invalid).toBeString();
    expect(problems).toMatchObject([{ kind: 'unresolved', path: `spec.http[0].route[0].destination.${field}` }]);
    expect(condition).toMatchObject({ status: 'True', reason: 'DestinationNotFound' });
  });
  test('a mirror to nowhere is skipped, with its reason', () => {
    const [mirror] = forwarding({ mirror: { host: 'nobody' } }).mirrors!;
    expect(mirror!.invalid).toContain('nobody');
  });
  test('of several ports the one the request came for is meant', () => {
    const two = service('two', { ports: [80, 90] });
    const spec = { hosts: ['two'], http: [{ route: [{ destination: { host: 'two' } }] }] };
    const { fragments } = meshOf({ services: [two], virtualServices: [virtualService(spec)] }).compiled[0]!;
    expect(fragments.map(({ http }) => http!.actions[0]!.backends[0]!.port)).toEqual([80, 90]);
  });
});

describe('what is not in force as written', () => {
  const unsupported: [string, IstioHttpRoute, string][] = [
    ['http2Error', { fault: { abort: { http2Error: 'x', percentage: { value: 1 } } } }, 'fault.abort.http2Error'],
    ['exponentialDelay', { fault: { delay: { exponentialDelay: '1s', percentage: { value: 1 } } } }, 'fault.delay.exponentialDelay'],
    ['remote localities', { retries: { attempts: 1, retryRemoteLocalities: true } }, 'retries.retryRemoteLocalities'],
    ['previous hosts', { retries: { attempts: 1, retryIgnorePreviousHosts: false } }, 'retries.retryIgnorePreviousHosts'],
    ['words of Envoy', { retries: { attempts: 1, retryOn: 'retriable-headers' } }, 'retries.retryOn'],
    ['pseudo-headers', { headers: { request: { set: { ':path': '/' } } } }, 'headers.request.set[:path]'],
    ['host in a response', { headers: { response: { remove: ['host'] } } }, 'headers.response.remove[0]'],
    ['variables of Envoy', { headers: { request: { add: { a: '%DOWNSTREAM_REMOTE_ADDRESS%' } } } }, 'headers.request.add[a]'],
  ];
  test.each(unsupported)('%s: left out and reported', (_, route, path) => {
    const { problems, condition, fragments } = compile({ route: ROUTE, ...route });
    expect(problems).toMatchObject([{ kind: 'unsupported', path: `spec.http[0].${path}` }]);
    expect(condition).toMatchObject({ status: 'True', reason: 'UnsupportedValue' });
    expect(fragments).toHaveLength(1);
  });

  test("a header that was to be overwritten is taken away, so that the client's own does not pass for it", () => {
    const { requestHeaders } = forwarding({ headers: { request: { set: { 'x-peer': '%DOWNSTREAM_PEER_SUBJECT%' } } } });
    expect(requestHeaders).toEqual({ remove: ['x-peer'], set: [], add: [] });
  });

  const invalid: [string, IstioHttpRoute, string][] = [
    ['no action', {}, ''],
    ['two actions', { route: ROUTE, redirect: { uri: '/' } }, ''],
    ['a redirect with a fault', { redirect: { uri: '/' }, fault: { abort: { httpStatus: 400 } } }, '.fault'],
    ['a redirect with a rewrite', { redirect: { uri: '/' }, rewrite: { uri: '/' } }, '.rewrite'],
    ['a redirect to itself', { redirect: {} }, '.redirect'],
    ['a redirect code', { redirect: { uri: '/', redirectCode: 304 } }, '.redirect.redirectCode'],
    ['a redirect with two ports', { redirect: { port: 1, derivePort: 'FROM_REQUEST_PORT' } }, '.redirect'],
    ['a redirect to no port', { redirect: { port: 70_000 } }, '.redirect.port'],
    ['a prefix without a prefix match', { redirect: { prefixRewrite: '/' } }, '.redirect.prefixRewrite'],
    ['a status', { directResponse: { status: 99 } }, '.directResponse.status'],
    ['bytes that are no text', { directResponse: { status: 200, body: { bytes: '/w==' } } }, '.directResponse.body.bytes'],
    ['bytes that are not base64', { directResponse: { status: 200, body: { bytes: '!' } } }, '.directResponse.body.bytes'],
    ['half a byte', { directResponse: { status: 200, body: { bytes: '+' } } }, '.directResponse.body.bytes'],
    ['a body too long', { directResponse: { status: 200, body: { string: 'x'.repeat(1024 * 1024 + 1) } } }, '.directResponse.body'],
    ['an empty rewrite', { route: ROUTE, rewrite: {} }, '.rewrite'],
    ['two rewrites', { route: ROUTE, rewrite: { uri: '/', uriRegexRewrite: { match: 'a', rewrite: '' } } }, '.rewrite'],
    ['a rewrite pattern', { route: ROUTE, rewrite: { uriRegexRewrite: { match: '(', rewrite: '' } } }, '.rewrite.uriRegexRewrite.match'],
    ['a rewrite group', { route: ROUTE, rewrite: { uriRegexRewrite: { match: 'a', rewrite: '\\1' } } }, '.rewrite.uriRegexRewrite.rewrite'],
    ['a timeout', { route: ROUTE, timeout: '5' }, '.timeout'],
    ['a negative timeout', { route: ROUTE, timeout: '-5s' }, '.timeout'],
    ['a retry count', { route: ROUTE, retries: { attempts: -1 } }, '.retries.attempts'],
    ['a retry word', { route: ROUTE, retries: { attempts: 1, retryOn: 'sometimes' } }, '.retries.retryOn'],
    ['a try too short', { route: ROUTE, retries: { attempts: 1, perTryTimeout: '1us' } }, '.retries.perTryTimeout'],
    ['two kinds of mirror', { route: ROUTE, mirror: { host: 'ratings' }, mirrors: [{ destination: { host: 'ratings' } }] }, ''],
    ['a percentage', { route: ROUTE, mirror: { host: 'ratings' }, mirrorPercentage: { value: 101 } }, '.mirrorPercentage'],
    ['an origin', { route: ROUTE, corsPolicy: { allowOrigins: [{}] } }, '.corsPolicy.allowOrigins[0]'],
    ['a fault of nothing', { route: ROUTE, fault: {} }, '.fault'],
    ['a gRPC status', { route: ROUTE, fault: { abort: { grpcStatus: '14' } } }, '.fault.abort.grpcStatus'],
    ['an HTTP status', { route: ROUTE, fault: { abort: { httpStatus: 100 } } }, '.fault.abort.httpStatus'],
    ['a header name', { route: ROUTE, headers: { request: { add: { 'a b': '' } } } }, '.headers.request.add[a b]'],
    ['a header value', { route: ROUTE, headers: { request: { add: { a: 'b\r\nc: d' } } } }, '.headers.request.add[a]'],
    ['a weight', { route: [{ destination: { host: 'reviews' }, weight: -1 }] }, '.route[0].weight'],
    ['weights of 0', { route: [...ROUTE, ...ROUTE] }, '.route'],
    ['a wildcard destination', { route: [{ destination: { host: '*.a.b' } }] }, '.route[0].destination.host'],
    ['no port', { route: [{ destination: { host: 'reviews', port: { number: 70_000 } } }] }, '.route[0].destination.port.number'],
  ];
  test.each(invalid)('%s refuses the object', (_, route, path) => {
    const { problems, condition, fragments, isRefused } = compile(route);
    expect(problems.filter(({ kind }) => kind === 'invalid').map((problem) => problem.path)).toEqual([`spec.http[0]${path}`]);
    expect(condition).toMatchObject({ status: 'False', reason: 'Invalid' });
    expect([fragments, isRefused]).toEqual([[], true]);
  });
});
