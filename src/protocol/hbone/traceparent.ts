/** W3C Trace Context, version 00. */
export interface Traceparent {
  readonly traceId: string;
  readonly spanId: string;
  readonly flags: number;
}

/** Random octets `makeTraceparent` wants: 16 for the trace, 8 for the span. */
export const TRACEPARENT_RANDOM = 24;

const FORM = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** `00-<trace>-<span>-00`; `random` holds at least 24 octets. */
export function makeTraceparent(random: Uint8Array): string {
  if (random.length < TRACEPARENT_RANDOM)
    throw new RangeError(`a traceparent needs ${TRACEPARENT_RANDOM} random octets, got ${random.length}`);
  let hex = '';
  for (let at = 0; at < TRACEPARENT_RANDOM; at++) hex += random[at]!.toString(16).padStart(2, '0');
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-00`;
}

/** `undefined` unless it is exactly a valid version 00 header of 55 characters with non-zero ids. */
export function parseTraceparent(text: string): Traceparent | undefined {
  const match = FORM.exec(text);
  if (match === null) return undefined;
  const [, traceId, spanId, flags] = match;
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined;
  return { traceId: traceId!, spanId: spanId!, flags: Number.parseInt(flags!, 16) };
}
