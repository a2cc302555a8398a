import type { Change, ResourceStore } from './store.ts';

/** The parts of a `DeltaDiscoveryRequest` that concern one type. */
export interface TypeRequest {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: Readonly<Record<string, string>>;
  readonly nonce: string;
  readonly error?: string;
}

/** What to send next; `resources` are encoded fields of the response. */
export interface Outgoing {
  readonly nonce: string;
  readonly resources: readonly Uint8Array[];
  readonly removed: readonly string[];
  readonly count: number;
}

interface InFlight {
  readonly nonce: string;
  /** Names in the response; empty stands for "everything" of a wildcard's first answer. */
  readonly names: ReadonlySet<string> | 'all';
  /** Once acknowledged, the client has everything up to here. */
  readonly generation: number;
}

/** Names a client may subscribe to on demand, and rejections kept per client. */
export const SUBSCRIPTION_LIMIT = 100_000;
export const REJECTION_LIMIT = 1_000;

/**
 * One type on one stream: what the client wants, what it still has to get, what it refused (4.2, 4.3). One response is in
 * flight at a time: whatever changes meanwhile is merged into the next one, so a slow client costs a set of names, not a queue.
 */
export class Subscription {
  readonly #store: ResourceStore;
  readonly #names = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #removed = new Set<string>();
  readonly #rejected = new Map<string, string>();
  #wildcard = false;
  #started = false;
  /** A response is due even when it is empty: the first one, and the answer to each subscribe. */
  #owed = false;
  #sendAll = false;
  #inFlight: InFlight | undefined;
  #count = 0;
  #lastNonce = '';
  #acknowledged = -1;

  constructor(store: ResourceStore) {
    this.#store = store;
  }

  /** What it is subscribed to. */
  get store(): ResourceStore {
    return this.#store;
  }
  get isWildcard(): boolean {
    return this.#wildcard;
  }
  get subscribed(): number {
    return this.#names.size;
  }
  get lastNonce(): string {
    return this.#lastNonce;
  }
  get isWaiting(): boolean {
    return this.#inFlight !== undefined;
  }
  /** The client has acknowledged (or refused by name) everything up to this generation of the store; -1 before its first answer. */
  get acknowledged(): number {
    const isIdle = this.#inFlight === undefined && this.#dirty.size === 0 && !this.#owed;
    return isIdle && this.#acknowledged >= 0 ? this.#store.generation : this.#acknowledged;
  }
  /** name → reason, for what the client refused and has not been sent again. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected;
  }

  /** Takes a request. `stale` requests change nothing. */
  receive(request: TypeRequest): 'first' | 'ack' | 'nack' | 'stale' | 'subscribe' | 'over-limit' {
    if (request.nonce !== '' && request.nonce !== this.#lastNonce && this.#started) return 'stale';
    const isReply = request.nonce !== '' && request.nonce === this.#inFlight?.nonce;
    if (isReply) this.#settle(request.error);
    if (!this.#started) {
      this.#started = true;
      this.#begin(request);
      return this.#names.size > SUBSCRIPTION_LIMIT ? 'over-limit' : 'first';
    }
    // An error never leads to a response; the subscription changes of such a message still count.
    const changed = this.#resubscribe(request.subscribe, request.unsubscribe);
    if (this.#names.size > SUBSCRIPTION_LIMIT) return 'over-limit';
    if (request.error !== undefined) return 'nack';
    return changed ? 'subscribe' : 'ack';
  }

  /** The store changed. */
  changed(changes: readonly Change[]): void {
    for (const { name, aliases } of changes) {
      if (this.#wildcard || this.#names.has(name) || aliases.some((alias) => this.#names.has(alias))) this.#dirty.add(name);
    }
  }

  /** The next response, or undefined when there is nothing to say or one is still unanswered. */
  next(): Outgoing | undefined {
    if (!this.#started || this.#inFlight !== undefined || (!this.#owed && this.#dirty.size === 0)) return undefined;
    const nonce = `${++this.#count}-${this.#store.generation}`;
    const removed = new Set(this.#removed);
    let resources: Uint8Array[] = [];
    let names: Set<string> | 'all' = new Set();
    let count = 0;
    if (this.#sendAll) {
      resources = [this.#store.encodeAll()];
      names = 'all';
      count = this.#store.size;
    } else {
      for (const name of this.#dirty) {
        const resource = this.#store.get(name);
        names.add(name);
        if (resource === undefined) removed.add(name);
        else {
          resources.push(resource.encoded);
          count++;
          if (!this.#wildcard) this.#names.add(name); // later changes follow under the primary name
        }
      }
    }
    this.#inFlight = { nonce, names, generation: this.#store.generation };
    this.#lastNonce = nonce;
    this.#dirty.clear();
    this.#removed.clear();
    this.#owed = false;
    this.#sendAll = false;
    return { nonce, resources, removed: [...removed], count };
  }

  #begin(request: TypeRequest): void {
    const unsubscribed = new Set(request.unsubscribe);
    const wanted = request.subscribe.filter((name) => !unsubscribed.has(name));
    this.#wildcard = (request.subscribe.length === 0 && request.unsubscribe.length === 0) || wanted.includes('*');
    this.#owed = true;
    const held = Object.keys(request.initialVersions);
    if (this.#wildcard) {
      if (held.length === 0) this.#sendAll = true;
      else this.#difference(request.initialVersions);
    } else {
      for (const name of held) {
        // On demand the held names are the subscription; what the client has already is not sent again.
        this.#names.add(name);
        const version = request.initialVersions[name]!;
        if (version === '') this.#ask(name);
        else if (this.#store.get(name)?.version !== version) this.#dirty.add(name);
      }
    }
    for (const name of wanted) if (name !== '*' && request.initialVersions[name] === undefined) this.#want(name);
  }

  #difference(held: Readonly<Record<string, string>>): void {
    for (const resource of this.#store.all()) if (held[resource.name] !== resource.version) this.#dirty.add(resource.name);
    for (const name of Object.keys(held)) if (this.#store.get(name) === undefined) this.#dirty.add(name);
  }

  #resubscribe(subscribe: readonly string[], unsubscribe: readonly string[]): boolean {
    let changed = false;
    for (const name of subscribe) {
      if (name === '*') {
        if (!this.#wildcard) this.#sendAll = true;
        this.#wildcard = true;
        this.#owed = true;
      } else this.#want(name);
      changed = true;
    }
    for (const name of unsubscribe) {
      if (name === '*') {
        this.#wildcard = false;
        this.#sendAll = false;
      } else this.#names.delete(name);
      changed = true;
    }
    return changed;
  }

  #want(name: string): void {
    this.#names.add(name);
    this.#ask(name);
  }

  /** Looks a name up under its primary name or as an alias, with what belongs to it; the answer always mentions it. */
  #ask(name: string): void {
    this.#owed = true;
    const primaries = this.#store.get(name) !== undefined ? [name] : this.#store.byAlias(name);
    for (const primary of primaries) for (const related of this.#store.related(primary)) this.#dirty.add(related);
    // A waiter is released only by the very string it asked for, and aliases are not looked at (4.2): also for a hit under
    // another name the asked-for string is reported as removed, which no client can confuse with a resource it holds.
    if (primaries.length === 0 || !primaries.includes(name)) this.#removed.add(name);
  }

  #settle(error: string | undefined): void {
    const inFlight = this.#inFlight!;
    this.#inFlight = undefined;
    this.#acknowledged = inFlight.generation;
    const mentioned = (name: string) => inFlight.names === 'all' || inFlight.names.has(name);
    for (const name of this.#rejected.keys()) if (mentioned(name)) this.#rejected.delete(name);
    if (error === undefined) return;
    let reasons = parseRejection(error, mentioned);
    // A client that names nothing refused the whole response.
    if (reasons.size === 0) reasons = new Map((inFlight.names === 'all' ? ['*'] : [...inFlight.names]).map((name) => [name, error]));
    for (const [name, reason] of reasons) if (this.#rejected.size < REJECTION_LIMIT) this.#rejected.set(name, reason);
  }
}

/** `"<name>: <reason>; <name>: <reason>"` as ztunnel writes it; only names that were in the response count. */
export function parseRejection(message: string, isKnown: (name: string) => boolean): Map<string, string> {
  const found = new Map<string, string>();
  let last: string | undefined;
  for (const part of message.split('; ')) {
    const colon = part.indexOf(': ');
    const name = colon < 0 ? '' : part.slice(0, colon);
    if (name.includes('/') && isKnown(name)) {
      found.set(name, part.slice(colon + 2));
      last = name;
    } else if (last !== undefined) found.set(last, `${found.get(last)}; ${part}`); // the reason itself held a separator
  }
  return found;
}
