/** W3C Trace Context: the `traceparent` header. */
export interface Traceparent {
  /** 32 hexadecimal digits in lower case, not all zero. */
  readonly traceId: string;
  /** 16 hexadecimal digits in lower case, not all zero. */
  readonly spanId: string;
  readonly flags: number;
}

/** Random octets `makeTraceparent` wants: 16 for the trace, 8 for the span. */
export const TRACEPARENT_RANDOM = 24;

/** Flag of a trace that is recorded (section 3.2.2.5.1). */
export const TRACE_SAMPLED = 1;
/** Flag of a trace whose id is random in its last seven octets (level 2, section 3.2.2.5.2). */
export const TRACE_RANDOM = 2;

/** What follows in a later version is separated by another dash; version `ff` is none. */
const FORM = /^(?:00|(?!ff)[0-9a-f]{2}(?=.{53}(?:-|$)))-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;
const LENGTH = 55;

/** `00-<trace>-<span>-00`; `random` holds at least 24 octets. */
export function makeTraceparent(random: Uint8Array): string {
  if (random.length < TRACEPARENT_RANDOM)
    throw new RangeError(`a traceparent needs ${TRACEPARENT_RANDOM} random octets, got ${random.length}`);
  let hex = '';
  for (let at = 0; at < TRACEPARENT_RANDOM; at++) hex += random[at]!.toString(16).padStart(2, '0');
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

/**
 * `undefined` unless it is a valid header: exactly 55 characters in version 00, as many and perhaps more behind a dash in a later one (section 3.2.3,
 * "Versioning of traceparent"), ids that are not zero.
 */
export function parseTraceparent(text: string): Traceparent | undefined {
  const match = FORM.exec(text);
  if (match === null || (text.length > LENGTH && text.startsWith('00'))) return undefined;
  const [, traceId, spanId, flags] = match;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined;
  return { traceId: traceId!, spanId: spanId!, flags: Number.parseInt(flags!, 16) };
}
