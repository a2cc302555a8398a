/**
 * Addresses of workloads that are known by host name only (ambient contract 2.4b, "On-demand DNS"): asked for when a connection needs one, A and AAAA
 * at the same time, and kept as long as the answers say. Which address is taken is drawn per connection, of the request's family where there is one.
 */

/** Names whose answers are kept; the one asked for least recently makes room. */
export const MAX_NAMES = 4096;
/** Lookups under way; a connection that needs one more is refused. Each costs a descriptor or two. */
export const MAX_LOOKUPS = 256;
/** Connections that wait for lookups. */
export const MAX_DNS_WAITERS = 16_384;
/** An answer is believed no longer than this, whatever it says. */
export const MAX_TTL_MS = 86_400_000;
/** What is not there is not asked for again by every connection of a busy application. */
export const FAILURE_TTL_MS = 1000;

export interface ResolvedAddress {
  readonly address: string;
  readonly ttlSeconds: number;
}

export interface DnsSource {
  /** Asks the nameservers; rejects when there is no such record, or nobody answers in time. */
  query(hostname: string, family: 4 | 6): Promise<readonly ResolvedAddress[]>;
  /** What the system knows besides, when the nameservers know nothing: its hosts file, its search list. */
  local(hostname: string): Promise<readonly ResolvedAddress[]>;
}

export type Resolution = { readonly ok: true; readonly address: string } | { readonly ok: false; readonly error: string };

export interface OnDemandDnsOptions {
  readonly source: DnsSource;
  /** Without it only A is asked for. */
  readonly ipv6: boolean;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly random: () => number;
}

interface Answer {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  /** Set when there is no address at all. */
  readonly error: string;
  readonly expiresAt: number;
}

type Waiter = (answer: Answer) => void;

export class OnDemandDns {
  readonly #options: OnDemandDnsOptions;
  /** In the order of use, oldest first. */
  readonly #answers = new Map<string, Answer>();
  readonly #underWay = new Map<string, Waiter[]>();
  #waiting = 0;

  constructor(options: OnDemandDnsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** Calls `settle` once: at once when the answer is known, else when it comes. */
  resolve(hostname: string, preferFamily: 4 | 6, settle: (resolution: Resolution) => void): void {
    const known = this.#known(hostname);
    if (known !== undefined) {
      settle(this.#pick(known, preferFamily));
      return;
    }
    const waiters = this.#underWay.get(hostname);
    if (this.#waiting >= MAX_DNS_WAITERS || (waiters === undefined && this.#underWay.size >= MAX_LOOKUPS)) {
      settle({ ok: false, error: 'too many host names are being looked up' });
      return;
    }
    this.#waiting++;
    const waiter: Waiter = (answer) => settle(this.#pick(answer, preferFamily));
    if (waiters !== undefined) waiters.push(waiter);
    else {
      this.#underWay.set(hostname, [waiter]);
      void this.#lookUp(hostname);
    }
  }

  #known(hostname: string): Answer | undefined {
    const answer = this.#answers.get(hostname);
    if (answer === undefined) return undefined;
    this.#answers.delete(hostname);
    if (answer.expiresAt <= this.#options.now()) return undefined;
    this.#answers.set(hostname, answer);
    return answer;
  }

  async #lookUp(hostname: string): Promise<void> {
    const { source, ipv6, now } = this.#options;
    const asked = await Promise.allSettled([source.query(hostname, 4), ...(ipv6 ? [source.query(hostname, 6)] : [])]);
    let all: readonly ResolvedAddress[] = asked.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (all.length === 0) all = (await source.local(hostname).catch(() => [])).filter(({ address }) => ipv6 || !address.includes(':'));
    const failure = asked.find((one) => one.status === 'rejected')?.reason as Error | undefined;
    const ttl = all.length === 0 ? FAILURE_TTL_MS : Math.min(MAX_TTL_MS, ...all.map(({ ttlSeconds }) => Math.max(0, ttlSeconds) * 1000));
    const answer: Answer = {
      v4: all.flatMap(({ address }) => (address.includes(':') ? [] : [address])),
      v6: all.flatMap(({ address }) => (address.includes(':') ? [address] : [])),
      error: all.length > 0 ? '' : (failure?.message ?? 'it has no address'),
      expiresAt: now() + ttl,
    };
    this.#answers.set(hostname, answer);
    if (this.#answers.size > MAX_NAMES) this.#answers.delete(this.#answers.keys().next().value!);
    const waiters = this.#underWay.get(hostname) ?? [];
    this.#underWay.delete(hostname);
    this.#waiting -= waiters.length;
    for (const waiter of waiters) waiter(answer);
  }

  #pick({ v4, v6, error }: Answer, preferFamily: 4 | 6): Resolution {
    const [preferred, other] = preferFamily === 4 ? [v4, v6] : [v6, v4];
    const from = preferred.length > 0 ? preferred : other;
    if (from.length === 0) return { ok: false, error };
    return { ok: true, address: from[Math.floor(this.#options.random() * from.length)]! };
  }
}
