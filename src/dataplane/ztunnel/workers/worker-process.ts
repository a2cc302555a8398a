/** One worker, as the supervising process sees it: the child, its two sockets, what it was asked, and whether it still answers. */
import type { Subprocess } from 'bun';
import { closeDescriptor, type SeqpacketConnection, seqpacketPair, type ZdsAnswer, ZdsPeer } from '../../../platform/linux/index.ts';
import type { MetricsSnapshot } from '../../../platform/telemetry/index.ts';
import type { ZdsRequest } from '../../../protocol/index.ts';
import { type Answer, type FromWorker, type Question, type ToWorker, WORKER_VARIABLE } from './messages.ts';

/** A worker that says nothing at all for so long is stuck, and ended. Far above any pause of a busy process on a busy machine. */
export const MAX_SILENCE_MS = 30_000;
const PING_EVERY_MS = 5000;
/** How long one that has closed the connection for pods may take to end. */
const ENDING_MS = 1000;
/** How long a question may take; who asks then goes on with what he knows. */
export const ANSWER_LIMIT_MS = 2000;
/** Octets of resources on their way to a worker; past it the worker cannot keep up with the mesh, and is ended. */
export const MAX_UNAPPLIED_BYTES = 256 * 1024 * 1024;
/** What a worker gets of the environment: the runtime's settings. Tokens stay with the supervising process. */
const INHERITED = /^(PATH|TZ|BUN_.*|LATEEN_.*)$/;

export interface WorkerEvents {
  /** Anything but answers. */
  onMessage(message: Exclude<FromWorker, { kind: 'answer' | 'applied' }>): void;
  /** It takes pods. */
  onPods(): void;
  /** Once, with the reason. */
  onEnd(reason: string): void;
}

export class WorkerProcess {
  readonly index: number;
  /** Has everything and serves all pods. */
  isServing = false;
  /** As last heard. */
  metrics: MetricsSnapshot | undefined;
  readonly #child: Subprocess<'ignore', 'inherit', 'inherit'>;
  readonly #events: WorkerEvents;
  readonly #connection: SeqpacketConnection;
  #pods: ZdsPeer | undefined;
  readonly #asked = new Map<number, (answer: Answer | undefined) => void>();
  readonly #watchdog: ReturnType<typeof setInterval>;
  /** Sizes of updates that are not applied yet, and who waits for that. */
  readonly #unapplied: { readonly bytes: number; readonly done: (() => void)[] }[] = [];
  #unappliedBytes = 0;
  #nextId = 1;
  #heard = performance.now();
  #ended = false;
  #draining = false;
  #lastMoments: ReturnType<typeof setTimeout> | undefined;
  #reason: string | undefined;

  /** Starts the process. Throws when it cannot be started. */
  constructor(index: number, events: WorkerEvents) {
    this.index = index;
    this.#events = events;
    const { connection, other } = seqpacketPair();
    this.#connection = connection;
    try {
      this.#child = Bun.spawn([process.execPath, Bun.main, ...process.argv.slice(2)], {
        stdio: ['ignore', 'inherit', 'inherit', other],
        env: { ...inheritedEnvironment(), [WORKER_VARIABLE]: String(index) },
        serialization: 'advanced',
        ipc: (message: FromWorker) => this.#received(message),
        onExit: (_, code, signal) => this.#exited(this.#reason ?? (signal === null ? `exit code ${code}` : `signal ${signal}`)),
      });
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      closeDescriptor(other);
    }
    this.#watchdog = setInterval(() => this.#watch(), PING_EVERY_MS);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Messages to one that has ended are lost, as it is. */
  send(message: ToWorker): void {
    if (this.#ended) return;
    if (message.kind === 'drain') this.#draining = true;
    if (message.kind === 'update') {
      const bytes = message.resources.reduce((sum, { value }) => sum + value.length, 0);
      this.#unapplied.push({ bytes, done: [] });
      this.#unappliedBytes += bytes;
      if (this.#unappliedBytes > MAX_UNAPPLIED_BYTES) {
        this.kill(`more than ${MAX_UNAPPLIED_BYTES} octets of resources wait for it`);
        return;
      }
    }
    this.#child.send(message);
  }

  /** Resolves when everything sent so far is in force there, or there is no worker any more. */
  applied(): Promise<void> {
    const last = this.#unapplied.at(-1);
    return last === undefined ? Promise.resolve() : new Promise((resolve) => last.done.push(resolve));
  }

  /** Undefined when there is no answer in time. */
  ask(about: Question, limit = ANSWER_LIMIT_MS): Promise<Answer | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const finish = (answer: Answer | undefined): void => {
      clearTimeout(timer);
      this.#asked.delete(id);
      resolve(answer);
    };
    const timer = setTimeout(() => finish(undefined), limit);
    this.#asked.set(id, finish);
    this.send({ kind: 'ask', id, about });
    return promise;
  }

  /** Lets it ask for pods: the mesh is known. */
  serve(): void {
    if (this.#ended || this.#pods !== undefined) return;
    this.send({ kind: 'serve' });
    this.#pods = new ZdsPeer(this.#connection, {
      onHello: () => this.#events.onPods(),
      // One that drains takes no more announcements; any other must, or its pods would be yesterday's. One that is ending says itself why.
      onClosed: (reason) => {
        if (!this.#draining) this.#lastMoments = setTimeout(() => this.kill(`pods: ${reason}`), ENDING_MS);
      },
    });
    void this.#pods.run();
  }

  /** Whether it takes pods. */
  get takesPods(): boolean {
    return this.#pods?.isOpen ?? false;
  }

  /** A request of ZDS. */
  request(request: ZdsRequest): Promise<ZdsAnswer> {
    return this.#pods?.request(request) ?? Promise.resolve('the worker takes no pods yet');
  }

  /** Ends it now; `onEnd` follows. */
  kill(reason: string): void {
    if (this.#ended) return;
    this.#reason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #received(message: FromWorker): void {
    this.#heard = performance.now();
    if (message.kind === 'applied') this.#wasApplied();
    else if (message.kind === 'answer') {
      if (message.value.about === 'metrics') this.metrics = message.value.metrics;
      this.#asked.get(message.id)?.(message.value);
    } else {
      if (message.kind === 'drained') this.metrics = message.metrics;
      this.#events.onMessage(message);
    }
  }

  #wasApplied(): void {
    const update = this.#unapplied.shift();
    if (update === undefined) return;
    this.#unappliedBytes -= update.bytes;
    for (const done of update.done) done();
  }

  #watch(): void {
    if (performance.now() - this.#heard > MAX_SILENCE_MS) this.kill(`no sign of life for ${MAX_SILENCE_MS / 1000} s`);
    else void this.ask('ping', MAX_SILENCE_MS);
  }

  #exited(reason: string): void {
    this.#ended = true;
    this.isServing = false;
    clearInterval(this.#watchdog);
    this.#pods?.end(`the worker ended: ${reason}`);
    this.#connection.close();
    clearTimeout(this.#lastMoments);
    for (const finish of [...this.#asked.values()]) finish(undefined);
    while (this.#unapplied.length > 0) this.#wasApplied();
    this.#events.onEnd(reason);
  }
}

const inheritedEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => INHERITED.test(name)));
