/**
 * One run of a container. A small shell is the parent of the program and writes down how it ended, so that a node runtime that was
 * restarted meanwhile still learns the exit code. Everything about the run is in its directory: `pid`, `exit`, `error`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { readText } from '../files.ts';
import { allPids, isRunning, type ProcessRef, signalProcess, waitForEnd } from '../processes.ts';
import { type ContainerScript, containerScript } from './container-script.ts';

export interface StartRequest extends Omit<ContainerScript, 'pidFile' | 'errorFile'> {
  readonly dir: string;
  readonly sandbox: ProcessRef;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}
export interface Exit {
  readonly code: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What the set-up said, when the program was never reached. */
  readonly setupError: string | undefined;
}

const START_LIMIT_MS = 30_000;
/** How often an adopted run (not our child) is looked at. */
const ADOPTED_POLL_MS = 250;
const KILL_LIMIT_MS = 3_000;

const MONITOR = `n=$1 log=$2 dir=$3; shift 3; P=$PATH
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
nsenter --net=/proc/$n/ns/net --uts=/proc/$n/ns/uts unshare --mount --propagation private sh "$dir/setup.sh" "$@" >>"$log" 2>&1 </dev/null
echo "$? $(date +%s)" > "$dir/exit.tmp"; mv "$dir/exit.tmp" "$dir/exit"`;

export class ContainerProcess {
  readonly dir: string;
  readonly ref: ProcessRef;
  /** Holds the mount namespace: the kernel gives the number of a namespace that is gone to the next one at once. */
  #namespace: number | undefined;
  readonly exited: Promise<Exit>;

  private constructor(dir: string, ref: ProcessRef, monitorEnd: Promise<unknown> | undefined) {
    this.dir = dir;
    this.ref = ref;
    this.#namespace = openMountNamespace(ref);
    this.exited = this.#untilExit(monitorEnd);
  }

  /** Resolves when the program has been started, or with how the set-up failed. */
  static async start(request: StartRequest): Promise<ContainerProcess | Exit> {
    const { dir } = request;
    fs.mkdirSync(dir, { recursive: true });
    fs.mkdirSync(path.dirname(request.logFile), { recursive: true });
    const script = containerScript({ ...request, pidFile: path.join(dir, 'pid'), errorFile: path.join(dir, 'error') });
    fs.writeFileSync(path.join(dir, 'setup.sh'), script, { mode: 0o600 });
    const monitor = Bun.spawn(
      ['sh', '-c', MONITOR, 'lateen-container', String(request.sandbox.pid), request.logFile, dir, ...request.argv],
      {
        env: { ...request.env },
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'ignore',
        detached: true,
        cwd: '/',
      },
    );
    monitor.unref();
    const deadline = Date.now() + START_LIMIT_MS;
    while (Date.now() < deadline) {
      const ref = readPid(dir);
      if (ref !== undefined && !isRunningSetup(ref)) return new ContainerProcess(dir, ref, monitor.exited);
      const exit = readExit(dir);
      if (exit !== undefined) return exit;
      await Bun.sleep(3);
    }
    process.kill(-monitor.pid, 'SIGKILL');
    return { code: 128, at: Date.now(), setupError: 'the container was not set up within 30 s' };
  }

  /** Takes over a run that another node runtime started; undefined when there is no trace of it having started. */
  static adopt(dir: string): ContainerProcess | undefined {
    const ref = readPid(dir);
    return ref === undefined ? undefined : new ContainerProcess(dir, ref, undefined);
  }

  /** Every process of the container, and no other, is in this mount namespace; 0 when it is gone. */
  get mountNamespace(): number {
    return this.#namespace === undefined ? 0 : fs.fstatSync(this.#namespace).ino;
  }

  get isRunning(): boolean {
    return isRunning(this.ref);
  }

  signal(signal: NodeJS.Signals): void {
    signalProcess(this.ref, signal);
  }

  /** SIGTERM, the grace period, SIGKILL for everything in the container. */
  async stop(graceMs: number): Promise<void> {
    if (graceMs > 0) {
      this.signal('SIGTERM');
      await Promise.race([this.exited, Bun.sleep(graceMs)]);
    }
    await this.killAll();
  }

  /** Ends whatever is left in the container's mount namespace. */
  async killAll(): Promise<void> {
    signalProcess(this.ref, 'SIGKILL');
    for (const pid of processesInMountNamespace(this.mountNamespace)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // ended meanwhile
      }
    }
    await waitForEnd(this.ref, KILL_LIMIT_MS);
    if (this.#namespace !== undefined) fs.closeSync(this.#namespace);
    this.#namespace = undefined;
  }

  async #untilExit(monitorEnd: Promise<unknown> | undefined): Promise<Exit> {
    if (monitorEnd !== undefined) await monitorEnd;
    else while (isRunning(this.ref)) await Bun.sleep(ADOPTED_POLL_MS);
    // The monitor writes a moment after the program ended; if it was killed itself nobody knows the code.
    for (let tries = 0; tries < 20; tries++) {
      const exit = readExit(this.dir);
      if (exit !== undefined) return exit;
      if (monitorEnd !== undefined && tries > 2) {
        while (isRunning(this.ref)) await Bun.sleep(ADOPTED_POLL_MS);
      }
      await Bun.sleep(25);
    }
    return { code: 137, at: Date.now(), setupError: undefined };
  }
}

function readPid(dir: string): ProcessRef | undefined {
  const match = /^(\d+) (\d+)\n/.exec(readText(path.join(dir, 'pid')) ?? '');
  return match === null ? undefined : { pid: Number(match[1]), start: match[2]! };
}

/** Between the last line of the set-up and the program itself nothing can be seen but the command line. */
function isRunningSetup(ref: ProcessRef): boolean {
  return isRunning(ref) && (readText(`/proc/${ref.pid}/cmdline`) ?? '').includes('/setup.sh\0');
}

function readExit(dir: string): Exit | undefined {
  const match = /^(\d+) (\d+)\n/.exec(readText(path.join(dir, 'exit')) ?? '');
  if (match === null) return undefined;
  const error = readText(path.join(dir, 'error'))?.trim();
  const at = fs.statSync(path.join(dir, 'exit')).mtimeMs;
  return { code: Number(match[1]), at, setupError: error === undefined || error === '' ? undefined : error };
}

function openMountNamespace(ref: ProcessRef): number | undefined {
  try {
    const fd = fs.openSync(`/proc/${ref.pid}/ns/mnt`, 'r');
    if (isRunning(ref)) return fd;
    fs.closeSync(fd); // perhaps another process's
  } catch {
    // ended
  }
  return undefined;
}

export function mountNamespaceOf(pid: number): number | undefined {
  try {
    return fs.statSync(`/proc/${pid}/ns/mnt`).ino;
  } catch {
    return undefined; // ended
  }
}

export function processesInMountNamespace(inode: number): number[] {
  return inode <= 0 ? [] : allPids().filter((pid) => mountNamespaceOf(pid) === inode);
}
