import { expect, test } from 'bun:test';
import type { Deployment, Node, Pod, ReplicaSet, Service } from '../../platform/kubernetes/index.ts';
import { deploymentStatus } from './deployment-status.ts';
import { desiredSlices } from './endpoint-slice.ts';
import { choose } from './scheduler.ts';
import { scaledValue, templateHash } from './selectors.ts';
import { WorkQueue } from './work-queue.ts';

const node = (name: string, change: Partial<NonNullable<Node['spec']>> = {}, ready = true): Node => ({
  metadata: { name, labels: { zone: name } },
  spec: change,
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }] },
});
const pod = (spec: Partial<NonNullable<Pod['spec']>> = {}, owner = 'rs1'): Pod => ({
  metadata: { name: 'p', ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }] },
  spec: { containers: [], ...spec },
});

test('the scheduler spreads the pods of one owner before it looks at the load', () => {
  const placed = [pod({ nodeName: 'a' }), pod({ nodeName: 'b' }, 'other'), pod({ nodeName: 'b' }, 'other')];
  expect(choose(pod(), [node('a'), node('b')], placed)).toEqual({ ok: true, node: 'b' });
  expect(choose(pod({}, 'third'), [node('a'), node('b')], placed)).toEqual({ ok: true, node: 'a' });
});

test('the scheduler honours readiness, cordons, taints, selectors and affinity, and says why nothing fits', () => {
  const fit = (wanted: Pod, ...nodes: Node[]) => {
    const result = choose(wanted, nodes, []);
    return result.ok ? result.node : result.message;
  };
  expect(fit(pod(), node('a', {}, false))).toBe('0/1 nodes are available: 1 node(s) were not ready.');
  expect(fit(pod(), node('a', { unschedulable: true }), node('b'))).toBe('b');
  const tainted = node('a', { taints: [{ key: 'k', effect: 'NoSchedule' }] });
  expect(fit(pod(), tainted)).toContain('untolerated taint {k: }');
  expect(fit(pod({ tolerations: [{ operator: 'Exists' }] }), tainted)).toBe('a');
  expect(fit(pod({ nodeSelector: { zone: 'b' } }), node('a'), node('b'))).toBe('b');
  const affinity = {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['b'] }] }],
      },
    },
  };
  expect(fit(pod({ affinity }), node('a'), node('b'))).toBe('b');
});

test('percentages are rounded as asked', () => {
  expect([scaledValue('25%', 5, 0, 'up'), scaledValue('25%', 5, 0, 'down'), scaledValue(undefined, 5, 1, 'up')]).toEqual([2, 1, 1]);
});

test('the hash of a template depends on its content, not on the order of its keys', () => {
  const one = { metadata: { labels: { a: '1', b: '2' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
  const same = { spec: { containers: [{ image: 'x', name: 'c' }] }, metadata: { labels: { b: '2', a: '1' } } };
  expect(templateHash(one)).toBe(templateHash(same));
  expect(templateHash(one)).not.toBe(templateHash({ ...one, spec: { containers: [{ name: 'c', image: 'y' }] } }));
});

test('endpoints carry readiness, termination, node and zone, and pods with other port numbers go to another slice', () => {
  const service: Service = { metadata: { name: 's', namespace: 'n' }, spec: { ports: [{ name: 'http', port: 80, targetPort: 'web' }] } };
  const backend = (name: string, port: number, ready: boolean, leaving = false): Pod => ({
    metadata: { name, namespace: 'n', uid: name, ...(leaving && { deletionTimestamp: '2026-01-01T00:00:00Z' }) },
    spec: { nodeName: 'node1', containers: [{ name: 'c', ports: [{ name: 'web', containerPort: port }] }] },
    status: { podIP: `10.244.1.${port % 100}`, phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  });
  const slices = desiredSlices(
    service,
    [backend('a', 8081, true), backend('b', 8081, true, true), backend('c', 8082, false)],
    () => 'zone-a',
  );
  expect(slices.map(({ ports }) => ports[0]?.port)).toEqual([8081, 8082]);
  expect(slices[0]?.endpoints.map(({ conditions }) => conditions)).toEqual([
    { ready: true, serving: true, terminating: false },
    { ready: false, serving: true, terminating: true },
  ]);
  expect(slices[1]?.endpoints[0]).toMatchObject({
    conditions: { ready: false, serving: false },
    nodeName: 'node1',
    zone: 'zone-a',
    targetRef: { name: 'c' },
  });
  expect(desiredSlices(service, [], () => undefined)).toEqual([{ ports: [], endpoints: [] }]);
});

test('a deployment reports progress, completion and a missed deadline', () => {
  const set = (replicas: number, available: number): ReplicaSet => ({
    metadata: { name: 'd-1' },
    spec: { selector: {}, template: { spec: { containers: [] } } },
    status: { replicas, readyReplicas: available, availableReplicas: available },
  });
  const deployment: Deployment = {
    metadata: { generation: 3 },
    spec: { replicas: 2, selector: {}, template: { spec: { containers: [] } }, progressDeadlineSeconds: 10 },
  };
  const reason = (status: NonNullable<Deployment['status']>) => status.conditions?.find(({ type }) => type === 'Progressing')?.reason;
  const first = deploymentStatus(deployment, set(2, 1), [set(2, 1)], 1_000);
  expect(first).toMatchObject({ observedGeneration: 3, updatedReplicas: 2, availableReplicas: 1, unavailableReplicas: 1 });
  expect(reason(first)).toBe('ReplicaSetUpdated');
  expect(reason(deploymentStatus({ ...deployment, status: first }, set(2, 1), [set(2, 1)], 20_000))).toBe('ProgressDeadlineExceeded');
  expect(reason(deploymentStatus({ ...deployment, status: first }, set(2, 2), [set(2, 2)], 20_000))).toBe('NewReplicaSetAvailable');
});

test('the work queue runs a key once at a time, again when it was added meanwhile, and later when it failed', async () => {
  const log: string[] = [];
  const done = Promise.withResolvers<void>();
  let failed = false;
  const queue = new WorkQueue({
    name: 'test',
    parallel: 4,
    reconcile: async (key) => {
      log.push(`+${key}`);
      if (key === 'a' && log.length === 1) queue.add('a');
      await Promise.resolve();
      log.push(`-${key}`);
      if (key === 'b' && !failed) {
        failed = true;
        throw new Error('again');
      }
      if (failed && log.filter((entry) => entry === '-b').length === 2) done.resolve();
      return undefined;
    },
    onError: (key) => log.push(`!${key}`),
  });
  queue.add('a');
  queue.add('b');
  await done.promise;
  queue.stop();
  const of = (key: string) => log.filter((entry) => entry.endsWith(key)).join(' ');
  expect(of('a')).toBe('+a -a +a -a');
  expect(of('b')).toBe('+b -b !b +b -b');
});
