/** The workers of a node proxy: keeps so many of them running, gives each what it needs in order, and speaks to all as to one. */
import { addSnapshot, type Counter, type Gauge, type Logger, Registry, takeSnapshot } from '../../../platform/telemetry/index.ts';
import { Backoff } from '../../core/backoff.ts';
import type { PodConnections } from '../config-dump.ts';
import type { AnnouncedPod, PodServer } from '../pod-manager.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { WorkerProcess } from './worker-process.ts';

const FIRST_RESTART_MS = 100;
const MAX_RESTART_MS = 15_000;
/** A worker that served for so long was well: its successor starts at once. */
const PROVEN_MS = 60_000;
/** What a drain may take beyond its own deadline before workers are ended. */
const DRAIN_MARGIN_MS = 2000;
/** Label sets per metric, for all processes together. */
const MAX_SERIES_PER_PROCESS = 10_000;

export interface WorkerGroupOptions {
  readonly size: number;
  readonly log: Logger;
  readonly telemetry: Registry;
  /** What a new worker is told before anything else. */
  readonly introduction: () => Iterable<ToWorker>;
  /** What it wants of certificates. */
  readonly onCertificate: (worker: WorkerProcess, message: Extract<FromWorker, { kind: 'want' | 'unwant' }>) => void;
  readonly onEnded: (worker: WorkerProcess) => void;
  /** After each change of how many serve. */
  readonly onServing: (serving: number) => void;
}

export class WorkerGroup {
  readonly #options: WorkerGroupOptions;
  /** Those that run, by number. */
  readonly #workers = new Map<number, WorkerProcess>();
  /** Those that know the mesh as it is; updates go to them. */
  readonly #introduced = new Set<WorkerProcess>();
  readonly #drained = new Map<WorkerProcess, () => void>();
  readonly #pods = new Map<string, AnnouncedPod>();
  readonly #restartTimers = new Set<ReturnType<typeof setTimeout>>();
  /** Counts of workers that have ended. */
  readonly #ended: Registry;
  readonly #restarts: Counter;
  readonly #serving: Gauge;
  #mayServe = false;
  #stopping = false;

  constructor(options: WorkerGroupOptions) {
    this.#options = options;
    const { telemetry } = options;
    this.#restarts = telemetry.counter('lateen_worker_restarts', 'Worker processes that ended and were replaced (unstable)');
    this.#restarts.inc(0);
    this.#serving = telemetry.gauge('lateen_workers_serving', 'Worker processes that serve all pods (unstable)');
    this.#serving.set(0);
    this.#ended = new Registry({ maxSeriesPerFamily: MAX_SERIES_PER_PROCESS });
  }

  start(): void {
    for (let index = 1; index <= this.#options.size; index++) this.#spawn(index, new Backoff(FIRST_RESTART_MS, MAX_RESTART_MS));
  }

  get serving(): number {
    let count = 0;
    for (const worker of this.#workers.values()) if (worker.isServing) count++;
    return count;
  }

  /** To all that know the mesh; one that starts is told everything anyway. */
  broadcast(message: ToWorker): void {
    for (const worker of this.#introduced) worker.send(message);
  }

  /** Resolves when what was broadcast is in force in all workers. */
  async applied(): Promise<void> {
    await Promise.all([...this.#introduced].map((worker) => worker.applied()));
  }

  /** The mesh is known: workers may serve pods. */
  serve(): void {
    this.#mayServe = true;
    for (const worker of this.#introduced) worker.serve();
  }

  /** Lets all workers serve a pod. Rejects with the reason of the first that cannot, and then none does. */
  async open(pod: AnnouncedPod): Promise<PodServer> {
    this.#pods.set(pod.uid, pod);
    const { uid, info, namespace: netns } = pod;
    const request = { kind: 'add', workload: { uid, ...info }, netns } as const;
    // One that is still at its snapshot takes the pod after that; nobody waits for it.
    const answers = [...this.#workers.values()]
      .filter((worker) => worker.takesPods)
      .map((worker) => ({ worker, counts: worker.isServing, answer: worker.request(request) }));
    let serving = 0;
    let refusal: string | undefined;
    for (const { worker, counts, answer } of answers) {
      if (!counts) continue;
      const error = await answer;
      if (error === undefined) serving++;
      // One that has ended meanwhile is replaced, and its successor gets the pod.
      else if (worker.takesPods) refusal ??= `worker ${worker.index}: ${error}`;
    }
    if (refusal === undefined && serving > 0) return { close: () => this.#close(uid) };
    await this.#close(uid);
    throw new Error(refusal ?? 'no worker process is ready to serve it');
  }

  async #close(uid: string): Promise<void> {
    this.#pods.delete(uid);
    // All of them: one that is still at its snapshot may have to use the namespace's descriptor.
    await Promise.all(
      [...this.#workers.values()].filter((worker) => worker.takesPods).map((worker) => worker.request({ kind: 'del', uid })),
    );
  }

  /** One registry for the whole node: `own`, all workers, and those that have ended. */
  async gather(own: Registry): Promise<Registry> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.ask('metrics')));
    const sum = new Registry({ maxSeriesPerFamily: MAX_SERIES_PER_PROCESS * (this.#options.size + 1) });
    addSnapshot(sum, takeSnapshot(own));
    addSnapshot(sum, takeSnapshot(this.#ended));
    for (const { metrics } of this.#workers.values()) if (metrics !== undefined) addSnapshot(sum, metrics);
    return sum;
  }

  /** Open connections of all workers, by pod. */
  async connections(): Promise<Map<string, PodConnections>> {
    const sum = new Map<string, PodConnections>();
    for (const answer of await Promise.all([...this.#workers.values()].map((worker) => worker.ask('connections')))) {
      if (answer?.about !== 'connections') continue;
      for (const [uid, { inbound, outbound }] of Object.entries(answer.connections)) {
        const known = sum.get(uid);
        sum.set(uid, { inbound: [...(known?.inbound ?? []), ...inbound], outbound: [...(known?.outbound ?? []), ...outbound] });
      }
    }
    return sum;
  }

  /** Workers take no new connections, finish open ones until the deadline of the drain, and end. */
  async drain(deadline: number): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#restartTimers) clearTimeout(timer);
    const workers = [...this.#workers.values()];
    const timer = setTimeout(() => {
      for (const worker of workers) worker.kill('not drained at the deadline');
    }, deadline + DRAIN_MARGIN_MS);
    await Promise.all(
      workers.map(async (worker) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#drained.set(worker, resolve);
        worker.send({ kind: 'drain' });
        await promise;
        worker.send({ kind: 'exit' });
      }),
    );
    clearTimeout(timer);
  }

  /** Ends everything now. */
  close(): void {
    this.#stopping = true;
    for (const timer of this.#restartTimers) clearTimeout(timer);
    for (const worker of this.#workers.values()) worker.kill('the proxy ends');
  }

  #spawn(index: number, backoff: Backoff): void {
    const { log } = this.#options;
    const started = performance.now();
    const failed = (reason: string): void => {
      if (this.#stopping) return;
      if (performance.now() - started > PROVEN_MS) backoff.reset();
      this.#restarts.inc();
      const delay = backoff.next();
      log.warn('a worker ended and is replaced', { worker: index, reason, restart_ms: delay });
      const timer = setTimeout(() => {
        this.#restartTimers.delete(timer);
        this.#spawn(index, backoff);
      }, delay);
      this.#restartTimers.add(timer);
    };
    let worker: WorkerProcess;
    try {
      worker = new WorkerProcess(index, {
        onMessage: (message) => this.#received(worker, message),
        onPods: () => void this.#snapshot(worker),
        onEnd: (reason) => {
          this.#left(worker);
          failed(reason);
        },
      });
    } catch (error) {
      failed((error as Error).message);
      return;
    }
    this.#workers.set(index, worker);
    log.info('worker started', { worker: index, pid: worker.pid });
  }

  #received(worker: WorkerProcess, message: Exclude<FromWorker, { kind: 'answer' | 'applied' }>): void {
    switch (message.kind) {
      case 'hello':
        for (const part of this.#options.introduction()) worker.send(part);
        this.#introduced.add(worker);
        if (this.#mayServe) worker.serve();
        return;
      case 'drained':
        this.#drained.get(worker)?.();
        return;
      default:
        this.#options.onCertificate(worker, message);
    }
  }

  /** All pods at once: a change that comes now waits behind the end of the snapshot. */
  async #snapshot(worker: WorkerProcess): Promise<void> {
    const { log } = this.#options;
    for (const { uid, info, namespace: netns } of this.#pods.values())
      void worker.request({ kind: 'add', workload: { uid, ...info }, netns }).then((error) => {
        if (error !== undefined && worker.takesPods) log.warn('a worker cannot serve a pod yet', { worker: worker.index, uid, error });
      });
    if ((await worker.request({ kind: 'snapshotSent' })) !== undefined) return;
    worker.isServing = true;
    log.info('worker serves', { worker: worker.index, pods: this.#pods.size });
    this.#count();
  }

  #left(worker: WorkerProcess): void {
    if (this.#workers.get(worker.index) === worker) this.#workers.delete(worker.index);
    this.#introduced.delete(worker);
    if (worker.metrics !== undefined) addSnapshot(this.#ended, worker.metrics, false);
    this.#drained.get(worker)?.();
    this.#options.onEnded(worker);
    this.#count();
  }

  #count(): void {
    const { serving } = this;
    this.#serving.set(serving);
    this.#options.onServing(serving);
  }
}
