/** Spans as OTLP/HTTP carries them in JSON (OpenTelemetry protocol, "JSON Protobuf Encoding"). */

export type SpanAttribute = string | number | boolean;

/** Integers are written as integers, other numbers as doubles. Times are nanoseconds since the epoch. */
export interface SpanData {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Empty: the first of its trace. */
  readonly parentSpanId: string;
  /** Empty: there is none. */
  readonly traceState: string;
  readonly name: string;
  readonly start: bigint;
  readonly end: bigint;
  /** What an operator is told of a failure; undefined: there was none. */
  readonly error: string | undefined;
  readonly attributes: Readonly<Record<string, SpanAttribute | undefined>>;
}

/** SPAN_KIND_SERVER. */
const KIND_SERVER = 2;
/** STATUS_CODE_ERROR. */
const STATUS_ERROR = 2;
/** Sampled, and whether the parent is in another process is known: it is. */
const FLAGS_REMOTE_PARENT = 0x301;
const FLAGS_ROOT = 0x101;
/** Longer texts are cut: a span is no place for a whole URL of 60 KiB. */
const MAX_ATTRIBUTE_LENGTH = 4096;

const anyValue = (value: SpanAttribute): object => {
  if (typeof value === 'string') return { stringValue: value.length > MAX_ATTRIBUTE_LENGTH ? value.slice(0, MAX_ATTRIBUTE_LENGTH) : value };
  if (typeof value === 'boolean') return { boolValue: value };
  // 64-bit integers are decimal text in the JSON encoding.
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
};

export function attributesOf(attributes: SpanData['attributes']): object[] {
  const list: object[] = [];
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) list.push({ key, value: anyValue(value) });
  return list;
}

/** One element of `scopeSpans[].spans`. */
export const encodeSpan = (span: SpanData): string =>
  JSON.stringify({
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId !== '' && { parentSpanId: span.parentSpanId }),
    ...(span.traceState !== '' && { traceState: span.traceState }),
    flags: span.parentSpanId === '' ? FLAGS_ROOT : FLAGS_REMOTE_PARENT,
    name: span.name,
    kind: KIND_SERVER,
    startTimeUnixNano: String(span.start),
    endTimeUnixNano: String(span.end),
    attributes: attributesOf(span.attributes),
    status: span.error === undefined ? {} : { code: STATUS_ERROR, ...(span.error !== '' && { message: span.error }) },
  });

/** The body of `POST /v1/traces`: `spans` are what {@link encodeSpan} made. */
export const encodeTraces = (resource: SpanData['attributes'], scope: string, spans: readonly string[]): string =>
  `{"resourceSpans":[{"resource":${JSON.stringify({ attributes: attributesOf(resource) })},"scopeSpans":[{"scope":${JSON.stringify({ name: scope })},"spans":[${spans.join(',')}]}]}]}`;
