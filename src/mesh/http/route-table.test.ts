import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Trace } from '../trace.ts';
import { explainMatch } from './explain-route.ts';
import type { HttpAction, HttpMatch, HttpTable, RequestView, StringCondition } from './plan.ts';
import { compileRegex } from './regex.ts';
import { compileHttpTable } from './route-table.ts';

const action = (name: string): HttpAction => ({ name, backends: [] });
const tableOf = (...matches: HttpMatch[]): HttpTable => ({
  rules: matches.map((match, i) => ({ match, action: i })),
  actions: matches.map((_, i) => action(`r${i}`)),
});
const request = (path: string, over: Partial<RequestView> = {}): RequestView => ({
  method: 'GET',
  path,
  authority: 'reviews',
  scheme: 'http',
  headers: [],
  ...over,
});
const taken = (table: HttpTable, view: RequestView, namespace?: string): string | undefined =>
  compileHttpTable(table).match(view, namespace)?.action.name;
const exact = (value: string): StringCondition => ({ kind: 'exact', value });

test('a table without rules takes nothing, an empty match takes everything', () => {
  expect(taken(tableOf(), request('/'))).toBeUndefined();
  expect(taken(tableOf({}), request('*'))).toBe('r0');
});

test('the first rule that matches is taken, whatever index it is found by', () => {
  const table = tableOf(
    { path: { kind: 'regex', value: '/a/[0-9]+' } },
    { path: { kind: 'exact', value: '/a/b' }, headers: [{ name: 'x', condition: exact('1') }] },
    { path: { kind: 'segments', value: '/a' } },
    { path: { kind: 'exact', value: '/a/b' } },
    {},
  );
  expect(taken(table, request('/a/7'))).toBe('r0');
  expect(taken(table, request('/a/b', { headers: [['x', '1']] }))).toBe('r1');
  expect(taken(table, request('/a/b'))).toBe('r2');
  expect(taken(table, request('/b'))).toBe('r4');
});

describe('paths', () => {
  test.each([
    ['exact', '/a', '/a', true],
    ['exact', '/a', '/a/', false],
    ['exact', '/a', '/a?b=/c', true],
    ['segments', '/a', '/a', true],
    ['segments', '/a', '/a/b', true],
    ['segments', '/a/', '/a', true],
    ['segments', '/a', '/ab', false],
    ['segments', '/', '/anything', true],
    ['segments', '/', '*', false],
    ['prefix', '/a', '/ab', true],
    ['prefix', '/a/', '/a', false],
    ['prefix', '', 'x', true],
    ['regex', '/a/.*', '/a/b?c', true],
    ['regex', '/a/.', '/a/b?c', true],
    ['regex', '/a', '/ab', false],
    ['exact', '/a b', '/a%20b', false],
  ] as const)('%s %s against %s: %p', (kind, value, path, holds) =>
    expect(taken(tableOf({ path: { kind, value } }), request(path))).toBe(holds ? 'r0' : undefined),
  );

  test.each(['exact', 'segments', 'prefix', 'regex'] as const)('%s may ignore case', (kind) => {
    const value = kind === 'regex' ? '/[A]/B' : '/a/B';
    expect(taken(tableOf({ path: { kind, value, ignoreCase: true } }), request('/A/b'))).toBe('r0');
    expect(taken(tableOf({ path: { kind, value } }), request('/A/b'))).toBeUndefined();
  });

  test('the condition that held is known to the rewrite', () => {
    const found = compileHttpTable(tableOf({ path: { kind: 'segments', value: '/a' } })).match(request('/a/b'), undefined);
    expect(found).toMatchObject({ rule: 0, path: { kind: 'segments', value: '/a' } });
  });
});

describe('hosts', () => {
  const table = tableOf({ hosts: ['*.example.com', 'other'] }, { hosts: ['a.example.com'] }, { hosts: ['example.com'] });
  test.each([
    ['a.example.com', 'r0'],
    ['B.A.Example.com:8080', 'r0'],
    ['example.com:80', 'r2'],
    ['.example.com', undefined],
    ['xexample.com', undefined],
    ['other', 'r0'],
    ['', undefined],
  ])('%s: %p', (authority, name) => expect(taken(table, request('/', { authority }))).toBe(name as never));

  test('an IPv6 address is a host with its brackets', () => {
    expect(taken(tableOf({ hosts: ['[::1]'] }), request('/', { authority: '[::1]:80' }))).toBe('r0');
  });
});

describe('fields', () => {
  const byHeader = (condition: StringCondition, isInverted = false) => tableOf({ headers: [{ name: 'x', condition, isInverted }] });
  const holds = (table: HttpTable, ...values: string[]) =>
    taken(table, request('/', { headers: values.map((v) => ['x', v] as const) })) !== undefined;

  test('of several headers of one name any one counts, and all of them as one list', () => {
    expect(holds(byHeader(exact('a,b')), 'a', 'b')).toBe(true);
    expect(holds(byHeader(exact('b')), 'a', 'b')).toBe(true);
    expect(holds(byHeader(exact('c')), 'a', 'b')).toBe(false);
  });
  test('a second header does not hide what an inverted condition keeps out', () => {
    expect(holds(byHeader(exact('a'), true), 'a', 'b')).toBe(false);
    expect(holds(byHeader(exact('a'), true), 'b', 'a')).toBe(false);
    expect(holds(byHeader(exact('a,b'), true), 'a', 'b')).toBe(false);
    expect(holds(byHeader(exact('c'), true), 'a', 'b')).toBe(true);
  });
  test('an absent header has no value, but for an inverted condition an empty one', () => {
    expect(holds(byHeader({ kind: 'prefix', value: '' }))).toBe(false);
    expect(holds(byHeader({ kind: 'present', value: '' }), '')).toBe(true);
    expect(holds(byHeader(exact('a'), true))).toBe(true);
    expect(holds(byHeader(exact('a'), true), 'a')).toBe(false);
    expect(holds(byHeader({ kind: 'regex', value: '.*' }, true))).toBe(false);
    expect(holds(byHeader({ kind: 'present', value: '' }, true))).toBe(true);
  });
  test('the first query parameter of the name counts, as it is written', () => {
    const table = tableOf({ query: [{ name: 'q', condition: exact('1') }] });
    expect(taken(table, request('/?q=1&q=2'))).toBe('r0');
    expect(taken(table, request('/?q=2&q=1'))).toBeUndefined();
    expect(taken(table, request('/?xq=1&q=%31'))).toBeUndefined();
    expect(taken(table, request('/?a&q=1#q=2'))).toBe('r0');
    expect(taken(table, request('/'))).toBeUndefined();
  });
  test('many rules that differ in one header are found by its value', () => {
    const models = Array.from({ length: 50 }, (_, i): HttpMatch => ({ headers: [{ name: 'model', condition: exact(`m${i}`) }] }));
    const table = tableOf(...models, { method: exact('POST') });
    expect(taken(table, request('/', { headers: [['model', 'm49']] }))).toBe('r49');
    expect(taken(table, request('/', { headers: [['model', 'x']], method: 'POST' }))).toBe('r50');
    expect(taken(table, request('/'))).toBeUndefined();
  });
});

/** The rules as `plan.ts` words them, one after the other. */
const naive = (table: HttpTable, view: RequestView, namespace: string | undefined): number | undefined => {
  const path = view.path.split('?')[0]!;
  const text = ({ kind, value, ignoreCase }: StringCondition, given: string | undefined): boolean => {
    if (given === undefined) return false;
    const [a, b] = ignoreCase ? [given.toLowerCase(), value.toLowerCase()] : [given, value];
    if (kind === 'exact') return a === b;
    if (kind === 'prefix') return a.startsWith(b);
    if (kind === 'suffix') return a.endsWith(b);
    if (kind === 'present') return true;
    const regex = compileRegex(ignoreCase ? `(?i)${value}` : value);
    return regex.ok && regex.value.matches(given);
  };
  const pathHolds = (match: NonNullable<HttpMatch['path']>): boolean => {
    if (match.kind !== 'segments') return text({ ...match, kind: match.kind }, path);
    const [a, b] = match.ignoreCase ? [path.toLowerCase(), match.value.toLowerCase()] : [path, match.value];
    const base = b.replace(/\/$/, '');
    return a === base || a.startsWith(`${base}/`);
  };
  const header = (name: string): (string | undefined)[] => {
    const values = view.headers.filter(([n]) => n === name).map(([, v]) => v);
    return values.length === 0 ? [undefined] : [...values, values.join(',')];
  };
  const query = (name: string): string | undefined =>
    (view.path.split('?')[1] ?? '')
      .split('&')
      .map((part) => part.split('='))
      .find(([n]) => n === name)?.[1];
  const host = view.authority.toLowerCase().replace(/:\d+$/, '');
  const index = table.rules.findIndex(({ match }) => {
    if (match.path && !pathHolds(match.path)) return false;
    if (match.method && !text(match.method, view.method)) return false;
    if (match.hosts && !match.hosts.some((h) => (h.startsWith('*.') ? host.length >= h.length && host.endsWith(h.slice(1)) : h === host)))
      return false;
    if (match.authority && !text(match.authority, view.authority)) return false;
    if (match.scheme && !text(match.scheme, view.scheme)) return false;
    if (match.sourceNamespace !== undefined && match.sourceNamespace !== namespace) return false;
    for (const { name, condition, isInverted } of match.headers ?? []) {
      const isMet = header(name).some((value) => text(condition, isInverted && condition.kind !== 'present' ? (value ?? '') : value));
      if (isMet === (isInverted ?? false)) return false;
    }
    return (match.query ?? []).every(({ name, condition }) => text(condition, query(name)));
  });
  return index < 0 ? undefined : index;
};

test('the index finds what reading the rules one by one finds', () => {
  const some = <T>(value: fc.Arbitrary<T>, key: string) =>
    fc.option(value, { nil: undefined, freq: 2 }).map((v) => (v === undefined ? {} : { [key]: v }));
  const word = fc.constantFrom('a', 'b', 'aa', 'ab', 'A', '');
  const path = fc.array(word, { maxLength: 3 }).map((words) => `/${words.join('/')}`);
  const pathMatch = fc.record({
    kind: fc.constantFrom('exact' as const, 'segments' as const, 'prefix' as const),
    value: path,
    ignoreCase: fc.boolean(),
  });
  const regexMatch = fc.record({
    kind: fc.constant('regex' as const),
    value: fc.constantFrom('/a.*', '/(a|b)/?', '/a/b+', '.*b', '/a|/b', '/ab?'),
    ignoreCase: fc.boolean(),
  });
  const condition: fc.Arbitrary<StringCondition> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('exact' as const), value: fc.constantFrom('1', '2', '3') }) },
    fc.record({
      kind: fc.constantFrom('exact' as const, 'prefix' as const, 'suffix' as const, 'regex' as const, 'present' as const),
      value: fc.constantFrom('1', 'a', 'B', ''),
      ignoreCase: fc.boolean(),
    }),
  );
  const field = fc.record({ name: fc.constantFrom('x', 'y'), condition, isInverted: fc.boolean() });
  const match: fc.Arbitrary<HttpMatch> = fc
    .tuple(
      some(fc.oneof({ weight: 4, arbitrary: pathMatch }, regexMatch), 'path'),
      some(fc.array(fc.constantFrom('a.com', '*.a.com', 'b.a.com', '*.com', 'x'), { minLength: 1, maxLength: 3 }), 'hosts'),
      some(fc.array(field, { maxLength: 2 }), 'headers'),
      some(
        fc.array(
          field.map(({ name, condition: c }) => ({ name, condition: c })),
          { maxLength: 1 },
        ),
        'query',
      ),
      some(fc.constantFrom('n1', 'n2'), 'sourceNamespace'),
      some(condition, 'method'),
    )
    .map((parts) => Object.assign({}, ...parts) as HttpMatch);
  const view: fc.Arbitrary<RequestView> = fc.record({
    method: fc.constantFrom('1', 'GET', '2'),
    path: fc.tuple(path, fc.constantFrom('', '?', '?x=1', '?x=2&y=1&x=1', '?y=a')).map((parts) => parts.join('')),
    authority: fc.constantFrom('a.com', 'b.a.com:80', 'c.b.A.com', 'x', 'y'),
    scheme: fc.constant('http'),
    headers: fc.array(fc.tuple(fc.constantFrom('x', 'y'), fc.constantFrom('1', '2', '3', 'ab')), { maxLength: 3 }),
  });
  let found = 0;
  fc.assert(
    fc.property(fc.array(match, { maxLength: 60 }), fc.array(view, { minLength: 10, maxLength: 10 }), (matches, views) => {
      const table = tableOf(...matches);
      const compiled = compileHttpTable(table);
      for (const one of views) {
        const expected = naive(table, one, 'n1');
        expect(compiled.match(one, 'n1')?.rule).toBe(expected);
        expect(explainMatch(table, one, 'n1', [])?.rule).toBe(expected);
        if (expected !== undefined && expected > 0) found++;
      }
    }),
    { numRuns: 400 },
  );
  expect(found).toBeGreaterThan(400);
});

test('an explanation says what each rule asked for and what it got', () => {
  const trace: Trace = [];
  const table = tableOf(
    { path: { kind: 'segments', value: '/a' } },
    { headers: [{ name: 'x', condition: exact('1'), isInverted: true }] },
    { sourceNamespace: 'other' },
    { path: { kind: 'prefix', value: '/b' }, method: exact('GET') },
  );
  expect(explainMatch(table, request('/b?q', { headers: [['x', '1']] }), undefined, trace)?.rule).toBe(3);
  expect(trace.map(({ text }) => text)).toEqual([
    'rule 0 (r0) is passed over, as not: path lies under "/a": "/b"',
    'rule 1 (r1) is passed over, as not: header "x" not: is "1": "1"',
    'rule 2 (r2) is passed over, as not: client is in namespace other: absent',
    'rule 3 (r3) is taken: path begins with "/b" and method is "GET"',
  ]);
  const none: Trace = [];
  explainMatch(tableOf(...Array.from({ length: 150 }, () => ({ method: exact('POST') }))), request('/'), undefined, none);
  expect(none).toHaveLength(101);
  expect(none.at(-1)?.text).toBe('none of 150 rules takes the request');
});
