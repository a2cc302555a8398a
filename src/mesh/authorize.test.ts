import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { authorize, POLICY_CHANGE_MESSAGE, policiesFor, rejectionMessage } from './authorize.ts';
import { type Connection, compilePolicy, prepareConnection } from './compile-policy.ts';
import { parseIdentity } from './identity.ts';
import { ALWAYS, NEVER } from './match.ts';
import type { Authorization, Match, StringMatch } from './model.ts';
import { match, policy, registryOf, workload } from './test-fixtures.ts';
import type { Trace } from './trace.ts';

const connection: Connection = {
  sourceIp: '10.0.0.1',
  destinationIp: '10.0.0.2',
  destinationPort: 8080,
  identity: parseIdentity('spiffe://td/ns/team/sa/app'),
};
const plain: Connection = { ...connection, identity: undefined };
const oneMatch = (only: Match, over: Partial<Authorization> = {}): Authorization =>
  policy('p', { rules: [{ clauses: [{ matches: [only] }] }], ...over });
const hits = (value: Authorization, to: Connection = connection): boolean => compilePolicy(value).matches(prepareConnection(to));
const matches = (part: Partial<Match>, to: Connection = connection): boolean => hits(oneMatch(match(part)), to);
const exact = (value: string): StringMatch => ({ kind: 'exact', value });
const PRESENCE: StringMatch = { kind: 'presence' };

describe('emptiness', () => {
  test('no rules never match', () => expect(hits(policy('p'))).toBe(false));
  test('a rule without clauses always matches', () => expect(hits(policy('p', { rules: [{ clauses: [] }] }))).toBe(true));
  test('a clause without matches always matches', () => expect(hits(policy('p', { rules: [{ clauses: [{ matches: [] }] }] }))).toBe(true));
  test('an empty match never matches', () => expect(hits(oneMatch(NEVER))).toBe(false));
  test('an empty match beside another one does not spoil it', () =>
    expect(hits(policy('p', { rules: [{ clauses: [{ matches: [NEVER, match({ destinationPorts: [8080] })] }] }] }))).toBe(true));
  test('"not to port 0" is the match that always holds', () => {
    expect(hits(oneMatch(ALWAYS))).toBe(true);
    expect(hits(oneMatch(ALWAYS), plain)).toBe(true);
  });
});

describe('combination', () => {
  const yes = match({ destinationPorts: [8080] });
  const no = match({ destinationPorts: [1] });
  const of = (...rules: Match[][][]) =>
    policy('p', { rules: rules.map((clauses) => ({ clauses: clauses.map((all) => ({ matches: all })) })) });
  test.each([
    ['any rule suffices', of([[no]], [[yes]]), true],
    ['no rule matches', of([[no]], [[no]]), false],
    ['all clauses must hold', of([[yes], [no]]), false],
    ['all clauses hold', of([[yes], [yes]]), true],
    ['any match of a clause suffices', of([[no, yes]]), true],
    ['all kinds of a match must hold', of([[match({ destinationPorts: [8080], namespaces: [exact('other')] })]]), false],
    ['all kinds of a match hold', of([[match({ destinationPorts: [8080], namespaces: [exact('team')] })]]), true],
  ])('%s', (_title, value, expected) => {
    expect(hits(value)).toBe(expected);
  });
});

describe('kinds', () => {
  test.each<[string, Partial<Match>, boolean, boolean]>([
    ['port among several', { destinationPorts: [1, 8080] }, true, true],
    ['other port', { destinationPorts: [15_008] }, false, false],
    ['not this port', { notDestinationPorts: [8080] }, false, false],
    ['not another port', { notDestinationPorts: [1] }, true, true],
    ['positive and negative of one kind', { destinationPorts: [8080], notDestinationPorts: [8080] }, false, false],
    ['principal without scheme', { principals: [exact('td/ns/team/sa/app')] }, true, false],
    ['principal with scheme never hits', { principals: [exact('spiffe://td/ns/team/sa/app')] }, false, false],
    ['principal prefix', { principals: [{ kind: 'prefix', value: 'td/ns/team/' }] }, true, false],
    ['principal suffix', { principals: [{ kind: 'suffix', value: '/sa/app' }] }, true, false],
    ['principal presence', { principals: [PRESENCE] }, true, false],
    ['no principal at all: what STRICT denies', { notPrincipals: [PRESENCE] }, false, true],
    ['not this principal holds for plain text', { notPrincipals: [exact('td/ns/team/sa/app')] }, false, true],
    ['empty prefix hits nobody without identity', { principals: [{ kind: 'prefix', value: '' }] }, true, false],
    ['namespace', { namespaces: [exact('team')] }, true, false],
    ['namespace presence', { namespaces: [PRESENCE] }, true, false],
    ['the namespace of plain text is empty', { namespaces: [exact('')] }, false, true],
    ['not this namespace', { notNamespaces: [exact('team')] }, false, true],
    ['service account, whatever the trust domain', { serviceAccounts: [{ namespace: 'team', serviceAccount: 'app' }] }, true, false],
    ['service account of another namespace', { serviceAccounts: [{ namespace: 'x', serviceAccount: 'app' }] }, false, false],
    ['not this service account', { notServiceAccounts: [{ namespace: 'team', serviceAccount: 'app' }] }, false, true],
    ['source range', { sourceIps: [{ address: '10.0.0.0', length: 24 }] }, true, true],
    ['other source range', { sourceIps: [{ address: '10.0.1.0', length: 24 }] }, false, false],
    ['not this source range', { notSourceIps: [{ address: '10.0.0.1', length: 32 }] }, false, false],
    ['destination range', { destinationIps: [{ address: '10.0.0.2', length: 32 }] }, true, true],
    ['not this destination', { notDestinationIps: [{ address: '10.0.0.2', length: 32 }] }, false, false],
    ['an undecodable range still constrains', { sourceIps: [{ address: 'x', length: 8 }] }, false, false],
  ])('%s', (_title, part, withIdentity, withoutIdentity) => {
    expect([matches(part), matches(part, plain)]).toEqual([withIdentity, withoutIdentity]);
  });

  test('a mapped IPv4 source is in IPv4 ranges', () => {
    expect(matches({ sourceIps: [{ address: '10.0.0.0', length: 24 }] }, { ...connection, sourceIp: '::ffff:10.0.0.1' })).toBe(true);
  });
});

describe('decision', () => {
  const allow = (name: string, holds: boolean, over: Partial<Authorization> = {}) => ({ ...oneMatch(holds ? ALWAYS : NEVER, over), name });
  const deny = (name: string, holds: boolean, over: Partial<Authorization> = {}) => allow(name, holds, { action: 'DENY', ...over });
  const NONE = 'allow policies exist, but none allowed';

  test.each<[string, Authorization[], boolean, string]>([
    ['no policy', [], true, ''],
    ['a DENY that does not match, and no ALLOW', [deny('d', false)], true, ''],
    ['a DENY that matches', [deny('d', true)], false, 'explicitly denied by: default/d'],
    ['a DENY that matches, although an ALLOW does', [allow('a', true), deny('d', true)], false, 'explicitly denied by: default/d'],
    ['an ALLOW that matches', [allow('a', false), allow('b', true)], true, ''],
    ['only ALLOWs that do not match', [allow('a', false), deny('d', false)], false, NONE],
    ['an ALLOW without rules allows nothing', [policy('nothing')], false, NONE],
    ['a DENY without rules denies nothing', [policy('nothing', { action: 'DENY' })], true, ''],
    ['a DENY in dry run', [deny('d', true, { dryRun: true })], true, ''],
    ['an ALLOW in dry run does not make others necessary', [allow('a', false, { dryRun: true })], true, ''],
    ['an ALLOW in dry run does not allow', [allow('a', true, { dryRun: true }), allow('b', false)], false, NONE],
  ])('%s', (_title, policies, allowed, reason) => {
    const decision = authorize(policies, connection);
    expect([decision.allowed, decision.reason]).toEqual([allowed, reason]);
    expect(authorize(policies, connection, [])).toEqual(decision);
  });

  test('names the policy that decided, and the access log’s error', () => {
    const denied = authorize([deny('d', true)], connection);
    expect(denied.policy).toBe('default/d');
    expect(rejectionMessage(denied)).toBe('connection closed due to policy rejection: explicitly denied by: default/d');
    expect(rejectionMessage(authorize([allow('a', false)], connection))).toBe(`connection closed due to policy rejection: ${NONE}`);
    expect(POLICY_CHANGE_MESSAGE).toBe('connection closed due to policy change');
    expect(authorize([allow('a', true)], connection).policy).toBe('default/a');
  });

  test('reports what policies in dry run would have done', () => {
    const { dryRun } = authorize([deny('real', true), deny('d', true, { dryRun: true }), allow('a', false, { dryRun: true })], connection);
    expect(dryRun).toEqual([
      { policy: 'default/d', action: 'DENY', matched: true },
      { policy: 'default/a', action: 'ALLOW', matched: false },
    ]);
  });

  test('explains how every policy looked at the connection', () => {
    const trace: Trace = [];
    authorize([deny('d', true), deny('e', false), allow('a', true)], connection, trace);
    expect(trace.map(({ text }) => text)).toEqual([
      'DENY default/d: matches',
      'DENY default/e: does not match',
      'ALLOW default/a: matches',
      'explicitly denied by: default/d',
    ]);
  });

  test('never allows what a matching DENY denies, in any order', () => {
    const some = fc.record({ deny: fc.boolean(), holds: fc.boolean(), dryRun: fc.boolean() });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 6 }), (specs) => {
        const policies = specs.map((spec, i) => (spec.deny ? deny : allow)(`p${i}`, spec.holds, { dryRun: spec.dryRun }));
        const enforced = specs.filter(({ dryRun }) => !dryRun);
        const allows = enforced.filter((spec) => !spec.deny);
        const expected = !enforced.some((spec) => spec.deny && spec.holds) && (allows.length === 0 || allows.some(({ holds }) => holds));
        expect(authorize(policies, connection).allowed).toBe(expected);
        expect(authorize(policies.toReversed(), connection).allowed).toBe(expected);
      }),
    );
  });
});

describe('which policies apply', () => {
  const global = policy('g', { scope: 'GLOBAL', namespace: 'root' });
  const own = policy('n');
  const foreign = policy('n', { namespace: 'other' });
  const selected = policy('w', { scope: 'WORKLOAD_SELECTOR' });
  const names = (over: Parameters<typeof workload>[1]) => {
    const found = policiesFor(registryOf(global, own, foreign, selected), workload('a', over));
    return { policies: found.policies.map(({ namespace, name }) => `${namespace}/${name}`), missing: found.missing };
  };

  test('the global ones, those of the namespace, and those listed', () => {
    expect(names({ authorizationPolicies: ['default/w'] }).policies).toEqual(['root/g', 'default/n', 'default/w']);
  });
  test('a selector policy applies to nobody who does not list it', () => {
    expect(names({}).policies).toEqual(['root/g', 'default/n']);
  });
  test('keys that are not known are reported and constrain nothing', () => {
    expect(names({ authorizationPolicies: ['default/later'] })).toEqual({ policies: ['root/g', 'default/n'], missing: ['default/later'] });
  });
  test('a policy listed twice applies once', () => {
    expect(names({ authorizationPolicies: ['default/n', 'default/w', 'default/w'] }).policies).toEqual([
      'root/g',
      'default/n',
      'default/w',
    ]);
  });
});

test('compiles a policy once', () => {
  const value = oneMatch(ALWAYS);
  expect(compilePolicy(value)).toBe(compilePolicy(value));
});
