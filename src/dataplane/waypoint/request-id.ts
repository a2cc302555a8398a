/** Random ids, drawn for many requests at once. */
const OCTETS = 16;
const pool = Buffer.allocUnsafeSlow(OCTETS * 256);
let at = pool.length;

function draw(octets: number): string {
  if (at + octets > pool.length) {
    crypto.getRandomValues(pool);
    at = 0;
  }
  const text = pool.toString('hex', at, at + octets);
  at += octets;
  return text;
}

/** A version 4 UUID (RFC 9562 section 5.4), as Envoy gives requests. */
export const newRequestId = (): string => crypto.randomUUID();

export const newTraceId = (): string => draw(16);
export const newSpanId = (): string => draw(8);
