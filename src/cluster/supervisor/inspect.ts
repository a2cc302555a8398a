/** What runs, seen from outside the private namespaces. */
import fs from 'node:fs';
import type { ClusterPaths } from '../config.ts';
import { readJson, readText } from '../files.ts';
import { allPids, isRunning, processStat } from '../processes.ts';
import type { InnerStatus } from './inner.ts';
import { nodeNetns } from './network.ts';
import type { SupervisorRecord } from './outer.ts';

/** The record of the supervisor that runs now; a record left by a crash is not one. */
export function runningSupervisor(paths: ClusterPaths): SupervisorRecord | undefined {
  const record = readJson<SupervisorRecord>(paths.supervisor);
  return record !== undefined && isRunning(record) ? record : undefined;
}

export function innerStatus(paths: ClusterPaths): InnerStatus | undefined {
  return readJson<InnerStatus>(paths.status);
}

/** The first process of the cluster's pid namespace, as numbered outside. */
export function namespaceInit(record: SupervisorRecord): number | undefined {
  const holder = record.namespaces?.pid;
  return holder === undefined ? undefined : allPids().find((pid) => processStat(pid)?.parent === holder);
}

/** Maps pids inside the cluster's pid namespace to the numbers they have here. */
export function pidMap(init: number): Map<number, number> {
  const map = new Map<number, number>();
  let namespace: string;
  try {
    namespace = fs.readlinkSync(`/proc/${init}/ns/pid`);
  } catch {
    return map; // ended, or not ours to look at
  }
  for (const pid of allPids()) {
    try {
      if (fs.readlinkSync(`/proc/${pid}/ns/pid`) !== namespace) continue;
    } catch {
      continue; // ended meanwhile, or another user's
    }
    const numbers = /^NSpid:\s*(.+)$/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1]?.split(/\s+/);
    if (numbers !== undefined) map.set(Number(numbers.at(-1)), pid);
  }
  return map;
}

/** The command prefix that runs a program inside the cluster: on the host side of its network, or on node `index`. */
export function enterCommand(init: number, index?: number): string[] {
  const root = process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials'];
  const enter = ['nsenter', '-t', String(init), ...root, '--mount', '--net', '--pid', '--'];
  return index === undefined ? enter : [...enter, 'nsenter', `--net=${nodeNetns(index)}`, '--'];
}
