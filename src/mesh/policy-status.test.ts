/** Every part of an AuthorizationPolicy that node proxies cannot enforce as written: what they decide instead, and what the status says. */
import { describe, expect, test } from 'bun:test';
import { authorize } from './authorize.ts';
import { convertAuthorizationPolicy } from './policy-conversion.ts';
import type { AuthorizationPolicyObject, PolicyRule } from './policy-object.ts';

type Spec = NonNullable<AuthorizationPolicyObject['spec']>;
const convert = (spec: Spec, annotations?: Record<string, string>) =>
  convertAuthorizationPolicy({ metadata: { name: 'p', namespace: 'team', ...(annotations && { annotations }) }, spec }, 'istio-system');
const friend = { trustDomain: 'td', namespace: 'team', serviceAccount: 'app' };
/** What happens to `team/app` on port 80, from 10.0.0.1. */
const isAllowed = (spec: Spec): boolean => {
  const { authorization } = convert(spec);
  const connection = { sourceIp: '10.0.0.1', destinationIp: '10.1.0.1', destinationPort: 80, identity: friend };
  return authorize(authorization === undefined ? [] : [authorization], connection).allowed;
};
const from = (source: object): PolicyRule => ({ from: [{ source }] });
const to = (operation: object): PolicyRule => ({ to: [{ operation }] });
const when = (key: string, lists: object = { values: ['x'] }): PolicyRule => ({ when: [{ key, ...lists }] });

describe('what exists only at L7', () => {
  test.each<[string, PolicyRule]>([
    ...['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'].map((field): [string, PolicyRule] => [
      `spec.rules[0].to[0].operation.${field}`,
      to({ [field]: ['x'] }),
    ]),
    ...['requestPrincipals', 'notRequestPrincipals', 'remoteIpBlocks', 'notRemoteIpBlocks', 'trustDomains', 'notTrustDomains'].map(
      (field): [string, PolicyRule] => [`spec.rules[0].from[0].source.${field}`, from({ [field]: ['x'] })],
    ),
    ...['request.headers[x]', 'request.auth.principal', 'request.auth.claims[x]', 'remote.ip', 'connection.sni', 'no.such.key'].map(
      (key): [string, PolicyRule] => [`spec.rules[0].when[0].key ${key}`, when(key)],
    ),
  ])('%s: an ALLOW rule lets nobody in, a DENY rule keeps everybody out, and the status says so', (path, rule) => {
    expect([isAllowed({ action: 'ALLOW', rules: [rule] }), isAllowed({ action: 'DENY', rules: [rule] })]).toEqual([false, false]);
    expect(convert({ action: 'ALLOW', rules: [rule] }).condition).toEqual({
      type: 'ZtunnelAccepted',
      status: 'True',
      reason: 'UnsupportedValue',
      message: `ztunnel cannot enforce ${path}: rules with them allow nothing; use targetRefs with a waypoint`,
    });
    expect(convert({ action: 'DENY', rules: [rule] }).condition?.message).toBe(
      `ztunnel cannot enforce ${path}: they are ignored, so more is denied; use targetRefs with a waypoint`,
    );
  });

  test('an L4 part beside it still counts in a DENY, and other rules of an ALLOW stay', () => {
    const denied = (port: string) => !isAllowed({ action: 'DENY', rules: [to({ methods: ['GET'], ports: [port] })] });
    expect([denied('80'), denied('81')]).toEqual([true, false]);
    expect(isAllowed({ action: 'ALLOW', rules: [to({ methods: ['GET'] }), from({ namespaces: ['team'] })] })).toBe(true);
  });
});

describe('values nobody can have', () => {
  test.each<[string, PolicyRule, PolicyRule]>([
    ['from[0].source.ipBlocks[0] "10.0.0.0/99"', from({ ipBlocks: ['10.0.0.0/99'] }), from({ notIpBlocks: ['10.0.0.0/99'] })],
    ['from[0].source.ipBlocks[0] "host.example"', from({ ipBlocks: ['host.example'] }), from({ notIpBlocks: ['host.example'] })],
    [
      'from[0].source.principals[0] "spiffe://td/ns/team/sa/app"',
      from({ principals: ['spiffe://td/ns/team/sa/app'] }),
      from({ notPrincipals: ['spiffe://td/ns/team/sa/app'] }),
    ],
    [
      'from[0].source.principals[0] "td/ns/*/sa/app"',
      from({ principals: ['td/ns/*/sa/app'] }),
      from({ notPrincipals: ['td/ns/*/sa/app'] }),
    ],
    ['from[0].source.namespaces[0] "t*m"', from({ namespaces: ['t*m'] }), from({ notNamespaces: ['t*m'] })],
    ['from[0].source.namespaces[0] ""', from({ namespaces: [''] }), from({ notNamespaces: [''] })],
    ['from[0].source.serviceAccounts[0] "team/*"', from({ serviceAccounts: ['team/*'] }), from({ notServiceAccounts: ['team/*'] })],
    ['to[0].operation.ports[0] "http"', to({ ports: ['http'] }), to({ notPorts: ['http'] })],
    ['to[0].operation.ports[0] "65536"', to({ ports: ['65536'] }), to({ notPorts: ['65536'] })],
    ['when[0].values[0] "10.0.0"', when('source.ip', { values: ['10.0.0'] }), when('source.ip', { notValues: ['10.0.0'] })],
    ['when[0].values[0] "0"', when('destination.port', { values: ['0'] }), when('destination.port', { notValues: ['0'] })],
  ])('%s: an ALLOW lets nobody in by it, a DENY everybody out, in its positive form and its negative', (text, positive, negative) => {
    for (const rule of [positive, negative])
      expect([isAllowed({ action: 'ALLOW', rules: [rule] }), isAllowed({ action: 'DENY', rules: [rule] })]).toEqual([false, false]);
    expect(convert({ action: 'ALLOW', rules: [positive] }).condition).toMatchObject({
      status: 'True',
      reason: 'UnsupportedValue',
      message: `spec.rules[0].${text}: what they should allow is not allowed; correct the values`,
    });
    expect(convert({ action: 'DENY', rules: [positive] }).condition?.message).toBe(
      `spec.rules[0].${text}: more is denied than written; correct the values`,
    );
  });

  test.each<[string, PolicyRule]>([
    ['from[0].source', from({})],
    ['to[0].operation', to({})],
    ['when[0]', when('source.ip', {})],
  ])('%s with nothing in it: an ALLOW lets nobody in, a DENY everybody out', (path, rule) => {
    expect([isAllowed({ action: 'ALLOW', rules: [rule] }), isAllowed({ action: 'DENY', rules: [rule] })]).toEqual([false, false]);
    expect(convert({ action: 'DENY', rules: [rule] }).problems).toEqual([`spec.rules[0].${path}: is empty`]);
  });
});

describe('policies that are not enforced at all say so', () => {
  test.each(['AUDIT', 'CUSTOM'])('action %s', (action) => {
    expect(isAllowed({ action, rules: [from({ namespaces: ['x'] })] })).toBe(true);
    expect(convert({ action }).condition).toEqual({
      type: 'ZtunnelAccepted',
      status: 'False',
      reason: 'UnsupportedValue',
      message: `spec.action: ztunnel does not support ${action}, so nothing is enforced; use ALLOW or DENY, or targetRefs with a waypoint`,
    });
  });
  test('in dry run', () => {
    expect(convert({ action: 'DENY', rules: [{}] }, { 'istio.io/dry-run': 'true' })).toMatchObject({
      condition: { status: 'False', reason: 'DryRun', message: 'the annotation istio.io/dry-run is set, so nothing is enforced' },
    });
    expect(convert({ action: 'DENY', rules: [{}] }, { 'istio.io/dry-run': 'maybe' }).authorization?.dryRun).toBe(false);
  });
});
