import { expect, test } from 'bun:test';
import { floor, growth, type Point, slope } from './trend.ts';

const series = (count: number, value: (at: number) => number): Point[] =>
  Array.from({ length: count }, (_, at) => ({ at, value: value(at) }));

test('the trend of a line is its slope, however many points it has', () => {
  expect(slope(series(10, (at) => 5 + 3 * at))).toBeCloseTo(3);
  expect(growth(series(5000, (at) => 100 - 0.5 * at))).toBeCloseTo(-0.5 * 4999);
});

test('a sawtooth is flat, and a rising one is not', () => {
  expect(Math.abs(growth(series(600, (at) => 40 + (at % 37))))).toBeLessThan(3);
  expect(growth(series(600, (at) => 40 + (at % 37) + at / 100))).toBeGreaterThan(4);
});

test('a single peak, as of a large transfer, is no trend', () => {
  expect(growth(series(100, (at) => (at > 40 && at < 60 ? 500 : 20)))).toBe(0);
});

test('too few samples give no number rather than a good one', () => {
  expect(growth([{ at: 1, value: 1 }])).toBeNaN();
  expect(slope([])).toBeNaN();
});

test('the floor of a series is what is left when its peaks are taken away', () => {
  const noisy = series(300, (at) => 40 + at / 100 + (at % 10 === 3 ? 0 : 25 * Math.abs(Math.sin(at))));
  expect(floor(noisy, 30)).toHaveLength(10);
  expect(growth(floor(noisy, 30))).toBeCloseTo(2.7, 1);
});
