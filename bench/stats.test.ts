import { expect, test } from 'bun:test';
import { median, pairedRatio, ratioText } from './stats.ts';

test('the median of an even number of values is the mean of the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
  expect(median([])).toBeNaN();
});

test('a constant ratio has an interval of no width, whatever the machine drifted by', () => {
  expect(pairedRatio([2, 4, 8, 6], [1, 2, 4, 3])).toEqual({ value: 2, low: 2, high: 2 });
});

test('noise widens the interval and the median stays inside it', () => {
  const ratio = pairedRatio([1.0, 1.4, 0.9, 1.2, 1.1], [1, 1, 1, 1, 1]);
  expect(ratio.low).toBeLessThan(ratio.value);
  expect(ratio.high).toBeGreaterThan(ratio.value);
});

test('blocks without a value do not become a ratio', () => {
  expect(ratioText(pairedRatio([Number.NaN], [1]))).toBe('–');
});
