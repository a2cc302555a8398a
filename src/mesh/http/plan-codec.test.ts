import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { HttpAction, ServicePlan } from './plan.ts';
import { decodeServicePlan, encodeServicePlan } from './plan-codec.ts';
import { PLAN_LIMITS } from './plan-schema.ts';

const edit = { remove: ['a'], set: [['b', '1']], add: [['c', '2']] } as const;
const backend = { service: 'default/reviews.default.svc.cluster.local', port: 80, subset: 'v1' };

/** Something of everything. */
const full: ServicePlan = {
  service: 'default/reviews.default.svc.cluster.local',
  ports: [
    {
      port: 80,
      http: {
        rules: [
          {
            match: {
              path: { kind: 'regex', value: '/v[0-9]+', ignoreCase: true },
              method: { kind: 'exact', value: 'GET' },
              hosts: ['*.example.com'],
              headers: [{ name: 'x', condition: { kind: 'present', value: '' }, isInverted: true }],
              query: [{ name: 'q', condition: { kind: 'regex', value: 'a|b' } }],
              sourceNamespace: 'default',
            },
            action: 0,
          },
          { match: {}, action: 1 },
        ],
        actions: [
          {
            name: 'HTTPRoute/default/reviews/0',
            backends: [
              { ...backend, weight: 80, requestHeaders: edit, rewrite: { path: { kind: 'regex', pattern: '(a)', substitution: '\\1' } } },
              { ...backend, weight: 20, invalid: 'no such service', redirect: { status: 302, port: 443 } },
            ],
            rewrite: { host: 'h', path: { kind: 'prefix', match: '/a', value: '/' } },
            mirrors: [{ backend, numerator: 1, denominator: 100 }],
            cors: {
              allowOrigins: [{ kind: 'regex', value: 'https://.*' }],
              allowMethods: ['*'],
              allowHeaders: [],
              exposeHeaders: [],
              allowCredentials: true,
              maxAgeSeconds: 5,
              forwardsUnmatchedPreflights: false,
            },
            timeouts: { request: 1000, perTry: 0.5 },
            retry: { attempts: 2, statuses: [503], on: ['reset', 'unavailable'], backoff: 25 },
            fault: { delay: { percentage: 0.1, duration: 5000 }, abort: { percentage: 100, grpcStatus: 14 } },
            session: { kind: 'cookie', name: 's', absoluteTimeout: 1, path: '/' },
          },
          { name: 'x', backends: [], respond: { status: 404, body: 'no' } },
        ],
      },
      consumers: [{ namespace: 'other', http: { rules: [], actions: [] } }],
      tls: [{ name: 't', sniHosts: ['*.a'], backends: [{ ...backend, weight: 1 }] }],
      tcp: [{ name: 't', sourceNamespace: 'n', backends: [] }],
    },
  ],
  policy: {
    loadBalancer: { kind: 'ring-hash', hash: { kind: 'cookie', name: 'c', ttl: 0 }, minimumRingSize: 1024 },
    locality: { isEnabled: true, distribute: [{ from: 'a/*', to: [{ locality: 'b', weight: 100 }] }], failoverPriority: ['k=v'] },
    warmup: { duration: 1, minimumPercent: 10, aggression: 1.5 },
    outlier: {
      consecutive5xx: 5,
      splitExternalLocalOrigin: false,
      interval: 1,
      baseEjectionTime: 1,
      maxEjectionPercent: 10,
      minHealthPercent: 0,
    },
    tls: { mode: 'simple', sni: 'a' },
    proxyProtocol: 2,
    connectionPool: { maxConnections: 1, h2Upgrade: true },
    ports: [{ port: 80, policy: { loadBalancer: { kind: 'round-robin' } } }],
  },
  subsets: [{ name: 'v1', workloads: ['Kubernetes//Pod/default/a'], policy: { proxyProtocol: 1 } }],
};

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const withAction = (change: Partial<HttpAction>): ServicePlan => ({
  service: 'a/b',
  ports: [{ port: 0, http: { rules: [{ match: {}, action: 0 }], actions: [{ name: 'n', backends: [], ...change }] } }],
});

test('a plan comes out as it went in', () => {
  expect(decodeServicePlan(encodeServicePlan(full))).toEqual({ ok: true, value: full });
});

test('a large plan is checked like a small one', () => {
  const table = {
    rules: Array.from({ length: 20_000 }, () => ({ match: {}, action: 0 })),
    actions: [{ name: 'n'.repeat(1_000), backends: [] }],
  };
  const large: ServicePlan = { ...full, ports: [...full.ports, { port: 0, http: table }] };
  expect(encodeServicePlan(large).length).toBeGreaterThan(256 * 1024);
  expect(decodeServicePlan(encodeServicePlan(large))).toEqual({ ok: true, value: large });
  table.actions[0]!.name = '';
  const refused = decodeServicePlan(encodeServicePlan(large));
  expect(refused.ok ? '' : refused.error).toStartWith('/ports/1/http/actions/0/name: ');
});

describe('what is wrong is refused with its place', () => {
  test.each<[string, unknown, string]>([
    ['no plan', [], '/: '],
    ['a field missing', { service: 'a/b' }, '/: '],
    ['a field unknown', { service: 'a/b', ports: [], other: 1 }, '/other: no such field'],
    [
      'deep inside',
      {
        service: 'a/b',
        ports: [{ port: 0, http: { rules: [{ match: { method: { kind: 'what', value: '' } }, action: 0 }], actions: [] } }],
      },
      '/ports/0/http/rules/0/match/method/kind: ',
    ],
    ['a port', { service: 'a/b', ports: [{ port: 65_536 }] }, '/ports/0/port: '],
    ['a port twice', { service: 'a/b', ports: [{ port: 1 }, { port: 1 }] }, '/ports/1/port: '],
    [
      'an action that is not there',
      { service: 'a/b', ports: [{ port: 0, http: { rules: [{ match: {}, action: 0 }], actions: [] } }] },
      '/ports/0/http/rules/0/action: ',
    ],
    [
      'a regular expression',
      {
        service: 'a/b',
        ports: [
          {
            port: 0,
            http: { rules: [{ match: { path: { kind: 'regex', value: '(' } }, action: 0 }], actions: [{ name: 'n', backends: [] }] },
          },
        ],
      },
      '/ports/0/http/rules/0/match/path/value: error parsing regexp',
    ],
    [
      'a substitution',
      withAction({ rewrite: { path: { kind: 'regex', pattern: 'a', substitution: '\\1' } } }),
      '/ports/0/http/actions/0/rewrite/path: ',
    ],
    [
      'a negative weight',
      withAction({ backends: [{ service: 'a/b', port: 1, weight: -1 }] }),
      '/ports/0/http/actions/0/backends/0/weight: ',
    ],
    ['too many', { service: 'a/b', ports: Array.from({ length: PLAN_LIMITS.ports + 1 }, (_, port) => ({ port })) }, '/ports: '],
    [
      'ports of a port policy',
      { service: 'a/b', ports: [], policy: { ports: [{ port: 1, policy: { ports: [] } }] } },
      '/policy/ports/0/policy/ports: no such field',
    ],
  ])('%s', (_title, value, start) => {
    const decoded = decodeServicePlan(json(value));
    if (decoded.ok) throw new Error('was accepted');
    expect(decoded.error).toStartWith(start);
  });

  test('bytes that are no JSON, or too many', () => {
    expect(decodeServicePlan(new Uint8Array([0xff]))).toMatchObject({ ok: false });
    expect(decodeServicePlan(json({}).subarray(1))).toMatchObject({ ok: false });
    expect(decodeServicePlan(new Uint8Array(PLAN_LIMITS.bytes + 1))).toEqual({
      ok: false,
      error: `/: more than ${PLAN_LIMITS.bytes} bytes`,
    });
  });
});

test('garbage never throws', () => {
  const text = new TextDecoder().decode(encodeServicePlan(full));
  fc.assert(
    fc.property(fc.nat(text.length), fc.nat(6), fc.string({ maxLength: 6 }), (at, cut, insert) => {
      const decoded = decodeServicePlan(new TextEncoder().encode(text.slice(0, at) + insert + text.slice(at + cut)));
      if (!decoded.ok) expect(decoded.error).toStartWith('/');
    }),
    { numRuns: 300 },
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => void decodeServicePlan(json(value))));
});
