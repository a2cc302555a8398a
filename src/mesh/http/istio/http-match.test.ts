import { describe, expect, test } from 'bun:test';
import { meshOf, service, virtualService } from './test-mesh.ts';
import type { IstioHttpMatch } from './virtual-service-object.ts';

const reviews = service('reviews', { ports: [80, 8080] });
const compile = (...match: IstioHttpMatch[]) => {
  const spec = { hosts: ['reviews'], http: [{ match, route: [{ destination: { host: 'reviews' } }] }] };
  return meshOf({ services: [reviews], virtualServices: [virtualService(spec)] }).compiled[0]!;
};
const rulesAt = (port: number, ...match: IstioHttpMatch[]) =>
  compile(...match)
    .fragments.find((fragment) => fragment.port === port)
    ?.http?.rules.map((rule) => rule.match);

describe('conditions of a match', () => {
  const cases: [string, IstioHttpMatch, object][] = [
    ['an exact path', { uri: { exact: '/a' } }, { path: { kind: 'exact', value: '/a' } }],
    ['a prefix of characters', { uri: { prefix: '/a' } }, { path: { kind: 'prefix', value: '/a' } }],
    ['a pattern of the path', { uri: { regex: '/[0-9]+' } }, { path: { kind: 'regex', value: '/[0-9]+' } }],
    ['a path in any case', { uri: { prefix: '/a' }, ignoreUriCase: true }, { path: { kind: 'prefix', value: '/a', ignoreCase: true } }],
    ['a pattern keeps its case', { uri: { regex: '/a' }, ignoreUriCase: true }, { path: { kind: 'regex', value: '/a' } }],
    ['an empty path condition is none', { uri: {} }, {}],
    ['a method', { method: { exact: 'GET' } }, { method: { kind: 'exact', value: 'GET' } }],
    ['an authority', { authority: { prefix: 'a.' } }, { authority: { kind: 'prefix', value: 'a.' } }],
    ['a scheme', { scheme: { exact: 'http' } }, { scheme: { kind: 'exact', value: 'http' } }],
    ['an empty method condition is none', { method: {} }, {}],
    [
      'headers, by name, in lower case',
      { headers: { 'X-B': { regex: 'v.*' }, 'x-a': { exact: '' } } },
      {
        headers: [
          { name: 'x-b', condition: { kind: 'regex', value: 'v.*' } },
          { name: 'x-a', condition: { kind: 'exact', value: '' } },
        ],
      },
    ],
    ['presence of a header', { headers: { a: {} } }, { headers: [{ name: 'a', condition: { kind: 'present', value: '' } }] }],
    ['presence written as null', { headers: { a: null } }, { headers: [{ name: 'a', condition: { kind: 'present', value: '' } }] }],
    ['presence written as *', { headers: { a: { regex: '*' } } }, { headers: [{ name: 'a', condition: { kind: 'present', value: '' } }] }],
    [
      'headers that must not be',
      { withoutHeaders: { a: { prefix: 'b' } } },
      { headers: [{ name: 'a', condition: { kind: 'prefix', value: 'b' }, isInverted: true }] },
    ],
    [
      'query parameters keep their case',
      { queryParams: { Key: { exact: 'true' } } },
      { query: [{ name: 'Key', condition: { kind: 'exact', value: 'true' } }] },
    ],
    ['the namespace of the client', { sourceNamespace: 'shop' }, { sourceNamespace: 'shop' }],
    ['the gateway mesh among others', { gateways: ['ingress', 'mesh'], uri: { exact: '/' } }, { path: { kind: 'exact', value: '/' } }],
  ];
  test.each(cases)('%s', (_, match, expected) => {
    const { problems, fragments } = compile(match);
    expect([problems, fragments[0]!.http!.rules[0]!.match]).toEqual([[], expected]);
  });

  test('each match is a rule of its own, in the order written, up to one that takes everything', () => {
    const [a, all, b] = [{ uri: { exact: '/a' } }, { uri: { prefix: '/' } }, { uri: { exact: '/b' } }];
    expect(rulesAt(80, a, b)).toEqual([{ path: { kind: 'exact', value: '/a' } }, { path: { kind: 'exact', value: '/b' } }]);
    expect(rulesAt(80, a, all, b)).toEqual([{ path: { kind: 'exact', value: '/a' } }, { path: { kind: 'prefix', value: '/' } }]);
  });

  test('a port keeps the match from other ports, which then go to the service itself', () => {
    expect(rulesAt(80, { port: 80 })).toEqual([{}]);
    expect(rulesAt(8080, { port: 80 })).toBeUndefined();
  });

  test('a match for other gateways only is none for the mesh', () => {
    const { fragments, problems } = compile({ gateways: ['ingress'] });
    expect([fragments, problems]).toEqual([[], []]);
  });
});

describe('what a waypoint cannot know', () => {
  const cases: [string, IstioHttpMatch, string][] = [
    ['labels of the client', { sourceLabels: { app: 'a' } }, 'spec.http[0].match[0].sourceLabels'],
    [
      'claims of a token',
      { headers: { '@request.auth.claims.admin': { exact: 'true' } } },
      'spec.http[0].match[0].headers[@request.auth.claims.admin]',
    ],
    ['pseudo-headers', { withoutHeaders: { ':path': { exact: '/' } } }, 'spec.http[0].match[0].withoutHeaders[:path]'],
  ];
  test.each(cases)('%s: the match holds for nothing, the rest stays, the status says so', (_, match, path) => {
    const { fragments, problems, condition, isRefused } = compile(match, { uri: { exact: '/kept' } });
    expect(fragments.map(({ http }) => http!.rules.map((rule) => rule.match))).toEqual([
      [{ path: { kind: 'exact', value: '/kept' } }],
      [{ path: { kind: 'exact', value: '/kept' } }],
    ]);
    expect(problems).toMatchObject([{ kind: 'unsupported', path }]);
    expect([isRefused, condition]).toMatchObject([false, { status: 'True', reason: 'UnsupportedValue' }]);
    expect(condition!.message).toContain(path);
  });

  test('labels beside another condition do not widen the match', () => {
    expect(rulesAt(80, { sourceLabels: { app: 'a' }, uri: { exact: '/a' } })).toBeUndefined();
  });

  test('statistics of Envoy are mentioned, the match counts', () => {
    expect(compile({ statPrefix: 'x' }).problems).toMatchObject([{ kind: 'unsupported', path: 'spec.http[0].match[0].statPrefix' }]);
    expect(rulesAt(80, { statPrefix: 'x' })).toEqual([{}]);
  });
});

describe('what is invalid refuses the whole object', () => {
  const cases: [string, IstioHttpMatch, string][] = [
    ['a pattern that is none', { headers: { a: { regex: '(' } } }, 'spec.http[0].match[0].headers[a].regex'],
    ['a path pattern *', { uri: { regex: '*' } }, 'spec.http[0].match[0].uri.regex'],
    ['an empty pattern', { uri: { regex: '' } }, 'spec.http[0].match[0].uri.regex'],
    ['an empty prefix', { authority: { prefix: '' } }, 'spec.http[0].match[0].authority.prefix'],
    ['two ways at once', { method: { exact: 'GET', prefix: 'G' } }, 'spec.http[0].match[0].method'],
    ['a header without a name', { headers: { '': { exact: 'a' } } }, 'spec.http[0].match[0].headers'],
    ['a name that is too long', { sourceNamespace: 'a'.repeat(1025) }, 'spec.http[0].match[0].sourceNamespace'],
  ];
  test.each(cases)('%s', (_, match, path) => {
    const { fragments, problems, condition, isRefused } = compile({ uri: { exact: '/good' } }, match);
    expect([fragments, isRefused]).toEqual([[], true]);
    expect(problems.filter(({ kind }) => kind === 'invalid').map((problem) => problem.path)).toContain(
      path.replace('match[0]', 'match[1]'),
    );
    expect(condition).toMatchObject({ type: 'WaypointAccepted', status: 'False', reason: 'Invalid' });
  });

  test('one is enough, and each is named once although every port is compiled', () => {
    expect(compile({ uri: { regex: '(' } }, { uri: { regex: '[' } }).problems.map(({ path }) => path)).toEqual([
      'spec.http[0].match[0].uri.regex',
      'spec.http[0].match[1].uri.regex',
    ]);
  });
});
