import { expect, test } from 'bun:test';
import { type ConfigMap, type Deployment, DeploymentKind, type Gateway } from '../../platform/kubernetes/index.ts';
import { waypointInfrastructure } from './infrastructure.ts';
import { withOverlays } from './overlay.ts';
import { strategicMerge } from './strategic-merge.ts';

const CONTEXT = {
  image: 'example/lateen:1',
  rootNamespace: 'istio-system',
  clusterId: 'Kubernetes',
  clusterDomain: 'cluster.local',
  trustDomain: 'cluster.local',
  network: '',
};
const gateway = (metadata: Partial<Gateway['metadata']> = {}, spec: Partial<Gateway['spec']> = {}): Gateway => ({
  metadata: { name: 'wp', namespace: 'shop', uid: 'u1', ...metadata },
  spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15_008, protocol: 'HBONE' }], ...spec },
});
const map = (data: Record<string, string>): ConfigMap => ({ metadata: { name: 'tuning', namespace: 'shop' }, data });
const generate = (maps: readonly ConfigMap[], from = gateway()) => {
  const result = withOverlays(waypointInfrastructure(from, CONTEXT), maps);
  if (!result.ok) throw new Error(result.error.join('; '));
  return result.value;
};
const problems = (data: Record<string, string>): readonly string[] => {
  const result = withOverlays(waypointInfrastructure(gateway(), CONTEXT), [map(data)]);
  return result.ok ? [] : result.error;
};
const deploymentIn = (maps: readonly ConfigMap[], from = gateway()): Deployment =>
  generate(maps, from).objects.find(({ key }) => key === 'deployment')!.object as Deployment; // the key says which kind it is

test('without parameters: account, service, two replicas that one more replaces, autoscaler and budget', () => {
  const { objects, hasFixedReplicas } = generate([]);
  expect(objects.map(({ key }) => key)).toEqual([
    'serviceAccount',
    'service',
    'deployment',
    'horizontalPodAutoscaler',
    'podDisruptionBudget',
  ]);
  expect(hasFixedReplicas).toBe(false);
  expect(objects.every(({ object }) => object.metadata?.name === 'wp' && object.metadata.ownerReferences?.[0]?.uid === 'u1')).toBe(true);
});

test('an overlay of the class comes before that of the Gateway', () => {
  const replicas = (count: number) => map({ deployment: `spec: {replicas: ${count}}` });
  expect(deploymentIn([replicas(3), replicas(7)]).spec.replicas).toBe(7);
});

test('lists that Kubernetes keys are merged by key, others replaced; null and $patch remove', () => {
  const merge = (patch: unknown) => strategicMerge(deploymentIn([]), patch, DeploymentKind.schema) as Deployment;
  const containers = (container: Record<string, unknown>) => ({
    spec: { template: { spec: { containers: [{ name: 'istio-proxy', ...container }] } } },
  });
  const only = (deployment: Deployment) => deployment.spec.template.spec.containers[0]!;
  const before = only(deploymentIn([]));
  expect(only(merge(containers({ env: [{ name: 'CLUSTER_ID', value: 'other' }] }))).env).toHaveLength(before.env!.length);
  expect(only(merge(containers({ env: [{ name: 'CLUSTER_ID', $patch: 'delete' }] }))).env).toHaveLength(before.env!.length - 1);
  expect(only(merge(containers({ env: [{ $patch: 'replace' }, { name: 'A', value: 'b' }] }))).env).toEqual([{ name: 'A', value: 'b' }]);
  expect(only(merge(containers({ args: ['other'] }))).args).toEqual(['other']);
  expect(only(merge(containers({ resources: null }))).resources).toBeUndefined();
  const second = merge({ spec: { template: { spec: { containers: [{ name: 'extra', image: 'x' }] } } } });
  expect(second.spec.template.spec.containers.map(({ name }) => name)).toEqual(['istio-proxy', 'extra']);
});

test('a fixed number of replicas leaves out the autoscaler, unless one is asked for', () => {
  const kinds = (data: Record<string, string>) => generate([map(data)]).objects.map(({ key }) => key);
  expect(kinds({ deployment: 'spec: {replicas: 1}' })).not.toContain('horizontalPodAutoscaler');
  expect(kinds({ deployment: 'spec: {replicas: 1}', horizontalPodAutoscaler: 'spec: {maxReplicas: 9}' })).toContain(
    'horizontalPodAutoscaler',
  );
  expect(kinds({ podDisruptionBudget: '$patch: delete' })).not.toContain('podDisruptionBudget');
});

test.each([
  [{ pods: 'x: 1' }, 'pods is not known; use serviceAccount, service'],
  [{ deployment: '- a list' }, 'deployment: not a YAML object'],
  [{ deployment: 'a: [' }, 'deployment: not YAML'],
  [{ service: '$patch: delete' }, 'service: may not be left out'],
  [{ service: 'metadata: {ownerReferences: []}' }, 'service: metadata.ownerReferences may not be changed'],
  [{ service: 'status: {}' }, 'service: status may not be changed'],
])('parameters %j are refused', (data, message) => {
  expect(problems(data as Record<string, string>)).toEqual([expect.stringContaining(message)]);
});

test("the Gateway's labels and annotations are copied, but not those that are about itself; spec.infrastructure says otherwise", () => {
  const labels = { team: 'ai', 'istio.io/use-waypoint': 'none' };
  const annotations = { note: 'x', 'kubectl.kubernetes.io/last-applied-configuration': '{}', 'gateway.istio.io/controller-version': '5' };
  const copied = deploymentIn([], gateway({ labels, annotations }));
  expect(copied.metadata.labels).toMatchObject({ team: 'ai' });
  expect(copied.metadata.labels).not.toHaveProperty(['istio.io/use-waypoint']);
  expect(copied.metadata.annotations).toEqual({ note: 'x' });
  const told = deploymentIn([], gateway({ labels, annotations }, { infrastructure: { labels: { tier: 'gold' } } }));
  expect(told.metadata.labels).toMatchObject({ tier: 'gold' });
  expect(told.metadata.labels).not.toHaveProperty('team');
  expect(told.metadata.annotations).toEqual({});
});

test('annotations choose the name, the account and the type of the Service; the network label the network', () => {
  const changed = gateway({
    annotations: {
      'gateway.istio.io/name-override': 'proxy',
      'gateway.istio.io/service-account': 'existing',
      'networking.istio.io/service-type': 'LoadBalancer',
    },
    labels: { 'topology.istio.io/network': 'east' },
  });
  const { spec, metadata } = deploymentIn([], changed);
  expect(metadata.name).toBe('proxy');
  expect(spec.selector).toEqual({ matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'wp' } });
  expect(spec.template.spec.serviceAccountName).toBe('existing');
  expect(spec.template.spec.containers[0]!.env).toContainEqual({ name: 'NETWORK', value: 'east' });
  expect(generate([], changed).objects.find(({ key }) => key === 'service')?.object).toMatchObject({ spec: { type: 'LoadBalancer' } });
});
