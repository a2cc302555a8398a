/**
 * Octets as text: one character per octet (ISO-8859-1), so that decoding and encoding are exact inverses. (`TextDecoder('latin1')` is windows-1252 and
 * changes 0x80 to 0x9f.)
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return slice.call(bytes, start, end);
}

// The native method works on any Uint8Array and is several times faster than `String.fromCharCode`, but no type declares it.
const slice = (Buffer.prototype as unknown as { latin1Slice(this: Uint8Array, start: number, end: number): string }).latin1Slice;

export const EMPTY = new Uint8Array(0);
