/** The corpus again, on every run of the tests: what once did something new still does nothing wrong. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { check } from './check.ts';
import { readCorpus } from './corpus.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { signature, type Target } from './target.ts';
import { targets } from './targets.ts';

const runs = { numRuns: 150, seed: 1 };

describe.each(targets.map((target) => [target.name, target] as const))('%s', (_, target) => {
  test('withstands its corpus, and says the same of any split where it reads a stream', () => {
    const inputs = [...target.seeds(), ...readCorpus(target)];
    expect(inputs.length).toBeGreaterThan(0);
    const random = new Random(1);
    for (const bytes of inputs) expect(check(target, bytes, random)).toMatchObject({ ok: true });
  });

  test('takes arbitrary octets, and damaged inputs, as events and not as exceptions', () => {
    const inputs = [...target.seeds(), ...readCorpus(target)];
    const words = target.words.map((word) => Buffer.from(word, 'latin1'));
    const damaged = fc
      .tuple(fc.constantFrom(...inputs), fc.constantFrom(...inputs), fc.integer())
      .map(([bytes, other, seed]) => mutate(bytes, other, words, new Random(seed)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), damaged), fc.integer(), (bytes, seed) => {
        expect(check(target, bytes, new Random(seed))).toMatchObject({ ok: true });
      }),
      runs,
    );
  });
});

test('a decoder that throws, or depends on the split, is found', () => {
  const bad = (run: Target['run']): Target => ({ name: 'bad', about: '', isStream: true, words: [], seeds: () => [], run });
  const input = Uint8Array.of(1, 2, 3);
  const thrown = bad(() => {
    throw new RangeError('out of bounds');
  });
  expect(check(thrown, input, new Random(1))).toMatchObject({ ok: false, problem: expect.stringContaining('out of bounds') });
  expect(
    check(
      bad((_bytes, cuts) => [`${cuts.length}`]),
      input,
      new Random(1),
    ),
  ).toMatchObject({ ok: false, problem: expect.stringContaining('says otherwise') });
  expect(
    check(
      bad(() => ['same']),
      input,
      new Random(1),
    ),
  ).toEqual({ ok: true, signature: 'same' });
});

test('mutations of one seed are the same each time, and not longer than allowed', () => {
  const make = (): string[] => {
    const random = new Random(7);
    return Array.from({ length: 200 }, () =>
      Buffer.from(mutate(Buffer.from('hello world'), Buffer.from('other'), [Buffer.from('word')], random)).toString('hex'),
    );
  };
  expect(make()).toEqual(make());
  expect(new Set(make()).size).toBeGreaterThan(100);
});

test('a signature forgets particulars and counts by powers of two', () => {
  expect(signature(['data 1 ff', 'data 3 00'])).toBe(signature(['data 5 11', 'data 7 22']));
  expect(signature(['a', 'a', 'a'])).not.toBe(signature(['a']));
  expect(signature(['close bad-preface'])).not.toBe(signature(['close frame-size']));
});
