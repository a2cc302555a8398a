import { expect, test } from 'bun:test';
import { canonicalName, canonicalRevision, loadBalancingOf, workloadNameOf } from './workload-naming.ts';

test('the canonical name comes from the first label that is set, else the workload', () => {
  const all = { 'service.istio.io/canonical-name': 'a', 'app.kubernetes.io/name': 'b', app: 'c' };
  expect(canonicalName(all, 'w')).toBe('a');
  expect(canonicalName({ ...all, 'service.istio.io/canonical-name': '' }, 'w')).toBe('b');
  expect(canonicalName({ app: 'c' }, 'w')).toBe('c');
  expect(canonicalName(undefined, 'w')).toBe('w');
});

test('the canonical revision likewise, else latest', () => {
  const all = { 'service.istio.io/canonical-revision': 'a', 'app.kubernetes.io/version': 'b', version: 'c' };
  expect(canonicalRevision(all)).toBe('a');
  expect(canonicalRevision({ 'app.kubernetes.io/version': 'b', version: 'c' })).toBe('b');
  expect(canonicalRevision({ version: 'c' })).toBe('c');
  expect(canonicalRevision({})).toBe('latest');
});

const owned = (kind: string, name: string, labels: Record<string, string> = {}, controller = true) => ({
  metadata: { name: 'pod-1', labels, ownerReferences: [{ kind, name, controller }] },
});
test.each([
  ['a Deployment behind its ReplicaSet', owned('ReplicaSet', 'web-v1-5d9f', { 'pod-template-hash': '5d9f' }), 'web-v1'],
  ['a ReplicaSet of its own', owned('ReplicaSet', 'web-v1'), 'web-v1'],
  ['a ReplicaSet whose name does not end in the hash', owned('ReplicaSet', 'web', { 'pod-template-hash': 'web' }), 'web'],
  ['a CronJob behind its Job', owned('Job', 'nightly-29384756'), 'nightly'],
  ['a Job', owned('Job', 'import-1'), 'import-1'],
  ['a StatefulSet', owned('StatefulSet', 'db'), 'db'],
  ['an owner that does not control', owned('ReplicaSet', 'web', {}, false), 'pod-1'],
  ['a bare pod', { metadata: { name: 'pod-1' } }, 'pod-1'],
])('names %s', (_title, pod, expected) => {
  expect(workloadNameOf(pod)).toBe(expected);
});

const ANNOTATION = 'networking.istio.io/traffic-distribution';
const annotated = (value: string) => ({ metadata: { annotations: { [ANNOTATION]: value } } });
const NRZ = ['NETWORK', 'REGION', 'ZONE'] as const;
const failover = (...routingPreference: string[]) => ({ routingPreference, mode: 'FAILOVER', healthPolicy: 'ONLY_HEALTHY' });

test.each<[string, Parameters<typeof loadBalancingOf>, unknown]>([
  ['nothing', [{ metadata: {} }], undefined],
  ['PreferClose', [{ metadata: {}, spec: { trafficDistribution: 'PreferClose' } }], failover(...NRZ)],
  ['PreferSameZone', [{ metadata: {}, spec: { trafficDistribution: 'PreferSameZone' } }], failover(...NRZ)],
  ['PreferSameNode', [{ metadata: {}, spec: { trafficDistribution: 'PreferSameNode' } }], failover(...NRZ, 'SUBZONE', 'NODE')],
  ['the field before the annotation', [{ ...annotated('PreferSameNode'), spec: { trafficDistribution: 'PreferClose' } }], failover(...NRZ)],
  ['the annotation before the namespace’s', [annotated('PreferClose'), annotated('PreferSameNode')], failover(...NRZ)],
  ['the namespace’s annotation', [{ metadata: {} }, annotated('PreferClose')], failover(...NRZ)],
  ['Any on the object overrides the namespace', [annotated('Any'), annotated('PreferClose')], undefined],
  [
    'Local beats everything',
    [{ metadata: {}, spec: { internalTrafficPolicy: 'Local', trafficDistribution: 'PreferClose' } }],
    { routingPreference: ['NODE'], mode: 'STRICT', healthPolicy: 'ONLY_HEALTHY' },
  ],
  [
    'unready addresses',
    [{ metadata: {}, spec: { publishNotReadyAddresses: true } }],
    { routingPreference: [], mode: 'UNSPECIFIED', healthPolicy: 'ALLOW_ALL' },
  ],
])('load balancing of a Service with %s', (_title, args, expected) => {
  expect(loadBalancingOf(...args)).toEqual(expected as ReturnType<typeof loadBalancingOf>);
});
