/** Processes and namespaces of a measurement: started, pinned, watched and ended by id. */
import fs from 'node:fs';
import path from 'node:path';

export const BUN = process.execPath;
/** Starts Lateen's programs as users do: from their bundles where those are fresh, tuned as they are shipped. */
export const LAUNCHER = path.join(import.meta.dir, '../bin/lateen');
const ended: (() => void)[] = [];
const awake: number[] = [];

/** Runs a command to its end; throws with its error text when it fails. */
export function sh(...argv: string[]): string {
  const done = Bun.spawnSync(argv, { stdin: 'ignore' });
  if (!done.success) throw new Error(`${argv.join(' ')}: ${done.stderr.toString().trim() || `exit code ${done.exitCode}`}`);
  return done.stdout.toString();
}

/** Feeds a rule set to nft inside a namespace. */
export function nft(namespace: string, rules: string): void {
  const done = Bun.spawnSync(['ip', 'netns', 'exec', namespace, 'nft', '-f', '-'], { stdin: Buffer.from(rules) });
  if (!done.success) throw new Error(`nft in ${namespace}: ${done.stderr.toString().trim()}`);
}

export interface ProcessOptions {
  readonly namespace?: string;
  /** Processors it may use, as taskset takes them. */
  readonly cpu: number | string;
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly log: string;
}

export interface Running {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
}

/** Starts a long-running program pinned to one core, in a namespace; it is ended with the measurement. */
export function start(name: string, argv: readonly string[], options: ProcessOptions): Running {
  const command = [
    ...(options.namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${options.namespace}`]),
    'taskset',
    '-c',
    String(options.cpu),
    ...(options.uid === undefined ? [] : ['setpriv', '--reuid', String(options.uid), '--clear-groups']),
    ...argv,
  ];
  const log = fs.openSync(options.log, 'w');
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: log, stderr: log, env: { ...process.env, ...options.env } });
  ended.push(() => child.kill('SIGKILL'));
  return { name, pid: child.pid, log: options.log };
}

/** A process and those it started, by their parents: a program may work in several. */
export function processTree(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const entry of readDirectory('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readText(`/proc/${entry}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const tree = [root];
  for (let index = 0; index < tree.length; index++) tree.push(...(children.get(tree[index]!) ?? []));
  return tree;
}

/** What a process used so far, in microseconds. */
export interface CpuReading {
  /** Of its threads alive now: exact, by the scheduler. */
  readonly threads: ReadonlyMap<string, number>;
  /** Of all it ever had, in the kernel's ticks of 10 ms. */
  readonly ticks: number;
}

const TICK_MICROS = 10_000;

/**
 * Time on a processor: user plus system, and the soft interrupts that ran in its place, which on a veth pair are most of them. Nothing of a process that has ended.
 */
export function readCpu(pid: number): CpuReading {
  const threads = new Map<string, number>();
  for (const task of readDirectory(`/proc/${pid}/task`)) {
    const text = readText(`/proc/${pid}/task/${task}/schedstat`);
    if (text !== '') threads.set(task, Number(text.split(' ')[0]) / 1000);
  }
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { threads, ticks: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MICROS };
}

/** Between two readings. A runtime's helper threads come and go: what one that has ended used is in the ticks only, which count when they know clearly more. */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let exact = 0;
  for (const [task, micros] of after.threads) exact += micros - (before.threads.get(task) ?? 0);
  const ticks = after.ticks - before.ticks;
  return [...before.threads.keys()].every((task) => after.threads.has(task)) ? exact : Math.max(exact, ticks - TICK_MICROS);
}

// Processes and threads end while they are looked at.
function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function readDirectory(folder: string): readonly string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

export interface MachineTime {
  /** Time of all processes: user, nice and system. */
  readonly busy: number;
  /** Soft interrupts: kernel work no process is charged for. */
  readonly softirq: number;
  /** What the hypervisor gave to others while a processor wanted to run. */
  readonly steal: number;
}

/** What the processors of the machine did since its start, in microseconds. */
export function machineMicros(): MachineTime {
  const line = fs.readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/);
  const ticks = (field: number) => Number(line[field]) * 10_000;
  return { busy: ticks(1) + ticks(2) + ticks(3), softirq: ticks(7), steal: ticks(8) };
}

export interface Memory {
  readonly pssKib: number;
  readonly privateKib: number;
  /** As if these processes were alone on their node: private memory of each, and what they share (program text) once. Does not depend on what else runs. */
  readonly wholeKib: number;
}

/** Resident memory of processes together, in KiB. */
export function memoryOf(pids: readonly number[]): Memory {
  let pssKib = 0;
  let privateKib = 0;
  let sharedKib = 0;
  for (const pid of pids) {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const read = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
    const own = read('Private_Clean') + read('Private_Dirty');
    pssKib += read('Pss');
    privateKib += own;
    sharedKib = Math.max(sharedKib, read('Rss') - own);
  }
  return { pssKib, privateKib, wholeKib: privateKib + sharedKib };
}

/**
 * Keeps a core from halting: waking a halted virtual processor takes the hypervisor longer than a whole request takes the proxies. The loop runs at idle
 * priority, so whatever else wants the core has it at once.
 */
export function keepAwake(cpu: number): void {
  const child = Bun.spawn(['taskset', '-c', String(cpu), 'chrt', '-i', '0', 'sh', '-c', 'while :; do :; done'], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  awake.push(child.pid);
  ended.push(() => {
    child.kill('SIGKILL');
    awake.splice(awake.indexOf(child.pid), 1);
  });
}

/** Of the loops of `keepAwake`. */
export const readAwake = (): readonly CpuReading[] => awake.map(readCpu);

/** A namespace that disappears with the measurement. */
export function namespace(name: string): string {
  Bun.spawnSync(['ip', 'netns', 'del', name]);
  sh('ip', 'netns', 'add', name);
  ended.push(() => Bun.spawnSync(['ip', 'netns', 'del', name]));
  sh('ip', '-n', name, 'link', 'set', 'lo', 'up');
  return name;
}

/** Ends everything started here, newest first. */
export function cleanUp(): void {
  for (const end of ended.splice(0).reverse()) end();
}
