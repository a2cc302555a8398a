/** What is known about one container of a pod, across its runs; kept in the pod's state file. */
import type { Container, ContainerState, ContainerStatus, Pod, Terminated } from '../../platform/kubernetes/index.ts';
import { timestamp } from '../conditions.ts';

export interface ContainerRecord {
  readonly name: string;
  /** Number of the current or last run, from 0; −1 before the first. */
  attempt: number;
  phase: 'waiting' | 'running' | 'terminated';
  waiting: { reason: string; message?: string };
  startedAt: number | undefined;
  /** How the current run ended. */
  terminated: Terminated | undefined;
  /** How the run before ended. */
  last: Terminated | undefined;
  restarts: number;
  /** Failures in a row, for the back-off. */
  failures: number;
  nextStartAt: number;
  started: boolean;
  ready: boolean;
}

/** `pod`, when the API knows of runs this machine knows nothing of (the whole cluster was restarted): they count. */
export function newRecord(name: string, pod?: Pod): ContainerRecord {
  const known = [...(pod?.status?.containerStatuses ?? []), ...(pod?.status?.initContainerStatuses ?? [])].find(
    (status) => status.name === name,
  );
  const hadRun =
    known !== undefined && !(known.state?.waiting !== undefined && known.restartCount === 0 && known.lastState?.terminated === undefined);
  const last: Terminated | undefined = !hadRun
    ? undefined
    : (known.state?.terminated ?? {
        exitCode: 137,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located when the node runtime started',
      });
  return {
    name,
    attempt: -1,
    phase: 'waiting',
    waiting: { reason: 'ContainerCreating' },
    startedAt: undefined,
    terminated: undefined,
    last,
    restarts: hadRun ? known.restartCount + 1 : 0,
    failures: 0,
    nextStartAt: 0,
    started: false,
    ready: false,
  };
}

export const containerId = (uid: string, name: string, attempt: number): string => `lateen://${uid.replaceAll('-', '')}${name}${attempt}`;

/** The exit of a run in Kubernetes' words; a shell reports a signal as 128 plus its number. */
export function terminatedState(code: number, at: number, startedAt: number | undefined, id: string, setupError?: string): Terminated {
  const reason = setupError !== undefined ? 'StartError' : code === 0 ? 'Completed' : 'Error';
  return {
    exitCode: code,
    reason,
    ...(setupError !== undefined && { message: setupError }),
    startedAt: timestamp(startedAt ?? at),
    finishedAt: timestamp(at),
    containerID: id,
  };
}

export function containerStatus(record: ContainerRecord, spec: Container, uid: string): ContainerStatus {
  const state: ContainerState =
    record.phase === 'running'
      ? { running: { startedAt: timestamp(record.startedAt ?? 0) } }
      : record.phase === 'terminated' && record.terminated !== undefined
        ? { terminated: record.terminated }
        : { waiting: record.waiting };
  const image = spec.image ?? '';
  return {
    name: record.name,
    state,
    lastState: record.last === undefined ? {} : { terminated: record.last },
    ready: record.phase === 'running' && record.ready,
    restartCount: record.restarts,
    image,
    imageID: record.attempt < 0 ? '' : `lateen://${image}`,
    ...(record.attempt >= 0 && { containerID: containerId(uid, record.name, record.attempt) }),
    started: record.phase === 'running' && record.started,
  };
}
