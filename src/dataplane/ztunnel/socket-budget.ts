/** Sockets that the pods of a process may have open together, and what of them one pod: whoever opens connections without end must leave room for the others. */
import { type ConnectionEnd, endOf } from '../core/end-reason.ts';

/**
 * While others are served as well, a pod may have so many times the sockets that are free. A pod alone in its greed stops at three quarters of all, two at
 * three sevenths each, so some are left for a pod that has few (dynamic thresholds, Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
 */
const TIMES_THE_FREE = 3;

export class SocketBudget {
  /** Accepted sockets this process can hold: each may need a second one, and running out of descriptors would stop it from accepting at all. */
  readonly limit: number;
  open = 0;
  pods = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** The part of one pod, to be removed with it. */
  add(): PodSockets {
    return new PodSockets(this);
  }
}

export class PodSockets {
  readonly #budget: SocketBudget;
  #open = 0;
  #isRemoved = false;

  constructor(budget: SocketBudget) {
    this.#budget = budget;
    budget.pods++;
  }

  opened(): void {
    this.#open++;
    this.#budget.open++;
  }

  closed(): void {
    this.#open--;
    this.#budget.open--;
  }

  /** Why there may be no more now; undefined while there is room. */
  get refusal(): ConnectionEnd | undefined {
    const { limit, open, pods } = this.#budget;
    if (open >= limit) return endOf('too-many-connections', `${open} sockets of all pods, limit ${limit}`);
    if (pods === 1 || this.#open < (limit - open) * TIMES_THE_FREE) return undefined;
    return endOf('too-many-connections', `${this.#open} sockets of this pod while ${limit - open} are left for all`);
  }

  /** The pod is not served any more. Its sockets may still close. */
  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    this.#budget.pods--;
  }
}
