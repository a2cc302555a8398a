/** Random ids. The digits are drawn and spelled for many requests at once: spelling them one by one costs more than everything else about an id. */
const octets = new Uint8Array(4096);
let digits = '';
let at = 0;

function draw(count: number): string {
  if (at + count > digits.length) {
    digits = Buffer.from(crypto.getRandomValues(octets).buffer).toString('hex');
    at = 0;
  }
  const drawn = digits.slice(at, at + count);
  at += count;
  return drawn;
}

/** A version 4 UUID (RFC 9562 section 5.4), as Envoy gives requests. */
export const newRequestId = (): string => crypto.randomUUID();

/** Trace and span ids of W3C Trace Context; all digits zero, which it forbids, is less likely than a fault of the machine. */
export const newTraceId = (): string => draw(32);
export const newSpanId = (): string => draw(16);
