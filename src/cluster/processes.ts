/** Processes by pid and start time: a pid the kernel has given to someone else is never taken for ours, and never signalled. */
import fs from 'node:fs';

export interface ProcessRef {
  readonly pid: number;
  /** Field 22 of `/proc/<pid>/stat`: clock ticks from boot to the start of the process. */
  readonly start: string;
}

interface ProcessStat {
  readonly state: string;
  readonly parent: number;
  readonly start: string;
  /** Clock ticks of the process and of its children that have ended. */
  readonly ticks: number;
  readonly residentPages: number;
}

export function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // ended
  }
  // The command name may hold spaces and brackets: the fields start after the last bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index - 3] ?? 0);
  return {
    state: fields[0] ?? '',
    parent: number(4),
    start: fields[22 - 3] ?? '',
    ticks: number(14) + number(15) + number(16) + number(17),
    residentPages: number(24),
  };
}

/** A reference to a running process, undefined when it has ended (a zombie has ended). */
export function processRef(pid: number): ProcessRef | undefined {
  const stat = processStat(pid);
  return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : { pid, start: stat.start };
}

export function isRunning(ref: ProcessRef): boolean {
  return processRef(ref.pid)?.start === ref.start;
}

/** Sends the signal if that very process still runs; says whether it did. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isRunning(ref)) return false;
  try {
    process.kill(ref.pid, signal);
    return true;
  } catch {
    return false; // ended between the check and the signal
  }
}

export async function waitForEnd(ref: ProcessRef, limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (isRunning(ref)) {
    if (Date.now() >= deadline) return false;
    await Bun.sleep(Math.min(20, Math.max(1, deadline - Date.now())));
  }
  return true;
}

/** Asks the process to end and, after the limit, makes it. */
export async function endProcess(ref: ProcessRef, limitMs: number, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  signalProcess(ref, signal);
  if (await waitForEnd(ref, limitMs)) return;
  signalProcess(ref, 'SIGKILL');
  await waitForEnd(ref, 5_000);
}

/** Every process of this pid namespace. */
export function allPids(): number[] {
  return fs
    .readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0);
}
