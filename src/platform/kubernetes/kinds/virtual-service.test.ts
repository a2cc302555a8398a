import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type VirtualService, type VirtualServiceHttpRoute, VirtualServiceKind } from './index.ts';
import { durationMilliseconds } from './istio-rules.ts';

const destination = { host: 'reviews', subset: 'v1' };
const route = [{ destination }];
const service = (spec: VirtualService['spec']): VirtualService => ({ metadata: { name: 'v', namespace: 'bookinfo' }, spec: spec ?? {} });
const wrongFields = (object: VirtualService): string[] => VirtualServiceKind.validate(object).map((problem) => problem.field);

const HTTP = 'spec.http[0]';
test.each<[string, VirtualServiceHttpRoute, string[]]>([
  ['a destination', { route }, []],
  ['no action', { match: [{ uri: { prefix: '/' } }] }, [HTTP]],
  ['a redirect', { redirect: { uri: '/new' } }, []],
  ['a redirect beside a route', { redirect: { uri: '/new' }, route }, [`${HTTP}.route`]],
  [
    'a redirect beside a fault and a rewrite',
    { redirect: { uri: '/' }, fault: { abort: {} }, rewrite: { uri: '/' } },
    [`${HTTP}.fault`, `${HTTP}.rewrite`],
  ],
  ['a direct response', { directResponse: { status: 503, body: { string: 'x' } } }, []],
  ['a direct response beside a route', { directResponse: { status: 503 }, route }, [`${HTTP}.route`]],
  ['a direct response of a bad status', { directResponse: { status: 100 } }, [`${HTTP}.directResponse.status`]],
  [
    'a direct response too large',
    { directResponse: { status: 200, body: { string: 'x'.repeat(2 ** 20 + 1) } } },
    [`${HTTP}.directResponse.body`],
  ],
  ['a delegate', { delegate: { name: 'd' } }, []],
  ['a delegate beside a route', { delegate: { name: 'd' }, route }, [`${HTTP}.route`]],
  ['mirror and mirrors', { route, mirror: destination, mirrors: [{ destination }] }, [`${HTTP}.mirrors`]],
  ['no host', { route: [{ destination: { host: '' } }] }, [`${HTTP}.route[0].destination.host`]],
  ['a bad host', { route: [{ destination: { host: 'a_b' } }] }, [`${HTTP}.route[0].destination.host`]],
  ['every host', { route: [{ destination: { host: '*' } }] }, [`${HTTP}.route[0].destination.host`]],
  ['a bad subset', { route: [{ destination: { host: 'a', subset: 'v.1' } }] }, [`${HTTP}.route[0].destination.subset`]],
  ['port 0', { route: [{ destination: { host: 'a', port: {} } }] }, [`${HTTP}.route[0].destination.port.number`]],
  [
    'weights',
    {
      route: [
        { destination, weight: 80 },
        { destination, weight: 20 },
      ],
    },
    [],
  ],
  [
    'weights that are all 0',
    {
      route: [
        { destination, weight: 0 },
        { destination, weight: 0 },
      ],
    },
    [`${HTTP}.route`],
  ],
  ['no weights for two', { route: [{ destination }, { destination }] }, [`${HTTP}.route`]],
  ['a negative weight', { route: [{ destination, weight: -1 }] }, [`${HTTP}.route[0].weight`]],
  ['an empty prefix of the URI', { route, match: [{ uri: { prefix: '' } }] }, []],
  ['an empty prefix of a header', { route, match: [{ headers: { a: { prefix: '' } } }] }, [`${HTTP}.match[0].headers[a].prefix`]],
  ['a header that must be there', { route, match: [{ headers: { a: {} } }] }, []],
  ['a header that must not be there', { route, match: [{ withoutHeaders: { a: { regex: '*' } } }] }, []],
  ['a bad header name', { route, match: [{ headers: { 'a b': {} } }] }, [`${HTTP}.match[0].headers`]],
  ['the claims of a token', { route, match: [{ headers: { '@request.auth.claims.group': { exact: 'a' } } }] }, []],
  ['an empty expression', { route, match: [{ uri: { regex: '' } }] }, [`${HTTP}.match[0].uri.regex`]],
  ['an expression too long', { route, match: [{ authority: { regex: 'a'.repeat(1025) } }] }, [`${HTTP}.match[0].authority.regex`]],
  ['a bad namespace', { route, match: [{ sourceNamespace: 'a.b' }] }, [`${HTTP}.match[0].sourceNamespace`]],
  ['bad labels', { route, match: [{ sourceLabels: { 'a/b/c': 'd' } }] }, [`${HTTP}.match[0].sourceLabels`]],
  ['a bad port', { route, match: [{ port: 70000 }] }, [`${HTTP}.match[0].port`]],
  ['a timeout', { route, timeout: '1.5s' }, []],
  ['a timeout without unit', { route, timeout: '15' }, [`${HTTP}.timeout`]],
  ['a timeout too short', { route, timeout: '10us' }, [`${HTTP}.timeout`]],
  ['retries', { route, retries: { attempts: 3, perTryTimeout: '2s', retryOn: '5xx,reset,503' } }, []],
  ['retries on nothing known', { route, retries: { attempts: 3, retryOn: 'rain' } }, [`${HTTP}.retries.retryOn`]],
  ['retries switched off', { route, retries: { attempts: 0 } }, []],
  ['settings of retries that are switched off', { route, retries: { attempts: 0, retryOn: '5xx' } }, [`${HTTP}.retries`]],
  ['a delay', { route, fault: { delay: { fixedDelay: '5s', percentage: { value: 0.1 } } } }, []],
  ['a fault that is none', { route, fault: {} }, [`${HTTP}.fault`]],
  ['an abort of a bad status', { route, fault: { abort: { httpStatus: 1 } } }, [`${HTTP}.fault.abort.httpStatus`]],
  ['an abort by name', { route, fault: { abort: { grpcStatus: 'UNAVAILABLE' } } }, []],
  ['an abort by no name', { route, fault: { abort: { grpcStatus: '14' } } }, [`${HTTP}.fault.abort.grpcStatus`]],
  [
    'too large a share',
    { route, fault: { abort: { httpStatus: 500, percentage: { value: 101 } } } },
    [`${HTTP}.fault.abort.percentage.value`],
  ],
  ['too small a share', { route, mirrorPercentage: { value: 0.00001 } }, [`${HTTP}.mirrorPercentage.value`]],
  ['an old share', { route, mirrorPercent: 101 }, [`${HTTP}.mirrorPercent`]],
  ['a mirror without host', { route, mirrors: [{ destination: { host: '' } }] }, [`${HTTP}.mirrors[0].destination.host`]],
  ['CORS', { route, corsPolicy: { allowOrigins: [{ exact: '*' }], allowMethods: ['GET'], allowHeaders: ['x-a'], maxAge: '24h' } }, []],
  ['CORS of no origin', { route, corsPolicy: { allowOrigins: [{}] } }, [`${HTTP}.corsPolicy.allowOrigins[0]`]],
  ['CORS of no method', { route, corsPolicy: { allowMethods: ['get'] } }, [`${HTTP}.corsPolicy.allowMethods[0]`]],
  ['CORS of half a second', { route, corsPolicy: { maxAge: '500ms' } }, [`${HTTP}.corsPolicy.maxAge`]],
  ['headers', { route, headers: { request: { set: { 'x-a': '%REQ(b)%', host: 'c' } }, response: { remove: ['server'] } } }, []],
  ['the host of a response', { route, headers: { response: { set: { Host: 'a' } } } }, [`${HTTP}.headers.response.set`]],
  ['a pseudo header', { route, headers: { request: { add: { ':path': '/' } } } }, [`${HTTP}.headers.request.add`]],
  ['a header value of two lines', { route, headers: { request: { add: { a: 'b\r\nc: d' } } } }, [`${HTTP}.headers.request.add`]],
  ['half a variable', { route, headers: { request: { add: { a: '50%' } } } }, [`${HTTP}.headers.request.add`]],
  ['the authority set twice', { route, rewrite: { authority: 'a' }, headers: { request: { set: { ':authority': 'b' } } } }, [HTTP]],
  ['an empty redirect', { redirect: {} }, [`${HTTP}.redirect`]],
  ['a redirect of a bad code', { redirect: { uri: '/', redirectCode: 200 } }, [`${HTTP}.redirect.redirectCode`]],
  ['a redirect of a bad scheme', { redirect: { scheme: 'ftp' } }, [`${HTTP}.redirect.scheme`]],
  [
    'a redirected prefix of an exact path',
    { match: [{ uri: { exact: '/a' } }], redirect: { prefixRewrite: '/b' } },
    [`${HTTP}.redirect.prefixRewrite`],
  ],
  ['an empty rewrite', { route, rewrite: {} }, [`${HTTP}.rewrite`]],
  ['two rewrites', { route, rewrite: { uri: '/', uriRegexRewrite: { match: 'a', rewrite: 'b' } } }, [`${HTTP}.rewrite`]],
  ['half a rewrite', { route, rewrite: { uriRegexRewrite: { match: 'a' } } }, [`${HTTP}.rewrite.uriRegexRewrite`]],
])('an HTTP route with %s', (_title, http, expected) => {
  expect(wrongFields(service({ hosts: ['reviews'], http: [http] }))).toEqual(expected);
});

const http = [{ route }];
test.each<[string, VirtualService['spec'], string[]]>([
  ['no routes', { hosts: ['a'] }, ['spec']],
  ['a wildcard and an address', { hosts: ['*.b.c', '10.0.0.1'], http }, []],
  ['every host within the mesh', { hosts: ['*'], http }, ['spec.hosts[0]']],
  ['every host at a gateway', { hosts: ['*'], gateways: ['istio-system/in'], http }, []],
  ['a host within another', { hosts: ['*.c', 'a.b.c'], http }, ['spec.hosts[1]']],
  ['a numeric top level', { hosts: ['a.1'], http }, ['spec.hosts[0]']],
  ['a bad gateway', { hosts: ['a'], gateways: ['a/b/c'], http }, ['spec.gateways[0]']],
  ['no hosts: a delegate', { http }, []],
  ['gateways of a delegate', { gateways: ['mesh'], http }, ['spec.gateways']],
  ['a delegate of a delegate', { http: [{ delegate: { name: 'x' } }] }, ['spec.http[0].delegate']],
  ['export to itself, twice', { hosts: ['a'], exportTo: ['.', 'bookinfo'], http }, ['spec.exportTo[1]']],
  ['export to all and one', { hosts: ['a'], exportTo: ['*', 'b'], http }, ['spec.exportTo']],
  ['export to nobody', { hosts: ['a'], exportTo: ['~'], http }, ['spec.exportTo[0]']],
  ['TCP', { hosts: ['a'], tcp: [{ match: [{ port: 27017, destinationSubnets: ['10.0.0.0/8'] }], route }] }, []],
  [
    'a bad subnet',
    { hosts: ['a'], tcp: [{ match: [{ destinationSubnets: ['10.0.0.0/33'] }], route }] },
    ['spec.tcp[0].match[0].destinationSubnets[0]'],
  ],
  ['TCP to nowhere', { hosts: ['a'], tcp: [{ match: [{ port: 1 }] }] }, ['spec.tcp[0].route']],
  ['TLS', { hosts: ['*.b.c'], tls: [{ match: [{ sniHosts: ['a.b.c'] }], route }] }, []],
  ['TLS of another host', { hosts: ['a.b.c'], tls: [{ match: [{ sniHosts: ['d'] }], route }] }, ['spec.tls[0].match[0].sniHosts[0]']],
  ['TLS without names', { hosts: ['a'], tls: [{ match: [{ sniHosts: [] }], route }] }, ['spec.tls[0].match[0].sniHosts']],
  ['TLS without a match', { hosts: ['a'], tls: [{ match: [], route }] }, ['spec.tls[0].match']],
])('a VirtualService with %s', (_title, spec, expected) => {
  expect(wrongFields(service(spec))).toEqual(expected);
});

test('gateways and hosts print as lists', () => {
  expect(VirtualServiceKind.cells(service({ hosts: ['a', 'b'], gateways: ['mesh'] }), 0).slice(1, 3)).toEqual(['["mesh"]', '["a","b"]']);
  expect(VirtualServiceKind.cells(service({}), 0).slice(1, 3)).toEqual([null, null]);
});

test('durations are read as Go writes them, and nothing else is one', () => {
  expect(durationMilliseconds('1h1m1.5s')).toBe(3_661_500);
  for (const text of ['', '1', 's', '1 s', '-1s', '1d', '1s1']) expect(durationMilliseconds(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.nat(9999), fc.nat(59), fc.nat(999), (hours, seconds, milliseconds) => {
      const expected = hours * 3_600_000 + seconds * 1000 + milliseconds;
      expect(durationMilliseconds(`${hours}h${seconds}s${milliseconds}ms`)).toBe(expected);
    }),
  );
});
