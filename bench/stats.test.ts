import { expect, test } from 'bun:test';
import { chains, median, pairedRatio, quantiles, ratioText } from './stats.ts';

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

test('quantiles come in microseconds from unsorted tenths', () => {
  const tenths = Uint32Array.from({ length: 1000 }, (_, i) => (999 - i) * 10);
  expect(quantiles(tenths)).toEqual({ p50: 500, p90: 900, p99: 990, p999: 999 });
  expect(quantiles(Uint32Array.of())).toEqual({ p50: 0, p90: 0, p99: 0, p999: 0 });
});

test('a chain takes as long as its calls together, and an unfinished one is left out', () => {
  expect([...chains(Uint32Array.of(1, 2, 3, 10, 20, 30, 100), 3)]).toEqual([6, 60]);
  expect([...chains(Uint32Array.of(1, 2), 1)]).toEqual([1, 2]);
});
