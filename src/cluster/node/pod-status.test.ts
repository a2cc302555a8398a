import { expect, test } from 'bun:test';
import type { Pod, PodSpec } from '../../platform/kubernetes/index.ts';
import { type ContainerRecord, newRecord, terminatedState } from './container-record.ts';
import { podPhase, podStatus, restarts } from './pod-status.ts';

const podOf = (spec: Partial<PodSpec> = {}): Pod => ({ metadata: { name: 'p', uid: 'u' }, spec: { containers: [{ name: 'a' }], ...spec } });
const running = (name = 'a', change: Partial<ContainerRecord> = {}): ContainerRecord => ({
  ...newRecord(name),
  attempt: 0,
  phase: 'running',
  startedAt: 1000,
  started: true,
  ready: true,
  ...change,
});
const ended = (code: number, name = 'a'): ContainerRecord => ({
  ...newRecord(name),
  attempt: 0,
  phase: 'terminated',
  terminated: terminatedState(code, 2000, 1000, 'id'),
});
const status = (pod: Pod, containers: ContainerRecord[], init: ContainerRecord[] = []) =>
  podStatus(pod, { podIP: '10.244.1.2', hostIP: '10.240.0.11', startTime: 0, sandboxReady: true, init, containers }, 5000);
const condition = (result: ReturnType<typeof status>, type: string) => result.conditions?.find((each) => each.type === type);

test('a pod whose containers run and are ready is Running and Ready', () => {
  const result = status(podOf(), [running()]);
  expect(result.phase).toBe('Running');
  expect(condition(result, 'Ready')?.status).toBe('True');
  expect(result.containerStatuses?.[0]).toMatchObject({
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: '1970-01-01T00:00:01Z' } },
  });
});

test('an unready container makes the pod unready and is named in the condition', () => {
  const result = status(podOf({ containers: [{ name: 'a' }, { name: 'b' }] }), [running(), running('b', { ready: false })]);
  expect(condition(result, 'Ready')).toMatchObject({
    status: 'False',
    reason: 'ContainersNotReady',
    message: 'containers with unready status: [b]',
  });
});

test('a pod waits for its init containers', () => {
  const pod = podOf({ initContainers: [{ name: 'i' }] });
  expect(status(pod, [newRecord('a')], [running('i')]).phase).toBe('Pending');
  expect(condition(status(pod, [newRecord('a')], [running('i')]), 'Initialized')?.status).toBe('False');
  expect(condition(status(pod, [running()], [ended(0, 'i')]), 'Initialized')?.status).toBe('True');
});

test('a failed init container of a pod that never restarts fails the pod', () => {
  expect(
    podPhase(podOf({ initContainers: [{ name: 'i' }], restartPolicy: 'Never' }), { init: [ended(1, 'i')], containers: [newRecord('a')] }),
  ).toBe('Failed');
});

test('the phase after the end depends on the restart policy and the exit code', () => {
  expect(podPhase(podOf(), { init: [], containers: [ended(0)] })).toBe('Running');
  expect(podPhase(podOf({ restartPolicy: 'Never' }), { init: [], containers: [ended(0)] })).toBe('Succeeded');
  expect(podPhase(podOf({ restartPolicy: 'Never' }), { init: [], containers: [ended(3)] })).toBe('Failed');
  expect(podPhase(podOf({ restartPolicy: 'OnFailure' }), { init: [], containers: [ended(3)] })).toBe('Running');
  expect([restarts('Always', 0), restarts('OnFailure', 0), restarts('Never', 1)]).toEqual([true, false, false]);
});

test('a container between two runs keeps the pod Running, one before its first keeps it Pending', () => {
  const waiting = { ...newRecord('a'), last: terminatedState(1, 2000, 1000, 'id') };
  expect(podPhase(podOf(), { init: [], containers: [waiting] })).toBe('Running');
  expect(podPhase(podOf(), { init: [], containers: [newRecord('a')] })).toBe('Pending');
});

test('a condition keeps its transition time while its status stays', () => {
  const pod = podOf();
  pod.status = { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '1970-01-01T00:00:02Z' }] };
  expect(condition(status(pod, [running()]), 'Ready')?.lastTransitionTime).toBe('1970-01-01T00:00:02Z');
  expect(condition(status(pod, [running('a', { ready: false })]), 'Ready')?.lastTransitionTime).toBe('1970-01-01T00:00:05Z');
});

test('conditions that others set are kept, and readiness gates count', () => {
  const pod = podOf({ readinessGates: [{ conditionType: 'x/gate' }] });
  expect(condition(status(pod, [running()]), 'Ready')?.status).toBe('False');
  pod.status = { conditions: [{ type: 'x/gate', status: 'True' }] };
  const result = status(pod, [running()]);
  expect(condition(result, 'Ready')?.status).toBe('True');
  expect(condition(result, 'x/gate')?.status).toBe('True');
});

test('a run this machine knows nothing of counts as a restart', () => {
  const pod = podOf();
  pod.status = {
    containerStatuses: [
      { name: 'a', state: { running: { startedAt: '' } }, lastState: {}, ready: true, restartCount: 2, image: '', imageID: '' },
    ],
  };
  expect(newRecord('a', pod)).toMatchObject({ restarts: 3, last: { reason: 'ContainerStatusUnknown' } });
  expect(newRecord('b', pod)).toMatchObject({ restarts: 0, last: undefined });
});
