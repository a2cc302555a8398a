/**
 * The Huffman code of RFC 7541 appendix B. The code is canonical, so the lengths alone define it: one base-36 digit per symbol 0…255, then EOS.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmnlmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

const SYMBOLS = 257;
const EOS = 256;
const codes = new Uint32Array(SYMBOLS);
const lengths = new Uint8Array(SYMBOLS);

/**
 * The decoder walks the code tree four bits at a time: `transitions[node * 16 + nibble]` is the next node, plus the symbol that was completed on the way.
 * No code is shorter than five bits, so a nibble completes at most one symbol.
 */
const EMITS = 0x100;
const SYMBOL_MASK = 0xff;
const NODE_SHIFT = 9;
const FAILS = -1;
/** `accepting` marks the nodes where a string may end: the root, or at most seven bits into EOS (all ones). */
const { transitions, accepting } = build();

function build(): { transitions: Int32Array; accepting: Uint8Array } {
  for (let symbol = 0; symbol < SYMBOLS; symbol++) lengths[symbol] = Number.parseInt(LENGTHS[symbol]!, 36);
  const order = Array.from(lengths.keys()).sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  let code = 0;
  let length = lengths[order[0]!]!;
  for (const symbol of order) {
    code *= 2 ** (lengths[symbol]! - length);
    length = lengths[symbol]!;
    codes[symbol] = code++;
  }

  // children[node * 2 + bit]: a positive number is a node, a negative one is -1 - symbol.
  const children: number[] = [0, 0];
  for (const symbol of order) {
    let node = 0;
    for (let bit = lengths[symbol]! - 1; bit >= 0; bit--) {
      const slot = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (bit === 0) children[slot] = -1 - symbol;
      else if (children[slot] === 0) {
        node = children.length / 2;
        children[slot] = node;
        children.push(0, 0);
      } else node = children[slot]!;
    }
  }

  const nodes = children.length / 2;
  const ends = new Uint8Array(nodes);
  for (let node = 0, ones = 0; ones <= 7; node = children[node * 2 + 1]!, ones++) ends[node] = 1;

  const table = new Int32Array(nodes * 16);
  for (let start = 0; start < nodes; start++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = start;
      let emitted = 0;
      for (let bit = 3; bit >= 0 && node !== FAILS; bit--) {
        const next = children[node * 2 + ((nibble >>> bit) & 1)]!;
        if (next === -1 - EOS) node = FAILS;
        else if (next < 0) {
          emitted = EMITS | (-1 - next);
          node = 0;
        } else node = next;
      }
      table[start * 16 + nibble] = node === FAILS ? FAILS : (node << NODE_SHIFT) | emitted;
    }
  }
  return { transitions: table, accepting: ends };
}

/** Octets that `text` takes when Huffman-coded. Characters are octets (0…255). */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += lengths[text.charCodeAt(at)]!;
  return (bits + 7) >>> 3;
}

/** Writes `text` Huffman-coded at `at` and returns the position after it. The caller made room for `huffmanLength(text)` octets. */
export function huffmanEncode(text: string, target: Uint8Array, at: number): number {
  let position = at;
  let held = 0;
  let heldBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let rest = lengths[symbol]!;
    const code = codes[symbol]!;
    // At most 16 bits at a time, so that seven held bits and the new ones stay within 32.
    while (rest > 0) {
      const take = Math.min(rest, 16);
      rest -= take;
      held = (held << take) | ((code >>> rest) & ((1 << take) - 1));
      heldBits += take;
      while (heldBits >= 8) {
        heldBits -= 8;
        target[position++] = held >>> heldBits;
      }
      held &= (1 << heldBits) - 1;
    }
  }
  if (heldBits > 0) target[position++] = (held << (8 - heldBits)) | (0xff >>> heldBits);
  return position;
}

/**
 * Decodes `source[start, end)` into `target` and returns the number of octets written, or -1 when the code is invalid
 * (EOS inside, padding longer than seven bits or not all ones) or `target` is too small.
 */
export function huffmanDecode(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let node = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const octet = source[at]!;
    let step = transitions[node * 16 + (octet >>> 4)]!;
    if (step === FAILS) return -1;
    if ((step & EMITS) !== 0) {
      if (written === target.length) return -1;
      target[written++] = step & SYMBOL_MASK;
    }
    step = transitions[(step >>> NODE_SHIFT) * 16 + (octet & 15)]!;
    if (step === FAILS) return -1;
    if ((step & EMITS) !== 0) {
      if (written === target.length) return -1;
      target[written++] = step & SYMBOL_MASK;
    }
    node = step >>> NODE_SHIFT;
  }
  return accepting[node] === 1 ? written : -1;
}
