import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Usage {
  /** Time on a processor since the proxies started, all threads. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Programs that stand between pods. */
export type ProxyKind = 'ztunnel' | 'waypoint' | 'envoy';

/** The processes of the proxies of these kinds, found by their command line among those of the cluster's process namespaces. */
export const findProxyPids = (clusterPids: readonly number[], kinds: readonly ProxyKind[]): number[] => {
  const namespaces = new Set(clusterPids.map((pid) => pidNamespace(pid)).filter((id) => id !== ''));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const kind = proxyKind(readOrNothing(`/proc/${pid}/cmdline`).split('\0'));
      return kind !== undefined && kinds.includes(kind) && namespaces.has(pidNamespace(pid));
    });
};

/** What a command line runs; undefined when it is no proxy. A shell that only starts one has other words before the program. */
export const proxyKind = (words: readonly string[]): ProxyKind | undefined => {
  const program = words[0]?.split('/').at(-1) ?? '';
  if (program === 'envoy') return 'envoy';
  if (!program.includes('bun')) return undefined;
  const role = words[words.indexOf('proxy') + 1];
  return words.includes('proxy') && (role === 'ztunnel' || role === 'waypoint') ? role : undefined;
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
    cpuMs += processorMs(readOrNothing(`/proc/${pid}/stat`));
    // The proportional share: pages of the runtime that many processes share count once. Not every user may read it.
    const share =
      /^Pss:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/smaps_rollup`)) ??
      /^VmRSS:\s+(\d+) kB/m.exec(readOrNothing(`/proc/${pid}/status`));
    memoryBytes += Number(share?.[1] ?? 0) * 1024;
  }
  return { cpuMs, memoryBytes };
};

/** `/proc` counts in hundredths of a second on every Linux. */
const MS_PER_TICK = 10;

/** User and system time of a process from its `stat` line, threads that have ended included; 0 for a line of another form. */
export const processorMs = (line: string): number => {
  // The name is in parentheses and may hold blanks and parentheses itself; utime and stime are fields 14 and 15.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * MS_PER_TICK;
};
