/** A child process that is started again whenever it ends, until it is stopped. */
import fs from 'node:fs';
import path from 'node:path';
import { endProcess, type ProcessRef, processRef } from '../processes.ts';
import { Backoff } from './backoff.ts';

/** One earlier log is kept; the size is looked at when the process starts. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const RESTART = { baseMs: 500, maxMs: 15_000, resetAfterMs: 10_000 } as const;

export interface ProcessOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  readonly onChange: () => void;
}

export interface ProcessInfo {
  readonly name: string;
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly startedAt: string | undefined;
  readonly lastExit: string | undefined;
}

export class SupervisedProcess {
  readonly #options: ProcessOptions;
  readonly #backoff = new Backoff(RESTART);
  #ref: ProcessRef | undefined;
  #restarts = 0;
  #startedAt: number | undefined;
  #lastExit: string | undefined;
  #stopping = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  start(): void {
    const { command, env, logFile, name } = this.#options;
    rotate(logFile);
    const log = fs.openSync(logFile, 'a', 0o600);
    const startedAt = Date.now();
    try {
      const child = Bun.spawn([...command], {
        env,
        stdin: 'ignore',
        stdout: log,
        stderr: log,
        onExit: (_, code, signal) => this.#ended(startedAt, code, signal),
      });
      this.#ref = processRef(child.pid);
      this.#startedAt = startedAt;
    } catch (error) {
      fs.writeSync(log, `${name} could not be started: ${String(error)}\n`);
      queueMicrotask(() => this.#ended(startedAt, 127, null));
    } finally {
      fs.closeSync(log);
    }
    this.#options.onChange();
  }

  #ended(startedAt: number, code: number | null, signal: number | NodeJS.Signals | null): void {
    this.#ref = undefined;
    this.#lastExit = signal === null ? `exit code ${code}` : `signal ${signal}`;
    if (!this.#stopping) {
      this.#restarts++;
      this.#timer = setTimeout(() => this.start(), this.#backoff.next(Date.now() - startedAt));
    }
    this.#options.onChange();
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#ref !== undefined) await endProcess(this.#ref, limitMs);
  }

  info(): ProcessInfo {
    return {
      name: this.#options.name,
      pid: this.#ref?.pid,
      restarts: this.#restarts,
      startedAt: this.#startedAt === undefined ? undefined : new Date(this.#startedAt).toISOString(),
      lastExit: this.#lastExit,
    };
  }
}

function rotate(file: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  if ((fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) fs.renameSync(file, `${file}.1`);
}
