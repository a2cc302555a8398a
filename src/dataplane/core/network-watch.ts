/** Open connections that NetworkPolicies keep applying to: looked at again when something changes that they depend on. */
import type { NetworkDecision } from '../../mesh/index.ts';

export interface NetworkWatched {
  decideNetwork(): NetworkDecision;
  /** It is not allowed any more, and has to end. */
  networkRefused(decision: NetworkDecision): void;
}

/**
 * What belongs together may come in several messages (a pod's labels, the policy that speaks of them): an open connection ends when it is still not allowed
 * after this long, milliseconds. New ones are decided at once.
 */
const SETTLE_MS = 100;

export class NetworkWatch<T extends NetworkWatched> {
  readonly #open = new Set<T>();
  readonly #suspects = new Set<T>();
  #settling: ReturnType<typeof setTimeout> | undefined;

  watch(one: T): void {
    this.#open.add(one);
  }

  release(one: T): void {
    this.#open.delete(one);
    this.#suspects.delete(one);
  }

  reconsider(isTouched: (one: T) => boolean): void {
    for (const one of this.#open) if (isTouched(one) && !one.decideNetwork().allowed) this.#suspects.add(one);
    if (this.#suspects.size > 0) this.#settling ??= setTimeout(() => this.#settle(), SETTLE_MS);
  }

  close(): void {
    clearTimeout(this.#settling);
  }

  #settle(): void {
    this.#settling = undefined;
    const suspects = [...this.#suspects];
    this.#suspects.clear();
    for (const one of suspects) {
      const decision = one.decideNetwork();
      if (!decision.allowed) one.networkRefused(decision);
    }
  }
}
