/** What happened to one request. Codes 0–16 are gRPC's; the others are the generator's own. */
export const PENDING = 255;
/** Not sent: too many requests were waiting already. */
export const OVERLOAD = 254;

export interface WindowReport {
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  /** Intended in the window and not answered yet. */
  readonly pending: number;
  readonly errors: number;
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
  readonly p99_ms: number | null;
  readonly max_ms: number | null;
  readonly errorsByCode: Record<string, number>;
  readonly correct: number;
  readonly perVersion: Record<string, number>;
  /** The same, only of the requests that asked for a version. */
  readonly perVersionAsked: Record<string, number>;
  /** Intended start of the first request that failed, and of the last that was answered. */
  readonly firstErrorAt: number | null;
  readonly lastSuccessAt: number | null;
  /** Epoch ms at which the first failure became known. */
  readonly firstErrorSeenAt: number | null;
  /** False when the window begins before the oldest record still kept. */
  readonly complete: boolean;
}

/** The value at or below which `share` of the sorted values lie (nearest rank: a value that was really measured). */
export const percentile = (sorted: ArrayLike<number>, share: number): number | null =>
  sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))]!;

/** The last `capacity` requests, in plain arrays: nothing is allocated per request, and exact percentiles of any window can be taken. */
export class Records {
  readonly #capacity: number;
  readonly #intended: Float64Array;
  readonly #latency: Float64Array;
  readonly #code: Uint8Array;
  readonly #version: Uint8Array;
  readonly #correct: Uint8Array;
  readonly #asked: Uint8Array;
  readonly #versions: string[] = [];
  readonly #nameOfCode: (code: number) => string;
  #count = 0;

  constructor(capacity: number, nameOfCode: (code: number) => string) {
    this.#capacity = capacity;
    this.#nameOfCode = nameOfCode;
    this.#intended = new Float64Array(capacity);
    this.#latency = new Float64Array(capacity);
    this.#code = new Uint8Array(capacity);
    this.#version = new Uint8Array(capacity);
    this.#correct = new Uint8Array(capacity);
    this.#asked = new Uint8Array(capacity);
  }

  /** Reserves the record of a request that should start at `intended` (epoch ms) and may ask for a version; returns its ticket. */
  begin(intended: number, asks = false): number {
    const ticket = this.#count++;
    const slot = ticket % this.#capacity;
    this.#intended[slot] = intended;
    this.#latency[slot] = 0;
    this.#code[slot] = PENDING;
    this.#version[slot] = 0;
    this.#correct[slot] = 0;
    this.#asked[slot] = asks ? 1 : 0;
    return ticket;
  }

  /** Completes a record; `latencyMs` counts from the intended start. A ticket whose record was overwritten is ignored. */
  end(ticket: number, latencyMs: number, code: number, version: string, correct: boolean): void {
    if (this.#count - ticket > this.#capacity) return;
    const slot = ticket % this.#capacity;
    this.#latency[slot] = latencyMs;
    this.#code[slot] = code;
    this.#version[slot] = version === '' ? 0 : this.#indexOf(version);
    this.#correct[slot] = correct ? 1 : 0;
  }

  /** Everything about the requests whose intended start lies in [from, to). */
  report(from: number, to: number): WindowReport {
    const latencies: number[] = [];
    const errorsByCode: Record<string, number> = {};
    const perVersion: Record<string, number> = {};
    const perVersionAsked: Record<string, number> = {};
    let requests = 0;
    let pending = 0;
    let correct = 0;
    let firstErrorAt: number | null = null;
    let firstErrorSeenAt: number | null = null;
    let lastSuccessAt: number | null = null;
    const oldest = Math.max(0, this.#count - this.#capacity);
    for (let ticket = oldest; ticket < this.#count; ticket++) {
      const slot = ticket % this.#capacity;
      const at = this.#intended[slot]!;
      if (at < from || at >= to) continue;
      requests++;
      const code = this.#code[slot]!;
      if (code === PENDING) {
        pending++;
        continue;
      }
      latencies.push(this.#latency[slot]!);
      if (code === 0) {
        lastSuccessAt = Math.max(lastSuccessAt ?? at, at);
        correct += this.#correct[slot]!;
        const version = this.#versions[this.#version[slot]! - 1] ?? 'unknown';
        perVersion[version] = (perVersion[version] ?? 0) + 1;
        if (this.#asked[slot] === 1) perVersionAsked[version] = (perVersionAsked[version] ?? 0) + 1;
      } else {
        firstErrorAt = Math.min(firstErrorAt ?? at, at);
        const seen = at + this.#latency[slot]!;
        firstErrorSeenAt = Math.min(firstErrorSeenAt ?? seen, seen);
        const name = this.#nameOfCode(code);
        errorsByCode[name] = (errorsByCode[name] ?? 0) + 1;
      }
    }
    const sorted = Float64Array.from(latencies).sort();
    const errors = Object.values(errorsByCode).reduce((sum, count) => sum + count, 0);
    return {
      from,
      to,
      requests,
      pending,
      errors,
      p50_ms: percentile(sorted, 0.5),
      p90_ms: percentile(sorted, 0.9),
      p99_ms: percentile(sorted, 0.99),
      max_ms: percentile(sorted, 1),
      errorsByCode,
      correct,
      perVersion,
      perVersionAsked,
      firstErrorAt,
      lastSuccessAt,
      firstErrorSeenAt,
      complete: oldest === 0 || this.#intended[oldest % this.#capacity]! <= from,
    };
  }

  #indexOf(version: string): number {
    const found = this.#versions.indexOf(version);
    if (found >= 0) return found + 1;
    // 254 names fit the byte; a pipeline has a handful of versions.
    if (this.#versions.length < 254) this.#versions.push(version);
    return this.#versions.length;
  }
}
