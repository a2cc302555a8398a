import { expect, test } from 'bun:test';
import type { Deployment, HorizontalPodAutoscaler, Pod, PodDisruptionBudget, ReplicaSet } from '../../platform/kubernetes/index.ts';
import { autoscalerStatus } from './autoscaler.ts';
import { budgetStatus, expectedPods } from './disruption.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const owner = (kind: string, name: string) => [{ apiVersion: 'apps/v1', kind, name, uid: name, controller: true }];
const pod = (name: string, isReady: boolean, set?: string): Pod => ({
  metadata: { name, uid: name, ...(set === undefined ? {} : { ownerReferences: owner('ReplicaSet', set) }) },
  spec: { containers: [] },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
});
const template = { spec: { containers: [] } };
const set = (name: string, replicas: number, deployment?: string): ReplicaSet => ({
  metadata: { name, uid: name, ...(deployment === undefined ? {} : { ownerReferences: owner('Deployment', deployment) }) },
  spec: { replicas, selector: {}, template },
});
const deployment = (name: string, replicas: number): Deployment => ({
  metadata: { name, uid: name },
  spec: { replicas, selector: {}, template },
});
const budget = (spec: PodDisruptionBudget['spec']): PodDisruptionBudget => ({ metadata: { name: 'b', generation: 2 }, spec: spec ?? {} });

test('a budget expects what the controllers of its pods want, each counted once', () => {
  const sets = [set('old', 1, 'd'), set('new', 2, 'd'), set('alone', 3)];
  const expected = expectedPods(
    [pod('a', true, 'old'), pod('b', true, 'new'), pod('c', true, 'new'), pod('d', true, 'alone'), pod('e', true)],
    (name) => sets.find((each) => each.metadata?.name === name),
    () => deployment('d', 2),
  );
  expect(expected).toBe(2 + 3 + 1);
});

test.each<[string, NonNullable<PodDisruptionBudget['spec']>, number, number, { desiredHealthy: number; disruptionsAllowed: number }]>([
  ['one of two must stay', { minAvailable: 1 }, 2, 2, { desiredHealthy: 1, disruptionsAllowed: 1 }],
  ['one of two must stay and one is not ready', { minAvailable: 1 }, 1, 2, { desiredHealthy: 1, disruptionsAllowed: 0 }],
  ['half of three must stay, rounded up', { minAvailable: '50%' }, 3, 3, { desiredHealthy: 2, disruptionsAllowed: 1 }],
  ['one of three may go', { maxUnavailable: 1 }, 3, 3, { desiredHealthy: 2, disruptionsAllowed: 1 }],
  ['one of three may go and one has gone', { maxUnavailable: 1 }, 2, 3, { desiredHealthy: 2, disruptionsAllowed: 0 }],
  ['nothing is said: one must stay', {}, 2, 2, { desiredHealthy: 1, disruptionsAllowed: 1 }],
  ['there are no pods', { minAvailable: 0 }, 0, 0, { desiredHealthy: 0, disruptionsAllowed: 0 }],
])('a budget allows disruptions when %s', (_title, spec, ready, expected, wanted) => {
  const pods = Array.from({ length: expected }, (_, index) => pod(`p${index}`, index < ready));
  const status = budgetStatus(budget(spec), pods, expected, NOW);
  expect(status).toMatchObject({ ...wanted, expectedPods: expected, currentHealthy: ready, observedGeneration: 2 });
  expect(status.conditions?.[0]).toMatchObject({ type: 'DisruptionAllowed', status: wanted.disruptionsAllowed > 0 ? 'True' : 'False' });
});

const autoscaler: HorizontalPodAutoscaler = {
  metadata: { name: 'h' },
  spec: { scaleTargetRef: { kind: 'Deployment', name: 'd' }, minReplicas: 2, maxReplicas: 4 },
};
test.each([
  ['below', 1, 2, 'TooFewReplicas'],
  ['within', 3, 3, undefined],
  ['above', 9, 4, 'TooManyReplicas'],
  ['switched off', 0, 0, undefined],
])('an autoscaler keeps its target within the bounds: %s', (_title, wanted, expected, limited) => {
  const status = autoscalerStatus(autoscaler, { wanted, present: wanted }, NOW);
  expect(status).toMatchObject({ desiredReplicas: expected, currentReplicas: wanted });
  const reasonOf = (type: string) => status.conditions?.find((condition) => condition.type === type)?.reason;
  expect(reasonOf('ScalingLimited')).toBe(limited as string);
  expect(reasonOf('ScalingActive')).toBe(wanted === 0 ? 'ScalingDisabled' : 'FailedGetResourceMetric');
});

test('an autoscaler without a target says so and wants nothing', () => {
  const status = autoscalerStatus(autoscaler, undefined, NOW);
  expect(status.desiredReplicas).toBe(0);
  expect(status.conditions).toEqual([expect.objectContaining({ type: 'AbleToScale', status: 'False', reason: 'FailedGetScale' })]);
});
