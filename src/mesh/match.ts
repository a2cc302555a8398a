/** Building matches so that a value that cannot be enforced never widens what an ALLOW lets in nor narrows what a DENY keeps out. */
import type { Authorization, Match } from './model.ts';

/** All twelve lists empty: never matches. */
export const NEVER: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
  serviceAccounts: [],
  notServiceAccounts: [],
};

/** Matches every connection: none is to port 0. For a DENY that has lost what it was about. */
export const ALWAYS: Match = { ...NEVER, notDestinationPorts: [0] };

export const isEmptyMatch = (match: Match): boolean => Object.values(match).every((list) => list.length === 0);

/**
 * Collects the lists of one match whose values may be unreadable. The result approximates what was written from the safe side: an ALLOW
 * matches no more, a DENY no less. A list never silently stops constraining.
 */
export class SafeMatch {
  readonly #action: Authorization['action'];
  #isNever = false;
  #isWidened = false;

  constructor(action: Authorization['action']) {
    this.#action = action;
  }

  /** Values of which one must hit; `undefined` marks an unreadable one, which might have been anything. */
  positive<V>(values: readonly (V | undefined)[]): V[] {
    const good = values.filter((value) => value !== undefined);
    if (good.length === values.length) return good;
    if (this.#action === 'DENY') {
      this.#isWidened = true;
      return [];
    }
    if (good.length === 0) this.#isNever = true;
    return good;
  }

  /** Values of which none may hit. */
  negative<V>(values: readonly (V | undefined)[]): V[] {
    const good = values.filter((value) => value !== undefined);
    if (good.length < values.length) this.lose();
    return good;
  }

  /** A condition of the match cannot be expressed at all. */
  lose(): void {
    if (this.#action === 'DENY') this.#isWidened = true;
    else this.#isNever = true;
  }

  /** Whether the match can no longer be satisfied: an ALLOW that lost a condition. */
  get isNever(): boolean {
    return this.#isNever;
  }

  finish(match: Match): Match {
    if (this.#isNever) return NEVER;
    return this.#isWidened && isEmptyMatch(match) ? ALWAYS : match;
  }
}
