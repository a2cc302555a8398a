/** The three probes of one run of a container: when to ask, and what the answers add up to. */
import type { Container, Probe } from '../../platform/kubernetes/index.ts';
import { type ProbeTarget, runProbe } from './probe-request.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';
export interface ProberEvents {
  started(): void;
  ready(isReady: boolean): void;
  failed(kind: ProbeKind, message: string): void;
  /** The container has to be restarted. */
  unhealthy(kind: ProbeKind, message: string): void;
}

/** Counts answers in a row: a result changes only after its threshold. Starts undecided. */
export class ProbeCounter {
  readonly #success: number;
  readonly #failure: number;
  #value: boolean | undefined;
  #last: boolean | undefined;
  #inRow = 0;

  constructor(probe: Pick<Probe, 'successThreshold' | 'failureThreshold'>) {
    this.#success = probe.successThreshold ?? 1;
    this.#failure = probe.failureThreshold ?? 3;
  }

  /** The result after this answer; undefined while undecided. */
  add(answer: boolean): boolean | undefined {
    this.#inRow = answer === this.#last ? this.#inRow + 1 : 1;
    this.#last = answer;
    if (this.#inRow >= (answer ? this.#success : this.#failure)) this.#value = answer;
    return this.#value;
  }
}

/** Until the first success, and only so long, readiness is asked this often: a new pod does not wait a whole period to serve. */
const EAGER_MS = 100;
const EAGER_UNTIL_MS = 15_000;
const SETTLE_MS = 5_000;

export class Prober {
  readonly #container: Container;
  readonly #target: ProbeTarget;
  readonly #events: ProberEvents;
  readonly #startedAt: number;
  #stopped = false;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  constructor(container: Container, target: ProbeTarget, events: ProberEvents, startedAt: number) {
    this.#container = container;
    this.#target = target;
    this.#events = events;
    this.#startedAt = startedAt;
  }

  /** `alreadyStarted`: the container was adopted after its start-up probe had passed. */
  start(alreadyStarted: boolean): void {
    const { startupProbe } = this.#container;
    if (startupProbe === undefined || alreadyStarted) this.#afterStartup();
    else
      this.#repeat('startup', startupProbe, (result, message) => {
        if (result === undefined) return true;
        if (result) this.#afterStartup();
        else this.#events.unhealthy('startup', message);
        return false;
      });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #afterStartup(): void {
    this.#events.started();
    const { livenessProbe, readinessProbe } = this.#container;
    if (livenessProbe !== undefined) {
      this.#repeat('liveness', livenessProbe, (result, message) => {
        if (result !== false) return true;
        this.#events.unhealthy('liveness', message);
        return false;
      });
    }
    if (readinessProbe === undefined) this.#events.ready(true);
    else {
      this.#repeat('readiness', readinessProbe, (result) => {
        if (result !== undefined) this.#events.ready(result); // undecided: what was known before stays
        return true;
      });
    }
  }

  /** `decide` says whether to go on. */
  #repeat(kind: ProbeKind, probe: Probe, decide: (result: boolean | undefined, message: string) => boolean): void {
    const counter = new ProbeCounter(probe);
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    let succeeded = false;
    const ask = async (): Promise<void> => {
      const failure = await runProbe(probe, this.#target);
      if (this.#stopped) return;
      succeeded ||= failure === undefined;
      // An early extra question must not use up the failures the user allowed.
      const eager = kind === 'readiness' && !succeeded && Date.now() - this.#startedAt < EAGER_UNTIL_MS;
      if (failure !== undefined && !eager) this.#events.failed(kind, failure);
      const goOn = decide(eager ? undefined : counter.add(failure === undefined), failure ?? '');
      if (goOn && !this.#stopped) this.#later(eager ? Math.min(EAGER_MS, periodMs) : periodMs, ask);
    };
    const passed = Date.now() - this.#startedAt;
    // A program needs a moment to listen; asking a new one whether it still lives would only make noise.
    const settle = kind === 'liveness' ? Math.min(periodMs, SETTLE_MS) : 0;
    this.#later(Math.max(0, Math.max(settle, (probe.initialDelaySeconds ?? 0) * 1000) - passed), ask);
  }

  #later(ms: number, run: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void run();
    }, ms);
    this.#timers.add(timer);
  }
}
