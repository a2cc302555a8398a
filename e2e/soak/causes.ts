/** What the soak did to the mesh on purpose, and which errors that explains. Whatever is left unexplained fails the run. */

/** One injected cause, in force from `from` until `GRACE_MS` after `until`. */
export interface Cause {
  readonly kind: 'denied-port' | 'policy-push' | 'pod-removal' | 'control-plane-restart' | 'network-gone' | 'machine-stalled';
  /** Milliseconds since the epoch. */
  readonly from: number;
  until: number;
  /** Everything the error's text must contain one of: addresses `ip:port`, `ip:` for all ports, or log targets. */
  readonly touches: readonly string[];
  /** What the error may say. */
  readonly effect: RegExp;
}

/** How long after a cause its errors may still come: a reset travels, a log line is written in batches. */
export const GRACE_MS = 3_000;
/** Causes long over are dropped. */
const MEMORY_MS = 120_000;
/** Errors of one kind listed in full in the report. */
const MAX_LISTED = 20;

export interface Unexplained {
  readonly at: number;
  readonly where: string;
  readonly text: string;
}

export class Causes {
  readonly #active: Cause[] = [];
  readonly explained: Record<string, number> = {};
  readonly injected: Record<string, number> = {};
  readonly unexplained: Unexplained[] = [];
  unexplainedCount = 0;

  /** Starts a cause; set its `until` when it is over. */
  begin(kind: Cause['kind'], touches: readonly string[], effect: RegExp, now = Date.now()): Cause {
    const cause: Cause = { kind, from: now, until: Number.POSITIVE_INFINITY, touches, effect };
    this.#active.push(cause);
    this.injected[kind] = (this.injected[kind] ?? 0) + 1;
    return cause;
  }

  /** Explains an error or keeps it. `where` says who saw it, `text` all there is to know, addresses included. */
  report(where: string, text: string, now = Date.now()): void {
    const cause = this.#active.find(
      ({ from, until, touches, effect }) =>
        now >= from && now <= until + GRACE_MS && touches.some((each) => text.includes(each)) && effect.test(text),
    );
    if (cause !== undefined) {
      const key = `${cause.kind} (${where})`;
      this.explained[key] = (this.explained[key] ?? 0) + 1;
      return;
    }
    this.unexplain(where, text, now);
  }

  /** Keeps an error nothing may explain. */
  unexplain(where: string, text: string, now = Date.now()): void {
    this.unexplainedCount++;
    if (this.unexplained.length < MAX_LISTED) this.unexplained.push({ at: now, where, text });
  }

  /** Forgets what can explain nothing any more. */
  tidy(now = Date.now()): void {
    for (let i = this.#active.length - 1; i >= 0; i--) if (this.#active[i]!.until + MEMORY_MS < now) this.#active.splice(i, 1);
  }
}
