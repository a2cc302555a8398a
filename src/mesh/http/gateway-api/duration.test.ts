import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseDuration } from './duration.ts';

test.each([
  ['0s', 0],
  ['10s', 10_000],
  ['500ms', 500],
  ['1h30m', 5_400_000],
  ['1m1ms', 60_001],
  ['99999h', 359_996_400_000],
  ['1s1s', 2_000],
] as const)('%s is %d ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(['', '1', 's', '1.5s', '-1s', '100000s', '1us', '1h1m1s1ms1s', ' 1s', '1 s'])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test('parts add up', () => {
  const part = fc.tuple(
    fc.nat(99_999),
    fc.constantFrom(['h', 3_600_000], ['m', 60_000], ['s', 1_000], ['ms', 1]) as fc.Arbitrary<[string, number]>,
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const text = parts.map(([count, [unit]]) => `${count}${unit}`).join('');
      expect(parseDuration(text)).toBe(parts.reduce((sum, [count, [, factor]]) => sum + count * factor, 0));
    }),
  );
});
