/**
 * Continues or begins the trace of each request (W3C Trace Context). With a collector the waypoint is a span of the trace, so what goes to the endpoint names
 * that span as parent; without one a valid context goes through as it came, as nobody would ever see a span put in between.
 */
import type { SpanExporter } from '../../platform/telemetry/index.ts';
import { type HeaderList, parseTraceparent, TRACE_RANDOM, TRACE_SAMPLED } from '../../protocol/index.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { newSpanId, newTraceId } from './request-id.ts';
import { requestSpan } from './request-span.ts';
import type { Sampler } from './tracing-config.ts';

/** Digits of a trace id that are random in any case, and the numbers they can be (W3C Trace Context level 2). */
const RANDOM_DIGITS = 14;
const RANDOM_RANGE = 2 ** (4 * RANDOM_DIGITS);

export interface TracerOptions {
  /** Undefined, as `exporter`: nothing is recorded. */
  readonly sampler: Sampler | undefined;
  readonly exporter: SpanExporter | undefined;
}

export class Tracer {
  readonly #exporter: SpanExporter | undefined;
  readonly #isParentBased: boolean;
  /** Ids from here on are sampled: waypoints with different shares agree on the traces of the smaller one. */
  readonly #threshold: number;

  constructor({ sampler, exporter }: TracerOptions) {
    this.#exporter = exporter;
    this.#isParentBased = sampler?.isParentBased ?? true;
    this.#threshold = (1 - (sampler?.ratio ?? 0)) * RANDOM_RANGE;
  }

  /** Fills in the record's part of the trace. */
  begin(record: ExchangeRecord): void {
    const isRecording = this.#exporter !== undefined;
    const parent = parentOf(record.head.headers);
    if (parent === undefined) {
      record.traceId = newTraceId();
      record.spanId = newSpanId();
      record.isSampled = isRecording && this.#isChosen(record.traceId);
      record.traceparent = `00-${record.traceId}-${record.spanId}-${record.isSampled ? '01' : '00'}`;
      return;
    }
    record.traceId = parent.traceId;
    if (!isRecording) return;
    record.parentSpanId = parent.spanId;
    record.spanId = newSpanId();
    record.isSampled = this.#isParentBased ? (parent.flags & TRACE_SAMPLED) !== 0 : this.#isChosen(parent.traceId);
    const flags = (record.isSampled ? TRACE_SAMPLED : 0) | (parent.flags & TRACE_RANDOM);
    record.traceparent = `00-${record.traceId}-${record.spanId}-0${flags}`;
  }

  /** The exchange is over. */
  end(record: ExchangeRecord, duration: number): void {
    if (record.isSampled) this.#exporter?.add(requestSpan(record, duration));
  }

  #isChosen(traceId: string): boolean {
    return this.#threshold < RANDOM_RANGE && Number.parseInt(traceId.slice(-RANDOM_DIGITS), 16) >= this.#threshold;
  }
}

/** Of several fields none is to be believed (section 3.2.1: a sender sends one). */
function parentOf(headers: HeaderList): ReturnType<typeof parseTraceparent> {
  let text: string | undefined;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (field[0] !== 'traceparent') continue;
    if (text !== undefined) return undefined;
    text = field[1];
  }
  return text === undefined ? undefined : parseTraceparent(text);
}

/** The client's fields as they go on: with the id of the request, and with the trace's context where the waypoint has a part in it. */
export function propagated({ head, requestId, traceparent, parentSpanId }: ExchangeRecord): HeaderList {
  const { headers } = head;
  const fields: HeaderList[number][] = [];
  let hasRequestId = false;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    const name = field[0];
    if (traceparent !== '') {
      if (name === 'traceparent') continue;
      // It belongs to the context that came with it.
      if (name === 'tracestate' && parentSpanId === '') continue;
    }
    if (name === 'x-request-id') hasRequestId = true;
    fields.push(field);
  }
  if (!hasRequestId) fields.push(['x-request-id', requestId]);
  if (traceparent !== '') fields.push(['traceparent', traceparent]);
  return fields;
}
