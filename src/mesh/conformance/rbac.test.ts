/** Policies held against the cases of a real ztunnel (docs/conformance/ztunnel.md, families "rbac" and "state": decisions). */
import { describe, expect, test } from 'bun:test';
import { authorize, policiesFor, rejectionMessage } from '../authorize.ts';
import { type Connection, compilePolicy, prepareConnection } from '../compile-policy.ts';
import { NEVER } from '../match.ts';
import type { Authorization, Match, StringMatch } from '../model.ts';
import { match, policy, registryOf, workload } from '../test-fixtures.ts';

const exact = (value: string): StringMatch => ({ kind: 'exact', value });
const plain: Connection = { sourceIp: '127.0.0.1', destinationIp: '127.0.0.2', destinationPort: 8080 };
const tls: Connection = { ...plain, identity: { trustDomain: 'td', namespace: 'namespace', serviceAccount: 'account' } };
const other: Connection = {
  sourceIp: '127.0.0.3',
  destinationIp: '127.0.0.4',
  destinationPort: 9090,
  identity: { trustDomain: 'td-alt', namespace: 'ns-alt', serviceAccount: 'sa=alt' },
};
const hits = (rules: Authorization['rules'], connection: Connection): boolean =>
  compilePolicy(policy('p', { namespace: 'namespace', scope: 'GLOBAL', rules })).matches(prepareConnection(connection));
const of = (...rules: Match[][][]): Authorization['rules'] =>
  rules.map((clauses) => ({ clauses: clauses.map((matches) => ({ matches })) }));
const ip = (address: string, length = 32) => [{ address, length }];
const account = [{ namespace: 'namespace', serviceAccount: 'account' }];

describe('one attribute, seen from plain text, its own identity and another', () => {
  test.each<[string, Partial<Match>, [boolean, boolean, boolean]]>([
    ['namespaces', { namespaces: [exact('namespace')] }, [false, true, false]],
    ['not namespaces', { notNamespaces: [exact('namespace')] }, [true, false, true]],
    ['service accounts', { serviceAccounts: account }, [false, true, false]],
    ['not service accounts', { notServiceAccounts: account }, [true, false, true]],
    ['principals', { principals: [exact('td/ns/namespace/sa/account')] }, [false, true, false]],
    ['not principals', { notPrincipals: [exact('td/ns/namespace/sa/account')] }, [true, false, true]],
    ['source addresses', { sourceIps: ip('127.0.0.1') }, [true, true, false]],
    ['not source addresses', { notSourceIps: ip('127.0.0.1') }, [false, false, true]],
    ['destination addresses', { destinationIps: ip('127.0.0.2') }, [true, true, false]],
    ['not destination addresses', { notDestinationIps: ip('127.0.0.2') }, [false, false, true]],
    ['a range written with host bits', { destinationIps: ip('127.0.0.1', 24) }, [true, true, true]],
    ['ports', { destinationPorts: [8080] }, [true, true, false]],
    ['not ports', { notDestinationPorts: [8080] }, [false, false, true]],
  ])('%s', (_title, part, expected) => {
    expect([plain, tls, other].map((connection) => hits(of([[match(part)]]), connection))).toEqual(expected);
  });
});

test('emptiness: a match never, a clause always, a rule always, no rules never', () => {
  expect([of([[NEVER]]), of([[]]), of([]), of()].map((rules) => hits(rules, plain))).toEqual([false, true, true, false]);
});

describe('nesting', () => {
  const from = (namespace: string, destinationPort = 80): Connection => ({
    sourceIp: '127.0.0.1',
    destinationIp: '127.0.0.2',
    destinationPort,
    identity: { trustDomain: 'td', namespace, serviceAccount: 'account' },
  });
  const either = [match({ namespaces: [exact('a')] }), match({ namespaces: [exact('b')] })];
  test('matches of a clause are alternatives, clauses of a rule conditions', () => {
    const rules = of([either, [match({ destinationPorts: [80] })]]);
    expect([from('a'), from('b'), from('bad'), from('b', 12_345)].map((one) => hits(rules, one))).toEqual([true, true, false, false]);
  });
  test('rules are alternatives', () => {
    const rules = of(...either.map((one) => [[one]]));
    expect([from('a'), from('b'), from('bad')].map((one) => hits(rules, one))).toEqual([true, true, false]);
  });
});

describe('text of an identity', () => {
  const named = (namespace: string): Connection => ({ ...plain, identity: { trustDomain: 'td', namespace, serviceAccount: 'a' } });
  test.each<[StringMatch, string, boolean]>([
    [exact('foo'), 'foo', true],
    [exact('foo'), 'not', false],
    [exact('foo'), '', false],
    [{ kind: 'prefix', value: 'foo' }, 'foobar', true],
    [{ kind: 'prefix', value: 'foo' }, 'notfoo', false],
    [{ kind: 'prefix', value: 'foo' }, '', false],
    [{ kind: 'suffix', value: 'foo' }, 'barfoo', true],
    [{ kind: 'suffix', value: 'foo' }, 'foonot', false],
    [{ kind: 'suffix', value: 'foo' }, '', false],
    [{ kind: 'presence' }, 'foo', true],
    [{ kind: 'presence' }, '', false],
  ])('%p against "%s": %p', (matcher, text, expected) => {
    expect(hits(of([[match({ namespaces: [matcher] })]]), text === '' ? plain : named(text))).toBe(expected);
  });
});

describe('decision for a workload', () => {
  const principal = (serviceAccount: string) => of([[match({ principals: [exact(`cluster.local/ns/default/sa/${serviceAccount}`)] })]]);
  const own = (name: string, over: Partial<Authorization>) => policy(name, { namespace: 'ns1', ...over });
  const real = [own('foo', { rules: principal('friend') }), own('deny', { action: 'DENY', rules: principal('foe') })];
  const wildcards = (['ALLOW', 'DENY'] as const).map((action) => own(`wild-${action}`, { action, rules: of([]), dryRun: true }));
  const decide = (policies: readonly Authorization[], namespace: string, serviceAccount: string) => {
    const to = workload('w', { namespace });
    const found = policiesFor(registryOf(...policies, to), to).policies;
    return authorize(found, { ...plain, identity: { trustDomain: 'cluster.local', namespace: 'default', serviceAccount } });
  };

  test.each<[string, string, string, string]>([
    ['a namespace without policies allows', 'ns2', 'stranger', ''],
    ['an ALLOW that matches allows', 'ns1', 'friend', ''],
    ['with an ALLOW in force, whom none names is denied', 'ns1', 'stranger', 'allow policies exist, but none allowed'],
    ['a DENY that matches denies', 'ns1', 'foe', 'explicitly denied by: ns1/deny'],
  ])('%s, whatever policies in dry run say', (_title, namespace, serviceAccount, reason) => {
    const decision = decide([...wildcards, ...real], namespace, serviceAccount);
    expect([decision.allowed, decision.reason]).toEqual([reason === '', reason]);
  });

  test('no policy at all allows', () => expect(decide([], 'ns1', 'friend').allowed).toBe(true));

  test('policies in dry run beside real ones decide nothing and are reported', () => {
    const dry = [
      own('dry-deny', { action: 'DENY', dryRun: true, rules: [...principal('friend'), ...principal('foe')] }),
      own('dry-allow', { dryRun: true, rules: principal('friend') }),
    ];
    const decision = decide([...real, ...dry], 'ns1', 'friend');
    expect(decision.allowed).toBe(true);
    expect([...decision.dryRun].sort((a, b) => (a.policy < b.policy ? -1 : 1))).toEqual([
      { policy: 'ns1/dry-allow', action: 'ALLOW', matched: true },
      { policy: 'ns1/dry-deny', action: 'DENY', matched: true },
    ]);
  });

  test('the access log says who denied', () => {
    expect(rejectionMessage(decide(real, 'ns1', 'foe'))).toBe('connection closed due to policy rejection: explicitly denied by: ns1/deny');
  });
});

test('a policy that changes from its namespace to a selector applies no longer by namespace', () => {
  const rules = of([[match({ namespaces: [exact('whatever')] })]]);
  const registry = registryOf(policy('p', { rules }));
  expect(registry.policiesOfNamespace('default')).toHaveLength(1);
  registry.insertPolicy(policy('p', { rules, scope: 'WORKLOAD_SELECTOR' }));
  expect(registry.policiesOfNamespace('default')).toEqual([]);
});
