/** Damage to an input: what networks, bugs and attackers do to bytes. */
import type { Random } from './random.ts';

export const MAX_INPUT_BYTES = 16_384;
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0d, 0x20, 0x2c, 0x3a, 0x3d] as const;
const INTERESTING_16 = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff] as const;

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array, words: readonly Uint8Array[]) => Uint8Array;

const span = (bytes: Uint8Array, random: Random): readonly [from: number, to: number] => {
  const from = random.below(bytes.length + 1);
  return [from, Math.min(bytes.length, from + 1 + random.below(1 + (bytes.length >> random.below(6))))];
};

const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  if (copy.length > 0) change(copy);
  return copy;
};

/** Another value for one octet. */
const octet = (bytes: Uint8Array, random: Random, next: (value: number) => number): Uint8Array =>
  changed(bytes, (copy) => {
    const at = random.below(copy.length);
    copy[at] = next(copy[at]!);
  });

const mutations: readonly Mutation[] = [
  (bytes, random) => octet(bytes, random, (value) => value ^ (1 << random.below(8))),
  (bytes, random) => octet(bytes, random, () => random.one(INTERESTING)),
  (bytes, random) => octet(bytes, random, (value) => value + random.below(35) - 17),
  // A length that says something else.
  (bytes, random) =>
    changed(bytes, (copy) => {
      const at = random.below(copy.length);
      const value = random.one(INTERESTING_16);
      copy[at] = value >> 8;
      if (at + 1 < copy.length) copy[at + 1] = value & 0xff;
    }),
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, random) => {
    const [from, to] = span(bytes, random);
    return concat(bytes.subarray(0, from), bytes.subarray(to));
  },
  (bytes, random) => {
    const [from, to] = span(bytes, random);
    const times = 1 + random.below(random.below(8) === 0 ? 64 : 3);
    return concat(bytes.subarray(0, to), ...Array.from({ length: times }, () => bytes.subarray(from, to)), bytes.subarray(to));
  },
  (bytes, random, other) => {
    const [from, to] = span(other, random);
    const at = random.below(bytes.length + 1);
    return concat(bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at));
  },
  (bytes, random, other) => concat(bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))),
  (bytes, random, _other, words) => {
    if (words.length === 0) return bytes;
    const at = random.below(bytes.length + 1);
    return concat(bytes.subarray(0, at), random.one(words), bytes.subarray(random.below(2) === 0 ? at : Math.min(bytes.length, at + 4)));
  },
];

/** One to eight mutations of `bytes`; pieces come from `other` and the target's words. */
export function mutate(bytes: Uint8Array, other: Uint8Array, words: readonly Uint8Array[], random: Random): Uint8Array {
  let result = bytes;
  for (let left = 1 << random.below(4); left > 0; left--) result = random.one(mutations)(result, random, other, words);
  return result.length > MAX_INPUT_BYTES ? result.subarray(0, MAX_INPUT_BYTES) : result;
}
