import { expect, test } from 'bun:test';
import {
  AuthorizationPolicyKind,
  EnvoyFilterKind,
  type Kind,
  PeerAuthenticationKind,
  RequestAuthenticationKind,
  type ServiceEntry,
  ServiceEntryKind,
  TelemetryKind,
  WasmPluginKind,
  WorkloadEntryKind,
} from './index.ts';
import type { KubeObject } from './meta.ts';

function wrongFields<T extends KubeObject>(kind: Kind<T>, spec: object): string[] {
  const object = { metadata: { name: 'x', namespace: 'n' }, spec } as unknown as T; // each case is written for its kind
  return kind.validate(object).map((problem) => problem.field);
}

const ports = [{ number: 443, name: 'https', protocol: 'TLS' }];
const entry = (spec: Partial<ServiceEntry['spec']>) => ({ hosts: ['a.com'], ports, ...spec });
test.each<[string, object, string[]]>([
  ['a name', entry({ resolution: 'DNS' }), []],
  ['every name', entry({ hosts: ['*'] }), ['spec.hosts[0]']],
  ['a wildcard to be looked up', entry({ hosts: ['*.a.com'], resolution: 'DNS' }), ['spec.hosts[0]']],
  ['a wildcard with endpoints', entry({ hosts: ['*.a.com'], resolution: 'DNS', endpoints: [{ address: 'b.com' }] }), []],
  ['an exact name for DYNAMIC_DNS', entry({ resolution: 'DYNAMIC_DNS' }), ['spec.hosts[0]']],
  ['a prefix to be looked up', entry({ resolution: 'DNS', addresses: ['10.0.0.0/8'] }), ['spec.addresses']],
  ['a bad address', entry({ addresses: ['10.0.0'] }), ['spec.addresses[0]']],
  ['endpoints for NONE', entry({ endpoints: [{ address: '10.0.0.1' }] }), ['spec.endpoints']],
  ['a name as endpoint of STATIC', entry({ resolution: 'STATIC', endpoints: [{ address: 'b.com' }] }), ['spec.endpoints[0].address']],
  ['an endpoint without address', entry({ resolution: 'STATIC', endpoints: [{}] }), ['spec.endpoints[0].address']],
  [
    'a port the service has not',
    entry({ resolution: 'STATIC', endpoints: [{ address: '::1', ports: { x: 1 } }] }),
    ['spec.endpoints[0].ports'],
  ],
  [
    'two endpoints taking turns',
    entry({ resolution: 'DNS_ROUND_ROBIN', endpoints: [{ address: 'b.c' }, { address: 'b.d' }] }),
    ['spec.endpoints'],
  ],
  [
    'endpoints and a selector',
    entry({ resolution: 'STATIC', endpoints: [], workloadSelector: { labels: { a: 'b' } } }),
    ['spec.endpoints'],
  ],
  ['two hosts on plain TCP', entry({ hosts: ['a.com', 'b.com'], resolution: 'DNS', ports: [{ number: 1, name: 'x' }] }), ['spec.hosts']],
  ['a port number twice', entry({ ports: [...ports, { number: 443, name: 'b' }] }), ['spec.ports[1].number']],
  ['no protocol known', entry({ ports: [{ number: 1, name: 'x', protocol: 'IPX' }] }), ['spec.ports[0].protocol']],
  ['export to nobody', entry({ exportTo: ['~'] }), []],
])('a ServiceEntry with %s', (_title, spec, expected) => {
  expect(wrongFields(ServiceEntryKind, spec)).toEqual(expected);
});

test.each<[string, object, string[]]>([
  ['an address', { address: '10.0.0.1', ports: { http: 8080 } }, []],
  ['a name', { address: 'vm.example.com' }, []],
  ['a network in place of an address', { network: 'n1' }, []],
  ['neither', {}, ['spec.address']],
  ['a socket with ports', { address: 'unix:///run/x', ports: { http: 1 } }, ['spec.ports']],
  ['a relative socket', { address: 'unix://run/x' }, ['spec.address']],
  ['a bad port name', { address: '::1', ports: { 'a b': 1 } }, ['spec.ports']],
])('a WorkloadEntry with %s', (_title, spec, expected) => {
  expect(wrongFields(WorkloadEntryKind, spec)).toEqual(expected);
});

const service = { kind: 'Service', name: 's' };
const gateway = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'g' };
test.each<[string, object, string[]]>([
  ['a Service and a Gateway', { targetRefs: [service, gateway] }, []],
  ['one with its old field', { targetRef: gateway }, []],
  ['a selector', { selector: { matchLabels: { app: 'a' } } }, []],
  ['a selector beside them', { selector: {}, targetRefs: [service] }, ['spec']],
  ['a pod', { targetRefs: [{ kind: 'Pod', name: 'p' }] }, ['spec.targetRefs[0].kind']],
  ['a Gateway of the wrong group', { targetRefs: [{ kind: 'Gateway', name: 'p' }] }, ['spec.targetRefs[0].kind']],
  ['another namespace', { targetRefs: [{ ...service, namespace: 'b' }] }, ['spec.targetRefs[0].namespace']],
  ['a selector with a wildcard', { selector: { matchLabels: { app: 'a*' } } }, ['spec.selector.matchLabels']],
])('targets that are %s', (_title, targets, expected) => {
  for (const [kind, more] of [
    [TelemetryKind, {}],
    [WasmPluginKind, { url: 'oci://a.b/c' }],
    [RequestAuthenticationKind, {}],
  ] as [Kind, object][])
    expect(wrongFields(kind, { ...targets, ...more })).toEqual(expected);
});

test('an EnvoyFilter has a selector or targets, and says what it patches', () => {
  const patch = { applyTo: 'HTTP_FILTER', patch: { operation: 'ADD' } };
  expect(wrongFields(EnvoyFilterKind, { targetRefs: [gateway], configPatches: [patch] })).toEqual([]);
  expect(wrongFields(EnvoyFilterKind, { targetRefs: [gateway], workloadSelector: { labels: {} } })).toEqual(['spec']);
  expect(wrongFields(EnvoyFilterKind, { configPatches: [{}] })).toEqual(['spec.configPatches[0].applyTo', 'spec.configPatches[0].patch']);
});

test('a WasmPlugin is fetched by a scheme that is known', () => {
  for (const url of ['oci://a.b/c:v1', 'https://a.b/c.wasm', 'file:///x', 'a.b/c'])
    expect(wrongFields(WasmPluginKind, { url })).toEqual([]);
  for (const url of ['ftp://a.b/c', '#%x$#@']) expect(wrongFields(WasmPluginKind, { url })).toEqual(['spec.url']);
  const env = [{ name: 'A', valueFrom: 'HOST', value: 'x' }];
  expect(wrongFields(WasmPluginKind, { url: 'a.b/c', vmConfig: { env } })).toEqual(['spec.vmConfig.env[0].value']);
});

test('tags of metrics are set with a value and removed without', () => {
  const overriding = (tag: object) => ({ metrics: [{ overrides: [{ tagOverrides: { a: tag } }] }] });
  const field = 'spec.metrics[0].overrides[0].tagOverrides[a].value';
  expect(wrongFields(TelemetryKind, overriding({ value: 'request.host' }))).toEqual([]);
  expect(wrongFields(TelemetryKind, overriding({ operation: 'REMOVE' }))).toEqual([]);
  expect(wrongFields(TelemetryKind, overriding({}))).toEqual([field]);
  expect(wrongFields(TelemetryKind, overriding({ operation: 'REMOVE', value: 'x' }))).toEqual([field]);
  expect(wrongFields(TelemetryKind, { metrics: [{ reportingInterval: '0s' }] })).toEqual(['spec.metrics[0].reportingInterval']);
});

test.each<[string, object, string[]]>([
  ['an issuer', { issuer: 'a' }, []],
  ['keys', { issuer: 'a', jwks: '{"keys":[]}' }, []],
  ['no issuer', { jwks: '{"keys":[]}' }, ['spec.jwtRules[0].issuer']],
  ['keys twice', { issuer: 'a', jwks: '{"keys":[]}', jwksUri: 'https://a/b' }, ['spec.jwtRules[0]']],
  ['keys that are none', { issuer: 'a', jwks: 'x' }, ['spec.jwtRules[0].jwks']],
  ['keys by another scheme', { jwksUri: 'file:///x' }, ['spec.jwtRules[0].jwksUri']],
  ['a bad timeout', { issuer: 'a', timeout: '1' }, ['spec.jwtRules[0].timeout']],
])('a token rule with %s', (_title, rule, expected) => {
  expect(wrongFields(RequestAuthenticationKind, { jwtRules: [rule] })).toEqual(expected);
});

test('a source names service accounts, or principals and namespaces', () => {
  const from = (source: object) => wrongFields(AuthorizationPolicyKind, { rules: [{ from: [{ source }] }] });
  expect(from({ serviceAccounts: ['n/a'], notServiceAccounts: ['n/b'] })).toEqual([]);
  expect(from({ serviceAccounts: ['n/a'], notNamespaces: ['b'] })).toEqual(['spec.rules[0].from[0].source']);
});

test('mutual TLS of single ports is for ports that exist', () => {
  const withPort = (port: string) =>
    wrongFields(PeerAuthenticationKind, { selector: { matchLabels: { a: 'b' } }, portLevelMtls: { [port]: {} } });
  expect(withPort('8080')).toEqual([]);
  for (const port of ['0', '65536', 'http', '080']) expect(withPort(port)).toEqual(['spec.portLevelMtls']);
});
