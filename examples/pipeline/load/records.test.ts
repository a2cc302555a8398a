import { expect, test } from 'bun:test';
import { percentile, Records } from './records.ts';

const name = (code: number) => `code-${code}`;

test('percentiles are values that were measured, by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile(hundred, 0.99)).toBe(99);
  expect(percentile(hundred, 1)).toBe(100);
  expect(percentile([7], 0.5)).toBe(7);
  expect(percentile([], 0.5)).toBeNull();
});

test('a window counts by intended start, its end excluded', () => {
  const records = new Records(10, name);
  for (const at of [100, 200, 300]) records.end(records.begin(at), at / 10, 0, 'v1', at !== 200);
  expect(records.report(100, 300)).toMatchObject({ requests: 2, errors: 0, p50_ms: 10, p99_ms: 20, correct: 1, perVersion: { v1: 2 } });
});

test('errors are counted by code, with the first one and the last success', () => {
  const records = new Records(10, name);
  records.end(records.begin(1), 5, 0, 'v2', true);
  records.end(records.begin(3), 5, 14, '', false);
  records.end(records.begin(2), 50, 14, '', false);
  expect(records.report(0, 10)).toMatchObject({
    errors: 2,
    errorsByCode: { 'code-14': 2 },
    firstErrorAt: 2,
    firstErrorSeenAt: 8,
    lastSuccessAt: 1,
  });
});

test('an unanswered request is pending, neither answered nor failed', () => {
  const records = new Records(10, name);
  records.begin(1);
  expect(records.report(0, 10)).toMatchObject({ requests: 1, pending: 1, errors: 0, p50_ms: null });
});

test('the oldest records make room, a late answer to one of them is ignored, and the report says it is incomplete', () => {
  const records = new Records(3, name);
  const first = records.begin(1);
  for (const at of [2, 3, 4]) records.end(records.begin(at), at, 0, 'v1', true);
  records.end(first, 99, 14, '', false);
  expect(records.report(0, 10)).toMatchObject({ requests: 3, errors: 0, complete: false });
  expect(records.report(2, 10)).toMatchObject({ requests: 3, complete: true });
});
