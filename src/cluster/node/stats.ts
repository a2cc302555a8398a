/** `GET /stats/summary`: CPU time and memory per container, in the shape of kubelet's Summary API. */
import { readText } from '../files.ts';
import { allPids, processStat } from '../processes.ts';
import { mountNamespaceOf } from './container-process.ts';
import type { NodeContext } from './node-context.ts';
import type { PodManager } from './pod-manager.ts';
import type { PodWorker } from './pod-worker.ts';

/** The kernel counts CPU time in hundredths of a second for user space, on every architecture Lateen runs on. */
const NANOSECONDS_PER_TICK = 10_000_000;
const PAGE_BYTES = 4096;

export interface Usage {
  readonly time: string;
  readonly usageCoreNanoSeconds: number;
  readonly rssBytes: number;
  /** Proportional share: pages shared by n processes count 1/n. Falls back to the resident size. */
  readonly pssBytes: number;
}

export function summary(context: NodeContext, manager: PodManager) {
  const now = new Date().toISOString();
  const byNamespace = new Map<number, number[]>();
  for (const pid of allPids()) {
    const inode = mountNamespaceOf(pid);
    if (inode === undefined) continue;
    const list = byNamespace.get(inode);
    if (list === undefined) byNamespace.set(inode, [pid]);
    else list.push(pid);
  }
  return {
    node: { nodeName: context.nodeName },
    pods: [...manager.all()].map((worker) => podStats(worker, byNamespace, now)),
  };
}

function podStats(worker: PodWorker, byNamespace: ReadonlyMap<number, readonly number[]>, now: string) {
  const { name, namespace, uid } = worker.pod.metadata ?? {};
  const containers = [...worker.init, ...worker.containers]
    .filter((runner) => runner.isRunning && runner.process !== undefined)
    .map((runner) => {
      const usage = usageOf(byNamespace.get(runner.process!.mountNamespace) ?? [], now);
      return {
        name: runner.spec.name,
        startTime: new Date(runner.record.startedAt ?? 0).toISOString(),
        cpu: { time: usage.time, usageCoreNanoSeconds: usage.usageCoreNanoSeconds },
        memory: { time: usage.time, workingSetBytes: usage.pssBytes, rssBytes: usage.rssBytes },
      };
    });
  const sum = (pick: (container: (typeof containers)[number]) => number): number =>
    containers.reduce((total, container) => total + pick(container), 0);
  return {
    podRef: { name, namespace, uid },
    containers,
    cpu: { time: now, usageCoreNanoSeconds: sum(({ cpu }) => cpu.usageCoreNanoSeconds) },
    memory: { time: now, workingSetBytes: sum(({ memory }) => memory.workingSetBytes), rssBytes: sum(({ memory }) => memory.rssBytes) },
  };
}

export function usageOf(pids: readonly number[], time: string): Usage {
  let ticks = 0;
  let rssBytes = 0;
  let pssBytes = 0;
  for (const pid of pids) {
    const stat = processStat(pid);
    if (stat === undefined) continue;
    ticks += stat.ticks;
    const rss = stat.residentPages * PAGE_BYTES;
    rssBytes += rss;
    const pss = /^Pss:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/smaps_rollup`) ?? '')?.[1];
    pssBytes += pss === undefined ? rss : Number(pss) * 1024;
  }
  return { time, usageCoreNanoSeconds: ticks * NANOSECONDS_PER_TICK, rssBytes, pssBytes };
}
