/** Sends spans to an OpenTelemetry collector in batches, off the path of whoever made them. What a slow or absent collector does not take is dropped and counted. */
import type { Counter, CounterHandle, Registry } from './metrics.ts';
import { encodeSpan, encodeTraces, type SpanData } from './otlp-span.ts';

/** How often one batch is sent before it is given up. */
export const MAX_EXPORT_ATTEMPTS = 5;
/** Wait before the second attempt, and the longest before any: a random part of it, at least half. Milliseconds. */
const FIRST_BACKOFF = 1000;
const LONGEST_BACKOFF = 30_000;

export interface SpanExporterOptions {
  /** Of the collector, with `/v1/traces`. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Asked for each batch. */
  readonly resource: () => SpanData['attributes'];
  /** Name of the instrumentation scope. */
  readonly scope: string;
  /** Spans that may wait. */
  readonly maxQueue: number;
  readonly maxBatch: number;
  /** Milliseconds a span may wait for others. */
  readonly delay: number;
  /** Milliseconds until an answer. */
  readonly timeout: number;
  /** Told when a batch is lost, and when the collector takes them again. */
  readonly onFailure: (reason: string) => void;
  readonly onRecovery: () => void;
  readonly random?: () => number;
  /** Wait before the second attempt; it doubles from there. Milliseconds. */
  readonly backoff?: number;
}

type Attempt =
  | { readonly kind: 'done'; readonly rejected: number; readonly reason: string }
  | { readonly kind: 'again'; readonly reason: string; readonly after: number }
  | { readonly kind: 'refused'; readonly reason: string };

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #exported: CounterHandle;
  readonly #dropped: Counter;
  readonly #full: CounterHandle;
  #queue: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;
  #isClosing = false;
  #isFailing = false;
  readonly #abort = new AbortController();
  #wake: (() => void) | undefined;

  constructor(options: SpanExporterOptions, telemetry: Registry) {
    this.#options = options;
    this.#exported = telemetry.counter('lateen_spans_exported', 'Spans the collector has taken (unstable)').labels();
    this.#dropped = telemetry.counter('lateen_spans_dropped', 'Spans that were lost, by reason (unstable)', ['reason']);
    this.#full = this.#dropped.labels({ reason: 'queue-full' });
    const waiting = telemetry.gauge('lateen_spans_waiting', 'Spans waiting to be sent (unstable)');
    telemetry.onCollect(() => waiting.set(this.#queue.length));
  }

  add(span: SpanData): void {
    if (this.#queue.length >= this.#options.maxQueue || this.#isClosing) {
      this.#full.value++;
      return;
    }
    // Encoded at once: a batch of hundreds would hold up everything else.
    this.#queue.push(encodeSpan(span));
    if (this.#queue.length >= this.#options.maxBatch) this.#send();
    else this.#arm();
  }

  /** Sends what waits, once, and ends. Resolves when that is done or `patience` milliseconds have passed. */
  async close(patience: number): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    this.#send();
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, patience);
    await Promise.race([this.#sending, limit.promise]);
    clearTimeout(timer);
    this.#abort.abort();
    this.#drop('unreachable', this.#queue.splice(0).length);
  }

  #arm(): void {
    if (this.#sending !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#send();
    }, this.#options.delay);
  }

  /** One batch at a time; while one is under way others gather. */
  #send(): void {
    if (this.#sending !== undefined || this.#queue.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length > 0 && !this.#isClosing) this.#arm();
    });
  }

  async #sendAll(): Promise<void> {
    const { maxBatch } = this.#options;
    do {
      await this.#sendBatch(this.#queue.splice(0, maxBatch));
    } while (this.#queue.length >= maxBatch || (this.#isClosing && this.#queue.length > 0 && !this.#isFailing));
  }

  async #sendBatch(batch: readonly string[]): Promise<void> {
    const { resource, scope, random = Math.random, backoff = FIRST_BACKOFF } = this.#options;
    const body = encodeTraces(resource(), scope, batch);
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(body);
      if (outcome.kind === 'done') {
        const rejected = Math.min(outcome.rejected, batch.length);
        this.#exported.value += batch.length - rejected;
        if (rejected > 0) this.#lost('rejected', rejected, outcome.reason);
        else if (this.#isFailing) {
          this.#isFailing = false;
          this.#options.onRecovery();
        }
        return;
      }
      if (outcome.kind === 'refused') {
        this.#lost('refused', batch.length, outcome.reason);
        return;
      }
      if (attempt >= MAX_EXPORT_ATTEMPTS || this.#isClosing) {
        this.#lost('unreachable', batch.length, outcome.reason);
        return;
      }
      const most = Math.min(backoff * 2 ** (attempt - 1), LONGEST_BACKOFF);
      await this.#pause(outcome.after > 0 ? Math.min(outcome.after, LONGEST_BACKOFF) : (most * (1 + random())) / 2);
    }
  }

  async #attempt(body: string): Promise<Attempt> {
    const { url, headers, timeout } = this.#options;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        redirect: 'manual',
        signal: AbortSignal.any([AbortSignal.timeout(timeout), this.#abort.signal]),
      });
      const text = await response.text();
      if (response.ok) return { kind: 'done', ...rejectionOf(text) };
      const reason = `the collector answered ${response.status}`;
      // OTLP specification, "Retryable Response Codes".
      if (![429, 502, 503, 504].includes(response.status)) return { kind: 'refused', reason };
      const after = Number(response.headers.get('retry-after'));
      return { kind: 'again', reason, after: after > 0 ? after * 1000 : 0 };
    } catch (error) {
      return { kind: 'again', reason: (error as Error).message, after: 0 };
    }
  }

  #pause(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    this.#wake = () => {
      clearTimeout(timer);
      resolve();
    };
    return promise;
  }

  #lost(reason: string, spans: number, text: string): void {
    this.#drop(reason, spans);
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#options.onFailure(text);
  }

  #drop(reason: string, spans: number): void {
    if (spans > 0) this.#dropped.labels({ reason }).inc(spans);
  }
}

/** `partialSuccess` of an answer; a body that is not understood says nothing of the kind. */
function rejectionOf(text: string): { rejected: number; reason: string } {
  try {
    const { partialSuccess } = JSON.parse(text) as { partialSuccess?: { rejectedSpans?: unknown; errorMessage?: unknown } };
    const rejected = Math.max(Number(partialSuccess?.rejectedSpans) || 0, 0);
    return { rejected, reason: String(partialSuccess?.errorMessage ?? 'the collector rejected spans') };
  } catch {
    return { rejected: 0, reason: '' };
  }
}
