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
export function newRequestId(): string {
  const hex = draw(OCTETS);
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]!;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}

export const newTraceId = (): string => draw(16);
export const newSpanId = (): string => draw(8);
