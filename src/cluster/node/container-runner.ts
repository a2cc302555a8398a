/** One container of a pod: its current run, its probes, and what they make of its record. */
import path from 'node:path';
import type { Container, LifecycleHandler, Pod } from '../../platform/kubernetes/index.ts';
import { timestamp } from '../conditions.ts';
import { messageOf } from '../error.ts';
import { isRunning, type ProcessRef } from '../processes.ts';
import { delayAfter } from '../supervisor/backoff.ts';
import { ContainerProcess, type Exit } from './container-process.ts';
import { type ContainerRecord, containerId, terminatedState } from './container-record.ts';
import { type ContainerSetup, ImageError, StartError } from './container-setup.ts';
import { ConfigError } from './environment.ts';
import { runInContainer } from './exec-command.ts';
import type { NodeContext } from './node-context.ts';
import { httpProbe } from './probe-request.ts';
import { Prober } from './prober.ts';

/** The first restart is at once; a run of a minute forgives what was before. */
export const RESTART_BACKOFF = { baseMs: 1_000, maxMs: 60_000, resetAfterMs: 60_000 } as const;
const SETUP_BACKOFF = { baseMs: 1_000, maxMs: 30_000 } as const;
const DEFAULT_GRACE_S = 30;

export interface RunnerHooks {
  pod(): Pod;
  podIP(): string;
  changed(): void;
}

export class ContainerRunner {
  readonly spec: Container;
  readonly record: ContainerRecord;
  readonly #context: NodeContext;
  readonly #podDir: string;
  readonly #logDir: string;
  readonly #hooks: RunnerHooks;
  #process: ContainerProcess | undefined;
  #prober: Prober | undefined;
  #setupFailures = 0;
  /** A start or a stop is under way: the worker leaves the container alone. */
  busy = false;

  constructor(context: NodeContext, podDir: string, logDir: string, spec: Container, record: ContainerRecord, hooks: RunnerHooks) {
    this.#context = context;
    this.#podDir = podDir;
    this.#logDir = logDir;
    this.spec = spec;
    this.record = record;
    this.#hooks = hooks;
  }

  get process(): ContainerProcess | undefined {
    return this.#process;
  }
  get isRunning(): boolean {
    return this.record.phase === 'running';
  }
  logFile(attempt = this.record.attempt): string {
    return path.join(this.#logDir, this.spec.name, `${attempt}.log`);
  }

  /** After a restart of the node runtime: takes over the run the record speaks of. */
  adopt(): void {
    const { record } = this;
    if (record.phase === 'terminated' || record.attempt < 0) return;
    const found = ContainerProcess.adopt(this.#runDir());
    if (found === undefined) {
      if (record.phase === 'running') this.#ended({ code: 137, at: Date.now(), setupError: undefined });
      return;
    }
    if (record.phase === 'waiting' && !found.isRunning) return; // the run before this waiting
    this.#running(found, record.startedAt ?? Date.now(), record.started);
  }

  /** Starts the next run. `setUp` may throw: the record then says why the container waits. */
  async start(sandbox: ProcessRef, setUp: () => ContainerSetup): Promise<void> {
    const { record, spec } = this;
    const { events } = this.#context;
    const pod = this.#hooks.pod();
    this.busy = true;
    try {
      const setup = setUp();
      record.attempt++;
      if (record.attempt > 0) record.restarts++;
      this.#setupFailures = 0;
      const startedAt = Date.now();
      const result = await ContainerProcess.start({ ...setup, dir: this.#runDir(), sandbox, logFile: this.logFile() });
      if (result instanceof ContainerProcess) {
        events.pod(pod, 'Normal', 'Started', `Started container ${spec.name}`, spec.name);
        this.#running(result, startedAt, false);
        if (spec.lifecycle?.postStart) void this.#hook(spec.lifecycle.postStart, 'FailedPostStartHook');
      } else {
        record.startedAt = startedAt;
        if (result.setupError !== undefined) events.pod(pod, 'Warning', 'Failed', `Error: ${result.setupError}`, spec.name);
        this.#ended(result);
      }
    } catch (error) {
      this.#notStarted(error, pod);
    } finally {
      this.busy = false;
      this.#hooks.changed();
    }
  }

  /** Decides about the next run after one has ended: sets when it may start. */
  planRestart(now: number): void {
    const { record } = this;
    const ran = now - (record.startedAt ?? now);
    if (ran >= RESTART_BACKOFF.resetAfterMs) record.failures = 0;
    const delay = delayAfter(record.failures++, RESTART_BACKOFF);
    record.last = record.terminated;
    record.terminated = undefined;
    record.phase = 'waiting';
    record.nextStartAt = now + delay;
    const { name = '', namespace = '' } = this.#hooks.pod().metadata ?? {};
    record.waiting = {
      reason: 'CrashLoopBackOff',
      message: `back-off ${delay / 1000}s restarting failed container=${this.spec.name} pod=${name}_${namespace}`,
    };
    if (delay > 0)
      this.#context.events.pod(
        this.#hooks.pod(),
        'Warning',
        'BackOff',
        `Back-off restarting failed container ${this.spec.name} in pod ${name}_${namespace}`,
        this.spec.name,
      );
  }

  /** preStop, SIGTERM, the rest of the grace period, SIGKILL. */
  async stop(graceMs: number): Promise<void> {
    const run = this.#process;
    this.busy = true;
    try {
      const deadline = Date.now() + graceMs;
      if (run !== undefined && this.isRunning && graceMs > 0 && this.spec.lifecycle?.preStop) {
        await Promise.race([this.#hook(this.spec.lifecycle.preStop, 'FailedPreStopHook'), Bun.sleep(graceMs)]);
      }
      if (run !== undefined) await run.stop(Math.max(0, deadline - Date.now()));
      const exit = run === undefined ? undefined : await run.exited;
      if (exit !== undefined && this.isRunning) this.#ended(exit);
    } finally {
      this.#prober?.stop();
      this.busy = false;
      this.#hooks.changed();
    }
  }

  /** Leaves the program running and stops looking after it (the node runtime ends). */
  abandon(): void {
    this.#prober?.stop();
  }

  #runDir(): string {
    return path.join(this.#podDir, 'containers', this.spec.name, String(this.record.attempt));
  }

  #running(run: ContainerProcess, startedAt: number, alreadyStarted: boolean): void {
    const { record } = this;
    this.#process = run;
    record.phase = 'running';
    record.startedAt = startedAt;
    record.started = alreadyStarted;
    if (!alreadyStarted) record.ready = false;
    const attempt = record.attempt;
    void run.exited.then(async (exit) => {
      if (record.attempt !== attempt || record.phase !== 'running') return;
      await run.killAll(); // whatever the program left behind
      if (record.attempt === attempt && this.isRunning) this.#ended(exit);
      this.#hooks.changed();
    });
    this.#probe(run, startedAt, alreadyStarted);
    this.#hooks.changed();
  }

  #probe(run: ContainerProcess, startedAt: number, alreadyStarted: boolean): void {
    const { record, spec } = this;
    const { events } = this.#context;
    this.#prober?.stop();
    const prober = new Prober(
      spec,
      { podIP: this.#hooks.podIP(), container: spec, exec: (command, timeoutMs) => runInContainer(run.ref, command, timeoutMs) },
      {
        started: () => this.#set(() => (record.started = true)),
        ready: (isReady) => this.#set(() => (record.ready = isReady)),
        failed: (kind, message) =>
          events.pod(
            this.#hooks.pod(),
            'Warning',
            'Unhealthy',
            `${kind[0]!.toUpperCase()}${kind.slice(1)} probe failed: ${message}`,
            spec.name,
          ),
        unhealthy: (kind, message) => void this.#restartUnhealthy(run, kind, message),
      },
      startedAt,
    );
    this.#prober = prober;
    prober.start(alreadyStarted);
  }

  async #restartUnhealthy(run: ContainerProcess, kind: string, _message: string): Promise<void> {
    if (this.busy || !isRunning(run.ref)) return;
    const pod = this.#hooks.pod();
    this.#context.events.pod(
      pod,
      'Normal',
      'Killing',
      `Container ${this.spec.name} failed ${kind} probe, will be restarted`,
      this.spec.name,
    );
    const probe = kind === 'liveness' ? this.spec.livenessProbe : this.spec.startupProbe;
    await this.stop((probe?.terminationGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_S) * 1000);
  }

  #set(change: () => void): void {
    const { started, ready } = this.record;
    change();
    if (started !== this.record.started || ready !== this.record.ready) this.#hooks.changed();
  }

  #ended(exit: Exit): void {
    const { record } = this;
    this.#prober?.stop();
    record.phase = 'terminated';
    record.ready = false;
    record.started = false;
    record.terminated = terminatedState(
      exit.code,
      exit.at,
      record.startedAt,
      containerId(this.#hooks.pod().metadata?.uid ?? '', this.spec.name, record.attempt),
      exit.setupError,
    );
    this.#context.log.info('container ended', {
      pod: this.#hooks.pod().metadata?.name ?? '',
      container: this.spec.name,
      exitCode: exit.code,
    });
  }

  #notStarted(error: unknown, pod: Pod): void {
    const { record, spec } = this;
    const { events } = this.#context;
    const message = messageOf(error);
    const now = Date.now();
    if (error instanceof StartError) {
      events.pod(pod, 'Warning', 'Failed', `Error: ${message}`, spec.name);
      record.attempt++;
      if (record.attempt > 0) record.restarts++;
      record.startedAt = now;
      record.phase = 'terminated';
      record.terminated = { exitCode: 128, reason: 'StartError', message, startedAt: timestamp(now), finishedAt: timestamp(now) };
      return;
    }
    const reason =
      error instanceof ImageError
        ? this.#setupFailures > 0
          ? 'ImagePullBackOff'
          : 'ErrImagePull'
        : error instanceof ConfigError
          ? 'CreateContainerConfigError'
          : 'CreateContainerError';
    events.pod(
      pod,
      'Warning',
      'Failed',
      error instanceof ImageError ? `Failed to pull image "${spec.image}": ${message}` : `Error: ${message}`,
      spec.name,
    );
    record.phase = 'waiting';
    record.waiting = { reason, message };
    record.nextStartAt = now + Math.max(SETUP_BACKOFF.baseMs, delayAfter(this.#setupFailures++, SETUP_BACKOFF));
  }

  async #hook(handler: LifecycleHandler, failure: string): Promise<void> {
    const run = this.#process;
    if (run === undefined) return;
    let problem: string | undefined;
    try {
      if (handler.sleep) await Bun.sleep(handler.sleep.seconds * 1000);
      else if (handler.exec) {
        const { code, output } = await runInContainer(run.ref, handler.exec.command ?? [], 3_600_000);
        if (code !== 0) problem = `exit code ${code}: ${output.slice(0, 256)}`;
      } else if (handler.httpGet) problem = await httpProbe(handler.httpGet, { podIP: this.#hooks.podIP(), container: this.spec }, 30_000);
    } catch (error) {
      problem = messageOf(error);
    }
    if (problem !== undefined) this.#context.events.pod(this.#hooks.pod(), 'Warning', failure, problem, this.spec.name);
  }
}
