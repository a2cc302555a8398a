/** One certificate per identity, fetched when first wanted, renewed at half life, kept while it is valid, forgotten when no pod needs it. */
import type { Logger } from '../../platform/telemetry/index.ts';
import type { WorkloadCertificate } from './certificate.ts';
import type { CertificateSource } from './certificate-source.ts';

/** How urgent a fetch is: a connection waits, a pod may soon, or a valid certificate is merely getting old. */
export const FetchPriority = { realTime: 0, warmup: 1, background: 2 } as const;
export type FetchPriority = (typeof FetchPriority)[keyof typeof FetchPriority];

/** Requests to the CA at the same time. */
export const MAX_CONCURRENT_FETCHES = 8;
/** Identities held at once; a node cannot host as many service accounts. */
export const MAX_IDENTITIES = 10_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 150_000;
const JITTER = 0.2;
/** Longest sleep of the renewal timer: timers overflow at 2^31 ms, and a clock that jumps forward past an expiry is noticed this late. */
const MAX_SLEEP_MS = 15_000;

export type CertificateState = 'Initializing' | 'Available' | 'Unavailable';

interface Entry {
  readonly identity: string;
  state: CertificateState;
  certificate: WorkloadCertificate | undefined;
  error: string;
  /** When to fetch next, milliseconds since the epoch. */
  nextFetch: number;
  failures: number;
  priority: FetchPriority;
  inQueue: boolean;
  fetching: boolean;
  waiters: PromiseWithResolvers<WorkloadCertificate>[];
  listeners: Set<(certificate: WorkloadCertificate | undefined) => void>;
}

export interface CertificateManagerOptions {
  readonly fetch: (identity: string) => Promise<WorkloadCertificate>;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly random?: () => number;
  /** Calls back after so many milliseconds of that clock; returns the way to stop. */
  readonly after?: (delay: number, run: () => void) => () => void;
}

const afterReal = (delay: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, delay);
  return () => clearTimeout(timer);
};

export class CertificateManager implements CertificateSource {
  readonly #fetch: (identity: string) => Promise<WorkloadCertificate>;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  #active = 0;
  readonly #after: (delay: number, run: () => void) => () => void;
  #stopTimer: (() => void) | undefined;
  #closed = false;

  constructor(options: CertificateManagerOptions) {
    this.#fetch = options.fetch;
    this.#logger = options.logger;
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#after = options.after ?? afterReal;
  }

  /** The certificate to use now, if there is a valid one. */
  current(identity: string): WorkloadCertificate | undefined {
    const certificate = this.#entries.get(identity)?.certificate;
    return certificate !== undefined && certificate.notAfter > this.#now() ? certificate : undefined;
  }

  /** Waits for the first fetch; rejects when the CA refuses, with its reason. */
  async get(identity: string): Promise<WorkloadCertificate> {
    const current = this.current(identity);
    if (current !== undefined) return current;
    const entry = this.#entry(identity);
    if (entry.state === 'Unavailable' && this.#dueAt(entry) > this.#now()) throw new Error(entry.error);
    const waiter = Promise.withResolvers<WorkloadCertificate>();
    entry.waiters.push(waiter);
    this.#enqueue(entry, FetchPriority.realTime);
    return waiter.promise;
  }

  /** Fetches in advance. */
  prefetch(identity: string): void {
    const entry = this.#entry(identity);
    if (entry.state === 'Initializing') this.#enqueue(entry, FetchPriority.warmup);
  }

  /** Calls `listener` with every new certificate of an identity, and with undefined when there is none valid; returns the way to stop. */
  watch(identity: string, listener: (certificate: WorkloadCertificate | undefined) => void): () => void {
    const entry = this.#entry(identity);
    entry.listeners.add(listener);
    return () => entry.listeners.delete(listener);
  }

  /** No pod needs it any more. Listeners are pods: while there are any it stays. */
  forget(identity: string): void {
    const entry = this.#entries.get(identity);
    if (entry === undefined || entry.listeners.size > 0) return;
    this.#entries.delete(identity);
    for (const waiter of entry.waiters) waiter.reject(new Error(`${identity} is no longer needed on this node`));
  }

  close(): void {
    this.#closed = true;
    this.#stopTimer?.();
  }

  /** Why there is no certificate, as far as known. */
  failure(identity: string): string {
    return this.#entries.get(identity)?.error || `there is no valid certificate for ${identity}`;
  }

  identities(): Iterable<string> {
    return this.#entries.keys();
  }

  *entries(): Generator<{ identity: string; state: CertificateState; error: string; certificate: WorkloadCertificate | undefined }> {
    for (const { identity, state, error, certificate } of this.#entries.values()) yield { identity, state, error, certificate };
  }

  #entry(identity: string): Entry {
    const known = this.#entries.get(identity);
    if (known !== undefined) return known;
    if (this.#entries.size >= MAX_IDENTITIES) throw new Error(`more than ${MAX_IDENTITIES} identities on one node`);
    const entry: Entry = {
      identity,
      state: 'Initializing',
      certificate: undefined,
      error: '',
      nextFetch: 0,
      failures: 0,
      priority: FetchPriority.warmup,
      inQueue: false,
      fetching: false,
      waiters: [],
      listeners: new Set(),
    };
    this.#entries.set(identity, entry);
    return entry;
  }

  #enqueue(entry: Entry, priority: FetchPriority): void {
    // What is under way answers everybody who asks meanwhile.
    if (entry.fetching) return;
    entry.priority = entry.inQueue ? (Math.min(entry.priority, priority) as FetchPriority) : priority;
    entry.inQueue = true;
    this.#pump();
  }

  #pump(): void {
    while (this.#active < MAX_CONCURRENT_FETCHES && !this.#closed) {
      let next: Entry | undefined;
      for (const entry of this.#entries.values())
        if (entry.inQueue && !entry.fetching && (next === undefined || entry.priority < next.priority)) next = entry;
      if (next === undefined) return;
      next.inQueue = false;
      void this.#run(next);
    }
  }

  async #run(entry: Entry): Promise<void> {
    entry.fetching = true;
    this.#active++;
    try {
      this.#succeed(entry, await this.#fetch(entry.identity));
    } catch (error) {
      this.#fail(entry, error instanceof Error ? error.message : String(error));
    } finally {
      entry.fetching = false;
      this.#active--;
      this.#schedule();
      this.#pump();
    }
  }

  #succeed(entry: Entry, certificate: WorkloadCertificate): void {
    entry.certificate = certificate;
    entry.state = 'Available';
    entry.error = '';
    entry.failures = 0;
    entry.nextFetch = certificate.notBefore + (certificate.notAfter - certificate.notBefore) / 2;
    // A clock behind the CA's must not turn into a loop of requests.
    entry.nextFetch = Math.max(entry.nextFetch, this.#now() + FIRST_RETRY_MS);
    this.#logger.debug('certificate fetched', { identity: entry.identity, expires: new Date(certificate.notAfter).toISOString() });
    const waiters = entry.waiters.splice(0);
    for (const waiter of waiters) waiter.resolve(certificate);
    for (const listener of entry.listeners) listener(certificate);
  }

  #fail(entry: Entry, message: string): void {
    const delay = Math.min(FIRST_RETRY_MS * 2 ** entry.failures, MAX_RETRY_MS) * (1 + JITTER * (2 * this.#random() - 1));
    entry.failures++;
    entry.error = message;
    entry.nextFetch = this.#now() + Math.min(delay, MAX_RETRY_MS);
    const stillValid = this.current(entry.identity) !== undefined;
    if (!stillValid) entry.state = 'Unavailable';
    this.#logger.warn('certificate not fetched', {
      identity: entry.identity,
      error: message,
      retry_ms: Math.round(delay),
      in_use: stillValid,
    });
    const waiters = entry.waiters.splice(0);
    for (const waiter of waiters) waiter.reject(new Error(message));
    if (!stillValid) for (const listener of entry.listeners) listener(undefined);
  }

  /** When to fetch next. A wait longer than any between tries means that the clock was set back since: without a certificate it must not be waited out. */
  #dueAt(entry: Entry): number {
    const { state, nextFetch } = entry;
    return state === 'Unavailable' && nextFetch - this.#now() > MAX_RETRY_MS ? 0 : nextFetch;
  }

  #schedule(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (this.#closed) return;
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) if (entry.nextFetch > 0 && !entry.fetching) next = Math.min(next, this.#dueAt(entry));
    if (next === Number.POSITIVE_INFINITY) return;
    this.#stopTimer = this.#after(Math.min(Math.max(next - this.#now(), 0), MAX_SLEEP_MS), () => this.#due());
  }

  #due(): void {
    const now = this.#now();
    for (const entry of this.#entries.values()) {
      if (entry.nextFetch === 0 || this.#dueAt(entry) > now || entry.fetching) continue;
      this.#enqueue(entry, entry.certificate ? FetchPriority.background : FetchPriority.warmup);
    }
    this.#schedule();
  }
}
