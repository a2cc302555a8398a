/** What an AuthorizationPolicy is converted to, against what it says: evaluated a second time, from the object and in three values. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { authorize } from './authorize.ts';
import type { Connection } from './compile-policy.ts';
import { convertAuthorizationPolicy } from './policy-conversion.ts';
import type { PolicyCondition, PolicyOperation, PolicyRule, PolicySource } from './policy-object.ts';

/** `undefined`: cannot be known at this layer, or from this text. */
type Truth = boolean | undefined;
const not = (a: Truth): Truth => (a === undefined ? undefined : !a);
const all = (truths: readonly Truth[]): Truth => (truths.includes(false) ? false : truths.includes(undefined) ? undefined : true);
const any = (truths: readonly Truth[]): Truth => (truths.includes(true) ? true : truths.includes(undefined) ? undefined : false);

const octets = (ip: string): number => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const inRange = (text: string, ip: string): Truth => {
  const match = /^(\d+\.\d+\.\d+\.\d+)(?:\/(\d+))?$/.exec(text);
  if (match === null || Number(match[2] ?? 32) > 32) return undefined;
  const size = 2 ** (32 - Number(match[2] ?? 32));
  return Math.floor(octets(match[1]!) / size) === Math.floor(octets(ip) / size);
};
const like = (pattern: string, value: string): Truth => {
  if (pattern === '*') return value !== '';
  const body = pattern.replace(/^\*|\*$/, '');
  if (body === '' || body.includes('*')) return undefined;
  if (pattern.startsWith('*')) return value.endsWith(body);
  return pattern.endsWith('*') ? value.startsWith(body) : value === body;
};
const principalOf = ({ identity }: Connection): string =>
  identity === undefined ? '' : `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
const tests = {
  principal: (text: string, c: Connection): Truth => (text.includes('://') ? undefined : like(text, principalOf(c))),
  namespace: (text: string, c: Connection): Truth => like(text, c.identity?.namespace ?? ''),
  account: (text: string, c: Connection): Truth => {
    const [a = '', b] = text.split('/');
    if (text === '' || text.includes('*') || a === '' || b === '' || text.split('/').length > 2) return undefined;
    const [namespace, name] = b === undefined ? ['team', a] : [a, b];
    return c.identity?.namespace === namespace && c.identity.serviceAccount === name;
  },
  source: (text: string, c: Connection): Truth => inRange(text, c.sourceIp),
  destination: (text: string, c: Connection): Truth => inRange(text, c.destinationIp),
  port: (text: string, c: Connection): Truth =>
    /^[1-9]\d*$/.test(text) && Number(text) < 65_536 ? Number(text) === c.destinationPort : undefined,
};
type Kind = keyof typeof tests;
/** One of the values, none of the others; lists that are not there say nothing. */
const both = (kind: Kind, yes: readonly string[] | undefined, no: readonly string[] | undefined, c: Connection): Truth =>
  all([
    yes === undefined || yes.length === 0 ? true : any(yes.map((text) => tests[kind](text, c))),
    not(any((no ?? []).map((text) => tests[kind](text, c)))),
  ]);
const known = (...lists: (readonly string[] | undefined)[]): Truth => (lists.some((list) => (list?.length ?? 0) > 0) ? undefined : true);

const sourceSays = (s: PolicySource, c: Connection): Truth =>
  all([
    both('principal', s.principals, s.notPrincipals, c),
    both('namespace', s.namespaces, s.notNamespaces, c),
    both('account', s.serviceAccounts, s.notServiceAccounts, c),
    both('source', s.ipBlocks, s.notIpBlocks, c),
    known(s.requestPrincipals, s.notRequestPrincipals, s.remoteIpBlocks, s.notRemoteIpBlocks, s.trustDomains, s.notTrustDomains),
  ]);
const operationSays = (o: PolicyOperation, c: Connection): Truth =>
  all([both('port', o.ports, o.notPorts, c), known(o.hosts, o.notHosts, o.methods, o.notMethods, o.paths, o.notPaths)]);
const KEYS: Readonly<Record<string, Kind>> = {
  'source.ip': 'source',
  'source.namespace': 'namespace',
  'source.principal': 'principal',
  'destination.ip': 'destination',
  'destination.port': 'port',
};
const conditionSays = ({ key, values, notValues }: PolicyCondition, c: Connection): Truth =>
  KEYS[key] === undefined ? undefined : both(KEYS[key], values, notValues, c);
const ruleSays = ({ from = [], to = [], when = [] }: PolicyRule, c: Connection): Truth =>
  all([
    from.length === 0 ? true : any(from.map(({ source }) => sourceSays(source ?? {}, c))),
    to.length === 0 ? true : any(to.map(({ operation }) => operationSays(operation ?? {}, c))),
    ...when.map((condition) => conditionSays(condition, c)),
  ]);

/** What the policy must let through at most: what is not known does not hold in an ALLOW, and holds in a DENY. */
const allowsAtMost = (action: 'ALLOW' | 'DENY', rules: readonly PolicyRule[], c: Connection): boolean => {
  const says = any(rules.map((rule) => ruleSays(rule, c)));
  return action === 'ALLOW' ? says === true : says === false;
};

const TEXTS: Readonly<Record<Kind, readonly string[]>> = {
  principal: ['*', 'td/ns/team/*', '*/sa/app', 'td/ns/team/sa/app', 'spiffe://td/ns/team/sa/app', 'td/*/sa/app', ''],
  namespace: ['*', 'team', 'te*', '*am', 'x', 't*m', ''],
  account: ['app', 'team/app', 'x/app', '*', 'team/*', '/', 'a/b/c'],
  source: ['10.0.0.1', '10.0.0.0/24', '10.0.0.0/8', '10.0.0.0/99', 'x', '10.0.0'],
  destination: ['10.1.0.1', '10.1.0.0/16', '10.2.0.0/16', '10.1.0.0/x'],
  port: ['80', '8080', '0', '65536', 'http', ''],
};
const texts = (kind: Kind) =>
  fc.option(fc.array(fc.constantFrom(...TEXTS[kind]), { minLength: 1, maxLength: 3 }), { nil: undefined, freq: 2 });
const rarely = fc.option(fc.constant(['x']), { nil: undefined, freq: 8 });
const present = <T extends object>(value: T): T => Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
const source = fc
  .record({
    principals: texts('principal'),
    notPrincipals: texts('principal'),
    namespaces: texts('namespace'),
    notNamespaces: texts('namespace'),
    serviceAccounts: texts('account'),
    notServiceAccounts: texts('account'),
    ipBlocks: texts('source'),
    notIpBlocks: texts('source'),
    requestPrincipals: rarely,
    remoteIpBlocks: rarely,
    notTrustDomains: rarely,
  })
  .map(present)
  .filter((value) => Object.keys(value).length > 0);
const operation = fc
  .record({ ports: texts('port'), notPorts: texts('port'), methods: rarely, notPaths: rarely })
  .map(present)
  .filter((value) => Object.keys(value).length > 0);
const condition = fc
  .constantFrom<[string, Kind]>(...(Object.entries(KEYS) as [string, Kind][]), ['request.headers[x]', 'port'])
  .chain(([key, kind]) => fc.record({ values: texts(kind), notValues: texts(kind) }).map((lists) => ({ key, ...present(lists) })))
  .filter(({ values, notValues }) => values !== undefined || notValues !== undefined);
const rule = fc
  .record({
    from: fc.option(
      fc.array(
        source.map((value) => ({ source: value })),
        { minLength: 1, maxLength: 2 },
      ),
      { nil: undefined },
    ),
    to: fc.option(
      fc.array(
        operation.map((value) => ({ operation: value })),
        { minLength: 1, maxLength: 2 },
      ),
      { nil: undefined },
    ),
    when: fc.option(fc.array(condition, { minLength: 1, maxLength: 2 }), { nil: undefined }),
  })
  .map(present);
const connections: Connection[] = ['10.0.0.1', '10.9.9.9'].flatMap((sourceIp) =>
  [undefined, ['td', 'team', 'app'], ['td', 'x', 'app'], ['other', 'team', 'app'], ['td', 'team', 'else']].flatMap((parts) =>
    [80, 8080].map((destinationPort) => ({
      sourceIp,
      destinationIp: '10.1.0.1',
      destinationPort,
      identity: parts && { trustDomain: parts[0]!, namespace: parts[1]!, serviceAccount: parts[2]! },
    })),
  ),
);
const convert = (action: 'ALLOW' | 'DENY', rules: PolicyRule[]) =>
  convertAuthorizationPolicy({ metadata: { name: 'p', namespace: 'team' }, spec: { action, rules } }, 'istio-system');

test('lets no connection through that the policy, read from its safe side, does not let through', () => {
  fc.assert(
    fc.property(fc.constantFrom('ALLOW' as const, 'DENY' as const), fc.array(rule, { maxLength: 3 }), (action, rules) => {
      const { authorization, problems, condition: status } = convert(action, rules);
      const differs = connections.map((connection) => {
        const { allowed } = authorize([authorization!], connection);
        const atMost = allowsAtMost(action, rules, connection);
        return allowed === atMost ? 'same' : allowed ? 'lets more in' : 'lets less in';
      });
      expect(differs).not.toContain('lets more in');
      // And nothing is lost without a word.
      if (differs.includes('lets less in')) expect(problems).not.toEqual([]);
      expect(status?.reason).toBe(problems.length === 0 ? 'Accepted' : 'UnsupportedValue');
    }),
    { numRuns: 400 },
  );
}, 60_000);
