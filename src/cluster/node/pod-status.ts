/** The pod's status as `kubectl get pods` and the controllers read it, from what is known about its containers. */
import type { Condition, Pod, PodStatus } from '../../platform/kubernetes/index.ts';
import { timestamp, withTransitionTimes } from '../conditions.ts';
import { type ContainerRecord, containerStatus } from './container-record.ts';

export interface PodFactsForStatus {
  readonly podIP: string | undefined;
  readonly hostIP: string;
  readonly startTime: number;
  readonly sandboxReady: boolean;
  readonly init: readonly ContainerRecord[];
  readonly containers: readonly ContainerRecord[];
  /** A reason that ends the pod whatever its containers do (DeadlineExceeded, UnexpectedAdmissionError). */
  readonly failure?: { readonly reason: string; readonly message: string } | undefined;
}
const OWN_CONDITIONS = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'];

export function podStatus(pod: Pod, facts: PodFactsForStatus, now: number): PodStatus {
  const uid = pod.metadata?.uid ?? '';
  const specs = new Map([...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((spec) => [spec.name, spec]));
  const statuses = (records: readonly ContainerRecord[]) =>
    records.map((record) => containerStatus(record, specs.get(record.name) ?? { name: record.name }, uid));
  const phase = facts.failure !== undefined ? 'Failed' : podPhase(pod, facts);
  const finished = phase === 'Succeeded' || phase === 'Failed';
  const init = statuses(facts.init);
  const containers = statuses(facts.containers);
  const initialized = isInitialized(pod, facts.init);
  const containersReady = !finished && containers.every(({ ready }) => ready);
  const gates = (pod.spec?.readinessGates ?? []).every(({ conditionType }) =>
    pod.status?.conditions?.some(({ type, status }) => type === conditionType && status === 'True'),
  );
  const unready = containers.filter(({ ready }) => !ready).map(({ name }) => name);
  const why: Pick<Condition, 'reason' | 'message'> = finished
    ? { reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
  const flag = (type: string, value: boolean, otherwise: Pick<Condition, 'reason' | 'message'> = {}): Condition => ({
    type,
    status: value ? 'True' : 'False',
    ...(value ? {} : otherwise),
    lastProbeTime: null,
  });
  const pendingInit = facts.init.filter((record) => !isDone(record)).map(({ name }) => name);
  const conditions: Condition[] = [
    flag('PodReadyToStartContainers', facts.sandboxReady),
    flag('Initialized', initialized, {
      reason: 'ContainersNotInitialized',
      message: `containers with incomplete status: [${pendingInit.join(' ')}]`,
    }),
    flag(
      'Ready',
      containersReady && gates,
      containersReady ? { reason: 'ReadinessGatesNotReady', message: 'a readiness gate is not True' } : why,
    ),
    flag('ContainersReady', containersReady, why),
    flag('PodScheduled', true),
  ];
  for (const other of pod.status?.conditions ?? []) if (!OWN_CONDITIONS.includes(other.type)) conditions.push(other);
  return {
    phase,
    conditions: withTransitionTimes(conditions, pod.status?.conditions, timestamp(now)),
    hostIP: facts.hostIP,
    hostIPs: [{ ip: facts.hostIP }],
    ...(facts.podIP !== undefined && { podIP: facts.podIP, podIPs: [{ ip: facts.podIP }] }),
    startTime: timestamp(facts.startTime),
    ...(init.length > 0 && { initContainerStatuses: init }),
    containerStatuses: containers,
    qosClass: qosClass(pod),
    ...facts.failure,
  };
}

const isDone = (record: ContainerRecord): boolean => record.phase === 'terminated' && record.terminated?.exitCode === 0;

/** An init container with restartPolicy Always is a sidecar: it counts as done once it has started. */
export function isInitialized(pod: Pod, init: readonly ContainerRecord[]): boolean {
  return init.every((record) => {
    const sidecar = pod.spec?.initContainers?.find(({ name }) => name === record.name)?.restartPolicy === 'Always';
    return sidecar ? record.phase === 'running' && record.started : isDone(record);
  });
}

/** Whether a run that ended like this is followed by another. */
export function restarts(policy: string, exitCode: number): boolean {
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

export function podPhase(pod: Pod, facts: Pick<PodFactsForStatus, 'init' | 'containers'>): NonNullable<PodStatus['phase']> {
  const policy = pod.spec?.restartPolicy ?? 'Always';
  const initFailed = facts.init.some((record) => record.phase === 'terminated' && record.terminated?.exitCode !== 0 && policy === 'Never');
  if (initFailed) return 'Failed';
  if (!isInitialized(pod, facts.init) && facts.containers.every(({ attempt }) => attempt < 0)) return 'Pending';
  const ended = facts.containers.filter((record) => record.phase === 'terminated' && !restarts(policy, record.terminated?.exitCode ?? 0));
  if (ended.length === facts.containers.length) return ended.every((record) => record.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed';
  // A container that waits for its first run keeps the pod pending; one that waits for another run does not.
  if (facts.containers.some((record) => record.phase === 'waiting' && record.last === undefined)) return 'Pending';
  return 'Running';
}

function qosClass(pod: Pod): string {
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const any = containers.some(({ resources }) => Object.keys({ ...resources?.limits, ...resources?.requests }).length > 0);
  if (!any) return 'BestEffort';
  const guaranteed = containers.every(({ resources }) =>
    ['cpu', 'memory'].every(
      (name) =>
        resources?.limits?.[name] !== undefined && (resources.requests?.[name] ?? resources.limits[name]) === resources.limits[name],
    ),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
