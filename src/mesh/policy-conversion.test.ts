import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { authorize } from './authorize.ts';
import type { Connection } from './compile-policy.ts';
import { parseIdentity } from './identity.ts';
import { ALWAYS, NEVER } from './match.ts';
import { convertAuthorizationPolicy, selectsWorkload } from './policy-conversion.ts';
import type { AuthorizationPolicyObject, PolicyRule } from './policy-object.ts';

type Spec = NonNullable<AuthorizationPolicyObject['spec']>;
const convert = (spec: Spec, metadata: AuthorizationPolicyObject['metadata'] = {}) =>
  convertAuthorizationPolicy({ metadata: { name: 'p', namespace: 'team', ...metadata }, spec }, 'istio-system');
const rulesOf = (action: 'ALLOW' | 'DENY', ...rules: PolicyRule[]) => convert({ action, rules }).authorization!.rules;
const from = (source: NonNullable<NonNullable<PolicyRule['from']>[number]['source']>): PolicyRule => ({ from: [{ source }] });
const to = (operation: NonNullable<NonNullable<PolicyRule['to']>[number]['operation']>): PolicyRule => ({ to: [{ operation }] });
const only = (match: object) => [{ clauses: [{ matches: [{ ...NEVER, ...match }] }] }];

describe('scope', () => {
  test('a namespace, the whole mesh from the root namespace, or the selected workloads', () => {
    expect(convert({}).authorization?.scope).toBe('NAMESPACE');
    expect(convert({}, { namespace: 'istio-system' }).authorization?.scope).toBe('GLOBAL');
    expect(convert({ selector: { matchLabels: { app: 'a' } } }, { namespace: 'istio-system' }).authorization?.scope).toBe(
      'WORKLOAD_SELECTOR',
    );
    expect(convert({ selector: { matchLabels: {} } }).authorization?.scope).toBe('NAMESPACE');
  });

  test('a selector policy is listed by matching workloads of its namespace, or of all from the root namespace', () => {
    const selector = { matchLabels: { app: 'a' } };
    const own = convert({ selector });
    const root = convert({ selector }, { namespace: 'istio-system' });
    const is = (policy: typeof own, namespace: string, labels: Record<string, string>) =>
      selectsWorkload(policy, { namespace, labels }, 'istio-system');
    expect([is(own, 'team', { app: 'a', x: 'y' }), is(own, 'team', { app: 'b' }), is(own, 'other', { app: 'a' })]).toEqual([
      true,
      false,
      false,
    ]);
    expect(is(root, 'other', { app: 'a' })).toBe(true);
    expect(is(convert({}), 'team', { app: 'a' })).toBe(false);
  });
});

describe('what is not for node proxies', () => {
  test('policies with targets are not sent and not judged', () => {
    expect(convert({ targetRefs: [{}] })).toEqual({ problems: [] });
    expect(convert({ targetRef: {} })).toEqual({ problems: [] });
    expect(convert({ targetRefs: [] }).authorization).toBeDefined();
  });
  test('AUDIT and CUSTOM are refused in the status', () => {
    for (const action of ['AUDIT', 'CUSTOM']) {
      const { authorization, condition } = convert({ action });
      expect(authorization).toBeUndefined();
      expect(condition).toMatchObject({ type: 'ZtunnelAccepted', status: 'False', reason: 'UnsupportedValue' });
    }
  });
  test('dry run is not sent, unless asked for', () => {
    const policy = { metadata: { name: 'p', namespace: 'team', annotations: { 'istio.io/dry-run': 'true' } }, spec: {} };
    expect(convertAuthorizationPolicy(policy, 'root').authorization).toBeUndefined();
    expect(convertAuthorizationPolicy(policy, 'root', { sendDryRun: true }).authorization?.dryRun).toBe(true);
  });
});

describe('rules', () => {
  test('operations, sources and each condition become clauses, in that order', () => {
    const [rule] = rulesOf('ALLOW', {
      from: [{ source: { namespaces: ['a'] } }, { source: { namespaces: ['b'] } }],
      to: [{ operation: { ports: ['80'] } }],
      when: [
        { key: 'destination.port', values: ['80'] },
        { key: 'source.ip', notValues: ['10.0.0.1'] },
      ],
    });
    expect(rule?.clauses.map(({ matches }) => matches)).toEqual([
      [{ ...NEVER, destinationPorts: [80] }],
      [
        { ...NEVER, namespaces: [{ kind: 'exact', value: 'a' }] },
        { ...NEVER, namespaces: [{ kind: 'exact', value: 'b' }] },
      ],
      [{ ...NEVER, destinationPorts: [80] }],
      [{ ...NEVER, notSourceIps: [{ address: '10.0.0.1', length: 32 }] }],
    ]);
  });
  test('a rule with nothing in it matches everything, no rules match nothing', () => {
    expect(rulesOf('ALLOW', {})).toEqual([{ clauses: [] }]);
    expect(convert({}).authorization).toMatchObject({ action: 'ALLOW', rules: [] });
  });
  test.each([
    ['*', { kind: 'presence' }],
    ['*x', { kind: 'suffix', value: 'x' }],
    ['x*', { kind: 'prefix', value: 'x' }],
    ['x', { kind: 'exact', value: 'x' }],
  ] as const)('the value %s', (text, expected) => {
    expect(rulesOf('ALLOW', from({ principals: [text] }))).toEqual(only({ principals: [expected] }));
  });
  test('service accounts are of the policy’s namespace unless they name another', () => {
    expect(rulesOf('ALLOW', from({ serviceAccounts: ['app', 'other/app'] }))).toEqual(
      only({
        serviceAccounts: [
          { namespace: 'team', serviceAccount: 'app' },
          { namespace: 'other', serviceAccount: 'app' },
        ],
      }),
    );
  });
  test.each(['source.ip', 'destination.ip'])('the condition %s takes ranges', (key) => {
    const field = key === 'source.ip' ? 'sourceIps' : 'destinationIps';
    expect(rulesOf('ALLOW', { when: [{ key, values: ['10.0.0.0/8'] }] })).toEqual(only({ [field]: [{ address: '10.0.0.0', length: 8 }] }));
  });
  test.each(['source.namespace', 'source.principal'])('the condition %s takes string matches', (key) => {
    const [field, not] = key === 'source.namespace' ? ['namespaces', 'notNamespaces'] : ['principals', 'notPrincipals'];
    expect(rulesOf('DENY', { when: [{ key, values: ['a*'], notValues: ['*'] }] })).toEqual(
      only({ [field!]: [{ kind: 'prefix', value: 'a' }], [not!]: [{ kind: 'presence' }] }),
    );
  });
  test('a policy that is enforced as written says so', () => {
    expect(convert({ rules: [from({ namespaces: ['a'] })] }).condition).toEqual({
      type: 'ZtunnelAccepted',
      status: 'True',
      reason: 'Accepted',
      message: 'attached to ztunnel',
    });
  });
});

describe('HTTP attributes', () => {
  const http = to({ methods: ['GET'] });
  test('a DENY with nothing else denies everything instead of nothing, and says so', () => {
    expect(rulesOf('DENY', http)).toEqual(only(ALWAYS));
    const { condition, problems } = convert({ action: 'DENY', rules: [http] });
    expect(condition).toMatchObject({ status: 'True', reason: 'UnsupportedValue' });
    expect(condition?.message).toContain('spec.rules[0].to[0].operation.methods');
    expect(problems).toEqual(['spec.rules[0].to[0].operation.methods: needs a waypoint']);
  });
  test('a DENY keeps its L4 part', () => {
    expect(rulesOf('DENY', to({ methods: ['GET'], ports: ['80'] }))).toEqual(only({ destinationPorts: [80] }));
    expect(rulesOf('DENY', { when: [{ key: 'request.headers[x]', values: ['y'] }], ...from({ namespaces: ['a'] }) })).toEqual(
      only({ namespaces: [{ kind: 'exact', value: 'a' }] }),
    );
  });
  test('an ALLOW rule with any of them is left out, others stay', () => {
    expect(rulesOf('ALLOW', http, from({ namespaces: ['a'] }))).toEqual(only({ namespaces: [{ kind: 'exact', value: 'a' }] }));
    expect(rulesOf('ALLOW', http)).toEqual([]);
    expect(rulesOf('ALLOW', { when: [{ key: 'request.auth.claims[x]', values: ['y'] }] })).toEqual([]);
    expect(rulesOf('ALLOW', from({ requestPrincipals: ['*'], namespaces: ['a'] }))).toEqual([]);
    expect(rulesOf('ALLOW', from({ trustDomains: ['td'] }))).toEqual([]);
  });
});

describe('values that cannot be read', () => {
  test('narrow an ALLOW to what could be read', () => {
    expect(rulesOf('ALLOW', from({ ipBlocks: ['x', '10.0.0.0/8'] }))).toEqual(only({ sourceIps: [{ address: '10.0.0.0', length: 8 }] }));
    expect(rulesOf('ALLOW', from({ ipBlocks: ['x'], namespaces: ['a'] }))).toEqual(only(NEVER));
    expect(rulesOf('ALLOW', from({ notIpBlocks: ['x'], namespaces: ['a'] }))).toEqual(only(NEVER));
    expect(rulesOf('ALLOW', to({ ports: ['99999'] }))).toEqual(only(NEVER));
  });
  test('widen a DENY', () => {
    expect(rulesOf('DENY', from({ ipBlocks: ['x', '10.0.0.0/8'], namespaces: ['a'] }))).toEqual(
      only({ namespaces: [{ kind: 'exact', value: 'a' }] }),
    );
    expect(rulesOf('DENY', to({ ports: ['http'] }))).toEqual(only(ALWAYS));
    expect(rulesOf('DENY', to({ notPorts: ['http'] }))).toEqual(only(ALWAYS));
    expect(rulesOf('DENY', from({ serviceAccounts: ['a/b/c'] }))).toEqual(only(ALWAYS));
    expect(rulesOf('DENY', from({ principals: [''] }))).toEqual(only(ALWAYS));
  });
  test('an empty source never allows and always denies', () => {
    expect(rulesOf('ALLOW', from({}))).toEqual(only(NEVER));
    expect(rulesOf('DENY', from({}))).toEqual(only(ALWAYS));
  });
  test('are named in the status', () => {
    const { condition, problems } = convert({ rules: [from({ ipBlocks: ['10.0.0.0/99'] })] });
    expect(problems).toEqual(['spec.rules[0].from[0].source.ipBlocks[0] "10.0.0.0/99"']);
    expect(condition).toMatchObject({ status: 'True', reason: 'UnsupportedValue' });
    expect(condition?.message).toContain('ipBlocks[0] "10.0.0.0/99"');
  });
});

test('spoiling any value of a policy never lets in more', () => {
  const values = {
    ipBlocks: ['10.0.0.0/24'],
    notIpBlocks: ['10.0.0.9'],
    namespaces: ['team'],
    notNamespaces: ['x'],
    principals: ['td/*'],
    serviceAccounts: ['team/app'],
  };
  const spoiled = {
    ipBlocks: ['10.0.0.0/99'],
    notIpBlocks: ['x'],
    namespaces: [''],
    notNamespaces: [''],
    principals: [''],
    serviceAccounts: ['/'],
  };
  const connections: Connection[] = ['10.0.0.1', '10.0.0.9', '10.9.9.9'].flatMap((sourceIp) =>
    [undefined, 'spiffe://td/ns/team/sa/app', 'spiffe://td/ns/x/sa/y'].map((id) => ({
      sourceIp,
      destinationIp: '10.0.0.2',
      destinationPort: 80,
      identity: id === undefined ? undefined : parseIdentity(id),
    })),
  );
  const fields = Object.keys(values) as (keyof typeof values)[];
  fc.assert(
    fc.property(
      fc.constantFrom('ALLOW', 'DENY'),
      fc.subarray(fields, { minLength: 1 }),
      fc.subarray(fields),
      fc.boolean(),
      (action, used, bad, beside) => {
        const source = (isBad: boolean) =>
          Object.fromEntries(
            used.map((field) => [
              field,
              isBad && bad.includes(field) ? [...spoiled[field], ...(beside ? values[field] : [])] : values[field],
            ]),
          );
        const verdicts = (isBad: boolean) => {
          const { authorization } = convert({ action, rules: [from(source(isBad))] });
          return connections.map((connection) => authorize([authorization!], connection).allowed);
        };
        const written = verdicts(false);
        verdicts(true).forEach((allowed, i) => {
          if (allowed) expect(written[i]).toBe(true);
        });
      },
    ),
    { numRuns: 500 },
  );
});
