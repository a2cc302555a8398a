/** Brings one pod to what its spec says and keeps it there, until the pod ends or is deleted. */
import fs from 'node:fs';
import path from 'node:path';
import type { Container, Pod } from '../../platform/kubernetes/index.ts';
import { isConditionTrue } from '../conditions.ts';
import { messageOf } from '../error.ts';
import { isRunning, type ProcessRef, signalProcess } from '../processes.ts';
import { delayAfter } from '../supervisor/backoff.ts';
import { newRecord } from './container-record.ts';
import { ContainerRunner } from './container-runner.ts';
import { containerSetup, podHostname, writePodFiles } from './container-setup.ts';
import type { NodeContext } from './node-context.ts';
import { announcePod } from './plugin-event.ts';
import { type PodState, readPodState, writePodState } from './pod-state.ts';
import { isInitialized, podPhase, podStatus, restarts } from './pod-status.ts';
import { createSandbox, netnsPath } from './sandbox.ts';
import { StatusWriter } from './status-writer.ts';
import { MountError, PodVolumes } from './volumes.ts';

/** Volumes are looked at again this often even if nothing was heard. */
const RESYNC_MS = 30_000;
const RETRY = { baseMs: 250, maxMs: 10_000 } as const;
const DEFAULT_GRACE_S = 30;
/** A pod that vanished from the API without notice (force delete) gets this long. */
const FORCED_GRACE_MS = 2_000;

export class PodWorker {
  readonly uid: string;
  readonly podDir: string;
  readonly #context: NodeContext;
  readonly #volumes: PodVolumes;
  readonly #status: StatusWriter;
  readonly #logDir: string;
  readonly init: ContainerRunner[];
  readonly containers: ContainerRunner[];
  readonly finished: Promise<void>;
  #pod: Pod;
  #podIP: string | undefined;
  #sandbox: ProcessRef | undefined;
  #announced: boolean;
  readonly #startTime: number;
  #failures = 0;
  #notBefore = 0;
  /** When the grace period ends; undefined while the pod lives. */
  #graceEnd: number | undefined;
  #vanished = false;
  #ending: Promise<void> | undefined;
  #closed = false;
  #wake = Promise.withResolvers<void>();

  constructor(context: NodeContext, pod: Pod, adopted?: PodState) {
    this.#context = context;
    this.uid = pod.metadata?.uid ?? '';
    this.#pod = pod;
    this.podDir = path.join(context.runDir, 'pods', this.uid);
    const { namespace = 'default', name = '' } = pod.metadata ?? {};
    this.#logDir = path.join(context.podsDir, 'logs', `${namespace}_${name}_${this.uid}`);
    const scratch = path.join(context.podsDir, 'scratch', this.uid);
    this.#volumes = new PodVolumes({ volumes: path.join(this.podDir, 'volumes'), scratch, host: context.hostDir }, context.sources);
    this.#status = new StatusWriter(context, this.uid);
    this.#podIP = adopted?.podIP;
    this.#sandbox = adopted?.sandbox;
    this.#announced = adopted?.announced ?? false;
    this.#startTime = adopted?.startTime ?? Date.now();
    const hooks = { pod: () => this.#pod, podIP: () => this.#podIP ?? '', changed: () => this.kick() };
    const runner = (spec: Container, records: PodState['init'] | undefined) =>
      new ContainerRunner(
        context,
        this.podDir,
        this.#logDir,
        spec,
        records?.find(({ name }) => name === spec.name) ?? newRecord(spec.name, pod),
        hooks,
      );
    this.init = (pod.spec?.initContainers ?? []).map((spec) => runner(spec, adopted?.init));
    this.containers = (pod.spec?.containers ?? []).map((spec) => runner(spec, adopted?.containers));
    if (adopted !== undefined) for (const each of this.#runners()) each.adopt();
    if (adopted === undefined) this.#report();
    this.finished = this.#run();
  }

  /** The pod a state directory speaks of, taken over. */
  static adopt(context: NodeContext, podDir: string): PodWorker | undefined {
    const state = readPodState(podDir);
    return state === undefined ? undefined : new PodWorker(context, state.pod, state);
  }

  get pod(): Pod {
    return this.#pod;
  }
  get sandbox(): ProcessRef | undefined {
    return this.#sandbox;
  }
  runner(name: string): ContainerRunner | undefined {
    return this.#runners().find(({ spec }) => spec.name === name);
  }

  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata?.deletionTimestamp !== undefined) this.#beginEnd((pod.metadata.deletionGracePeriodSeconds ?? DEFAULT_GRACE_S) * 1000);
    this.kick();
  }

  /** The API no longer has the pod. */
  vanish(): void {
    this.#vanished = true;
    this.#beginEnd(FORCED_GRACE_MS);
    this.kick();
  }

  /** Something the pod may be waiting for has changed. */
  kick(retryNow = false): void {
    if (retryNow) this.#notBefore = 0;
    this.#wake.resolve();
  }

  /** Stops looking after the pod; its processes go on. */
  async abandon(): Promise<void> {
    this.#closed = true;
    for (const each of this.#runners()) each.abandon();
    this.kick();
    await this.finished;
    this.#save();
  }

  #runners(): ContainerRunner[] {
    return [...this.init, ...this.containers];
  }

  #beginEnd(graceMs: number): void {
    const end = Date.now() + graceMs;
    if (this.#graceEnd !== undefined && end >= this.#graceEnd) return;
    this.#graceEnd = end;
    if (this.#ending !== undefined) for (const each of this.#runners()) void each.process?.stop(graceMs); // a shorter period than before
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      this.#wake = Promise.withResolvers<void>();
      let wait = RESYNC_MS;
      try {
        if (this.#graceEnd !== undefined) {
          this.#ending ??= this.#end(this.#graceEnd - Date.now()).catch((error: unknown) => {
            this.#ending = undefined; // tried again after the back-off
            throw error;
          });
          await Promise.race([this.#ending, this.#wake.promise]);
          if (this.#closed) return;
        } else {
          await this.#reconcile(Date.now());
          wait = this.#nextDeadline() - Date.now();
        }
      } catch (error) {
        this.#failed(error);
        wait = this.#notBefore - Date.now();
      }
      this.#save();
      this.#report();
      if (this.#graceEnd !== undefined && this.#ending === undefined) continue;
      await this.#sleep(Math.max(0, Math.min(RESYNC_MS, wait)));
    }
  }

  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([promise, this.#wake.promise]);
    clearTimeout(timer);
  }

  async #reconcile(now: number): Promise<void> {
    const phase = this.#phase();
    if (phase === 'Succeeded' || phase === 'Failed') {
      await this.#stopSidecars();
      if (this.#sandbox !== undefined) signalProcess(this.#sandbox, 'SIGKILL'); // nothing will run in it again
      return;
    }
    if (now < this.#notBefore) return;
    const sandbox = await this.#ensureSandbox();
    const facts = { podIP: this.#podIP, hostIP: this.#context.nodeIP, nodeName: this.#context.nodeName };
    const volumes = await this.#volumes.prepare(this.#pod, facts);
    this.#failures = 0;
    const setUp = (runner: ContainerRunner) => () => containerSetup(this.#context, this.#pod, runner.spec, facts, volumes, this.podDir);
    const starts: Promise<void>[] = [];
    const consider = (runner: ContainerRunner, policy: string): void => {
      if (runner.busy || runner.isRunning) return;
      const { record } = runner;
      if (record.phase === 'terminated') {
        if (!restarts(policy, record.terminated?.exitCode ?? 0)) return;
        runner.planRestart(Date.now());
      }
      if (Date.now() >= record.nextStartAt) starts.push(runner.start(sandbox, setUp(runner)));
    };
    const policy = this.#pod.spec?.restartPolicy ?? 'Always';
    const records = this.init.map(({ record }) => record);
    for (const runner of this.init) {
      const sidecar = runner.spec.restartPolicy === 'Always';
      const done = sidecar ? runner.isRunning && runner.record.started : runner.record.terminated?.exitCode === 0;
      if (!done) consider(runner, sidecar ? 'Always' : policy === 'Never' ? 'Never' : 'OnFailure');
      else continue;
      break;
    }
    if (isInitialized(this.#pod, records)) for (const runner of this.containers) consider(runner, policy);
    await Promise.all(starts);
  }

  async #stopSidecars(): Promise<void> {
    await Promise.all(this.init.filter((runner) => runner.isRunning && !runner.busy).map((runner) => runner.stop(DEFAULT_GRACE_S * 1000)));
  }

  async #ensureSandbox(): Promise<ProcessRef> {
    const { events, log } = this.#context;
    const hostNetwork = this.#pod.spec?.hostNetwork === true;
    if (this.#sandbox !== undefined && !isRunning(this.#sandbox)) {
      events.pod(this.#pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
      await Promise.all(this.#runners().map((runner) => runner.process?.stop(0)));
      this.#sandbox = undefined;
      this.#announced = false;
    }
    if (this.#sandbox === undefined) {
      const address = hostNetwork ? this.#context.nodeIP : this.#context.addresses.allocate(this.uid);
      if (address === undefined) throw new SandboxError('no free pod address on this node');
      const network = hostNetwork ? undefined : { address, gateway: this.#context.gateway };
      try {
        this.#sandbox = await createSandbox({ uid: this.uid, hostname: podHostname(this.#pod), network, env: this.#context.env });
      } catch (error) {
        throw new SandboxError(messageOf(error), { cause: error });
      }
      this.#podIP = address;
      writePodFiles(this.#pod, this.podDir, address);
      this.#save();
      log.info('pod sandbox created', { pod: `${this.#pod.metadata?.namespace}/${this.#pod.metadata?.name}`, ip: address });
    }
    if (!this.#announced) {
      const refusal = hostNetwork
        ? undefined
        : await announcePod(this.#context.hostDir, this.#pod, netnsPath(this.#sandbox), [this.#podIP ?? '']);
      if (refusal !== undefined) throw new SandboxError(refusal);
      this.#announced = true;
      this.#save();
    }
    return this.#sandbox;
  }

  #failed(error: unknown): void {
    const { events, log } = this.#context;
    this.#notBefore = Date.now() + Math.max(RETRY.baseMs, delayAfter(this.#failures++, RETRY));
    const message = messageOf(error);
    if (error instanceof MountError) events.pod(this.#pod, 'Warning', 'FailedMount', `MountVolume.SetUp failed: ${message}`);
    else if (error instanceof SandboxError)
      events.pod(this.#pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
    else log.error('pod could not be brought up', { pod: this.#pod.metadata?.name ?? '', error: message });
  }

  async #end(graceMs: number): Promise<void> {
    const { events, client, addresses } = this.#context;
    for (const runner of this.containers) {
      if (runner.isRunning) events.pod(this.#pod, 'Normal', 'Killing', `Stopping container ${runner.spec.name}`, runner.spec.name);
    }
    await Promise.all(this.containers.map((runner) => runner.stop(graceMs)));
    await Promise.all(this.init.map((runner) => runner.stop(Math.min(graceMs, FORCED_GRACE_MS))));
    if (this.#sandbox !== undefined) signalProcess(this.#sandbox, 'SIGKILL');
    this.#volumes.remove();
    addresses.release(this.uid);
    if (!this.#vanished) {
      await this.#status.write(this.#pod, this.#currentStatus(), true);
      await this.#status.deletePod(client, this.#pod, () => this.#vanished);
    }
    fs.rmSync(this.podDir, { recursive: true, force: true });
    fs.rmSync(this.#logDir, { recursive: true, force: true });
    this.#closed = true;
    this.kick();
  }

  #nextDeadline(): number {
    const waits = this.#runners().filter(({ record, busy }) => record.phase === 'waiting' && !busy && record.nextStartAt > 0);
    const soonest = Math.min(Number.POSITIVE_INFINITY, ...waits.map(({ record }) => record.nextStartAt), this.#volumes.nextRefresh());
    return Math.max(this.#notBefore, Math.min(soonest, Date.now() + RESYNC_MS));
  }

  #facts() {
    return {
      podIP: this.#podIP,
      hostIP: this.#context.nodeIP,
      startTime: this.#startTime,
      sandboxReady: this.#sandbox !== undefined && this.#announced,
      init: this.init.map(({ record }) => record),
      containers: this.containers.map(({ record }) => record),
    };
  }

  #phase() {
    return podPhase(this.#pod, this.#facts());
  }
  #currentStatus() {
    return podStatus(this.#pod, this.#facts(), Date.now());
  }

  #report(): void {
    if (!this.#closed && !this.#vanished) void this.#status.write(this.#pod, this.#currentStatus(), this.#isMisread());
  }

  /** Somebody else (the node controller, after an outage) changed what the API says about readiness. */
  #isMisread(): boolean {
    const said = isConditionTrue(this.#pod.status?.conditions, 'Ready');
    return this.#status.isSettled && said !== isConditionTrue(this.#currentStatus().conditions, 'Ready');
  }

  #save(): void {
    if (this.#closed && this.#graceEnd !== undefined) return;
    const { init, containers, podIP, sandboxReady: _, hostIP: __, ...rest } = this.#facts();
    writePodState(this.podDir, { ...rest, pod: this.#pod, podIP, sandbox: this.#sandbox, announced: this.#announced, init, containers });
  }
}

class SandboxError extends Error {
  override readonly name = 'SandboxError';
}
