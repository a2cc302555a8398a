/** A pod's state file: enough to take the pod over after a restart of the node runtime, API server or no API server. */
import path from 'node:path';
import type { Pod } from '../../platform/kubernetes/index.ts';
import { readJson, writeJson } from '../files.ts';
import type { ProcessRef } from '../processes.ts';
import type { ContainerRecord } from './container-record.ts';

export interface PodState {
  readonly pod: Pod;
  readonly podIP: string | undefined;
  readonly sandbox: ProcessRef | undefined;
  readonly announced: boolean;
  readonly startTime: number;
  readonly init: readonly ContainerRecord[];
  readonly containers: readonly ContainerRecord[];
}

export const podStateFile = (podDir: string): string => path.join(podDir, 'state.json');
export const readPodState = (podDir: string): PodState | undefined => readJson<PodState>(podStateFile(podDir));
export const writePodState = (podDir: string, state: PodState): void => writeJson(podStateFile(podDir), state);
