import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Usage {
  /** Time on a processor since the proxies started, all threads. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** The processes of the node proxies, found by their command line among those of the cluster's process namespace. */
export const findProxyPids = (clusterPids: readonly number[]): number[] => {
  const namespaces = new Set(clusterPids.map((pid) => pidNamespace(pid)).filter((id) => id !== ''));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isProxy(pid) && namespaces.has(pidNamespace(pid)));
};

const isProxy = (pid: number): boolean => {
  const words = readOrNothing(`/proc/${pid}/cmdline`).split('\0');
  const at = words.indexOf('proxy');
  return at > 0 && words[at + 1] === 'ztunnel' && words[0]?.includes('bun') === true;
};

const pidNamespace = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return ''; // ended, or another user's
  }
};

const readOrNothing = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
};

/** Sums over the processes; one that ended counts nothing. */
export const readUsage = (pids: readonly number[]): Usage => {
  let cpuMs = 0;
  let memoryBytes = 0;
  for (const pid of pids) {
    for (const thread of tasksOf(pid)) cpuMs += Number(readOrNothing(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0] ?? 0) / 1e6;
    // The proportional share: pages of the runtime that many processes share count once. Not every user may read it.
    const share =
      /^Pss:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/smaps_rollup`)) ??
      /^VmRSS:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/status`));
    memoryBytes += Number(share?.[1] ?? 0) * 1024;
  }
  return { cpuMs, memoryBytes };
};

const tasksOf = (pid: number): string[] => {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // ended meanwhile
  }
};
