import { describe, expect, test } from 'bun:test';
import { parseLocalConfig, readLocalConfig } from './local-config.ts';
import { TaggedValue } from './local-reader.ts';
import { NEVER } from './match.ts';

const problemsOf = (text: string): readonly string[] => {
  const result = parseLocalConfig(text);
  return result.ok ? [] : result.error;
};

test('reads workloads, services and policies as ztunnel writes them', () => {
  const result = parseLocalConfig(`
workloads:
- uid: cluster1//v1/Pod/default/local
  name: local
  namespace: default
  serviceAccount: sa
  workloadIps: ["127.0.0.1", "FD00:0::1"]
  protocol: HBONE
  node: local
  network: n1
  workloadType: deployment
  waypoint: {destination: default/wp.example, hboneMtlsPort: 15008}
  networkGateway: {destination: far/172.16.0.1, hboneMtlsPort: 15009}
  services:
    default/s.example: {80: 8080, 443: 8443}
  authorizationPolicies: [default/p]
  applicationTunnel: {protocol: PROXY, port: 15088}
  capacity: 3
services:
- name: s
  namespace: default
  hostname: s.example
  vips: ["/127.10.0.1", "n1/fd00::2", "n1/10.0.0.0/8"]
  ports: {80: 8080}
  subjectAltNames: [spiffe://td/ns/a/sa/b]
  loadBalancer: {routingPreferences: [Network, Region], mode: Failover, healthPolicy: AllowAll}
  ipFamilies: Dual
  canonical: true
policies:
- name: p
  namespace: default
  scope: WorkloadSelector
  action: Deny
  dryRun: false
  rules:
  - - - principals: [!Exact td/ns/a/sa/b, !Prefix td/, !Suffix /b, !Presence []]
        notSourceIps: [10.0.0.0/8]
        destinationPorts: [80]
        serviceAccounts: [{namespace: a, serviceAccount: b}]
`);
  if (!result.ok) throw new Error(result.error.join('\n'));
  const [workload] = result.value.workloads;
  expect(workload).toMatchObject({
    uid: 'cluster1//v1/Pod/default/local',
    addresses: ['127.0.0.1', 'fd00::1'],
    tunnelProtocol: 'HBONE',
    trustDomain: 'cluster.local',
    clusterId: 'Kubernetes',
    workloadType: 'DEPLOYMENT',
    waypoint: { destination: { kind: 'hostname', value: { namespace: 'default', hostname: 'wp.example' } }, hboneMtlsPort: 15_008 },
    networkGateway: { destination: { kind: 'address', value: { network: 'far', address: '172.16.0.1' } }, hboneMtlsPort: 15_009 },
    applicationTunnel: { protocol: 'PROXY', port: 15_088 },
    capacity: 3,
  });
  expect(workload?.services.get('default/s.example')?.map(({ servicePort, targetPort }) => [servicePort, targetPort])).toEqual([
    [80, 8080],
    [443, 8443],
  ]);
  expect(result.value.services[0]).toMatchObject({
    vips: [
      { network: '', address: '127.10.0.1' },
      { network: 'n1', address: 'fd00::2' },
      { network: 'n1', address: '10.0.0.0', length: 8 },
    ],
    loadBalancing: { routingPreference: ['NETWORK', 'REGION'], mode: 'FAILOVER', healthPolicy: 'ALLOW_ALL' },
    ipFamilies: 'DUAL',
  });
  expect(result.value.policies[0]).toMatchObject({ scope: 'WORKLOAD_SELECTOR', action: 'DENY' });
  expect(result.value.policies[0]?.rules[0]?.clauses[0]?.matches[0]).toEqual({
    ...NEVER,
    principals: [
      { kind: 'exact', value: 'td/ns/a/sa/b' },
      { kind: 'prefix', value: 'td/' },
      { kind: 'suffix', value: '/b' },
      { kind: 'presence' },
    ],
    notSourceIps: [{ address: '10.0.0.0', length: 8 }],
    destinationPorts: [80],
    serviceAccounts: [{ namespace: 'a', serviceAccount: 'b' }],
  });
});

test('takes an already parsed document with tagged values', () => {
  const match = { principals: [new TaggedValue('Exact', 'a')] };
  const policy = { name: 'p', namespace: '', scope: 'Global', action: 'Allow', dryRun: true, rules: [[[match]]] };
  expect(readLocalConfig({ policies: [policy] })).toMatchObject({ ok: true, value: { policies: [{ dryRun: true }] } });
});

test('an empty file is an empty mesh', () => {
  expect(parseLocalConfig('')).toEqual({ ok: true, value: { workloads: [], services: [], policies: [] } });
});

describe('refuses', () => {
  const workload = (rest: string) => `workloads: [{namespace: a, services: {}, ${rest}}]`;
  const policy = (match: string) =>
    `policies: [{name: p, namespace: a, scope: Global, action: Allow, dryRun: false, rules: [[[{${match}}]]]}]`;
  test.each([
    ['an unknown section', 'workload: []', 'workload: unknown key'],
    ['an unknown key of a workload', workload('nmae: x'), 'workloads[0].nmae: unknown key'],
    ['an unknown key of a match', policy('principal: [!Exact x]'), 'policies[0].rules[0][0][0].principal: unknown key'],
    ['a workload without services', 'workloads: [{namespace: a}]', 'workloads[0].services: is required'],
    ['a workload without namespace', 'workloads: [{services: {}}]', 'workloads[0].namespace: is required'],
    ['a bad address', workload('workloadIps: [10.0.0]'), 'workloads[0].workloadIps[0]: must be an IP address'],
    ['an unknown protocol', workload('protocol: MTLS'), 'workloads[0].protocol: must be one of HBONE, TCP'],
    ['a gateway without port', workload('waypoint: {destination: a/b}'), 'workloads[0].waypoint.hboneMtlsPort: must be a port'],
    [
      'a service key that is no name',
      'workloads: [{namespace: a, services: {x: {}}}]',
      'workloads[0].services["x"]: the key must be namespace/hostname',
    ],
    [
      'a port that is none',
      'workloads: [{namespace: a, services: {a/b: {0: 80}}}]',
      'workloads[0].services["a/b"]["0"]: the key must be a port',
    ],
    [
      'a VIP without network part',
      'services: [{name: a, namespace: a, hostname: a, vips: [10.0.0.1]}]',
      'services[0].vips[0]: must be network/ip',
    ],
    [
      'the map form of a string match',
      policy('principals: [{Exact: x}]'),
      'policies[0].rules[0][0][0].principals[0]: must be a tagged value',
    ],
    ['an untagged string match', policy('namespaces: [x]'), 'policies[0].rules[0][0][0].namespaces[0]: must be a tagged value'],
    ['a bad range', policy('sourceIps: [10.0.0.0/40]'), 'policies[0].rules[0][0][0].sourceIps[0]: must be an address range'],
    ['a port in quotes', policy('destinationPorts: ["80"]'), 'policies[0].rules[0][0][0].destinationPorts[0]: must be a whole number'],
    [
      'a policy without dryRun',
      'policies: [{name: p, namespace: a, scope: Global, action: Allow, rules: []}]',
      'policies[0].dryRun: is required',
    ],
    ['a key written twice', 'workloads: []\nworkloads: []', 'not YAML: '],
    ['a list at the top', '- a', 'document: must be a mapping, not a list'],
    ['text instead of a list', 'workloads: x', 'workloads: must be a list, not string "x"'],
  ])('%s', (_title, text, problem) => {
    expect(problemsOf(text).some((found) => found.startsWith(problem)) || problemsOf(text)).toBe(true);
  });

  test('with all problems at once', () => {
    expect(problemsOf('foo: 1\nworkloads: [{bar: 1}]')).toHaveLength(4);
  });
});
