/** Octets as text: one character per octet (ISO-8859-1), so that decoding and encoding are exact inverses. */
const CHARACTERS_PER_CALL = 4096;

export function latin1(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= CHARACTERS_PER_CALL) return characters(bytes.subarray(start, end));
  let text = '';
  for (let at = start; at < end; at += CHARACTERS_PER_CALL) text += characters(bytes.subarray(at, Math.min(end, at + CHARACTERS_PER_CALL)));
  return text;
}

// `apply` accepts any array-like; the type of `fromCharCode` only knows real arrays.
const characters = (bytes: Uint8Array): string => String.fromCharCode.apply(undefined, bytes as unknown as number[]);

export const EMPTY = new Uint8Array(0);
