/** MurmurHash3 (x86, 32 bits) over text, one octet per character as header values come; for balance, not for secrets. */

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));
const block = (k: number): number => Math.imul(rotate(Math.imul(k, C1), 15), C2);

const finish = (hash: number): number => {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/** An unsigned 32-bit integer. */
export const hashText = (text: string, seed = 0): number => {
  const whole = text.length & ~3;
  let h = seed | 0;
  for (let i = 0; i < whole; i += 4) {
    const k =
      (text.charCodeAt(i) & 0xff) |
      ((text.charCodeAt(i + 1) & 0xff) << 8) |
      ((text.charCodeAt(i + 2) & 0xff) << 16) |
      (text.charCodeAt(i + 3) << 24);
    h = (Math.imul(rotate(h ^ block(k), 13), 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let i = text.length - 1; i >= whole; i--) k = (k << 8) | (text.charCodeAt(i) & 0xff);
  if (whole < text.length) h ^= block(k);
  return finish(h ^ text.length);
};

/** Another hash of the same thing: for a second choice that has nothing to do with the first. */
export const rehash = (hash: number, attempt: number): number => finish((hash + Math.imul(attempt, 0x9e3779b1)) | 0);
