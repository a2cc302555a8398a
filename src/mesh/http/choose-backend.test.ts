import { describe, expect, test } from 'bun:test';
import { seeded } from '../test-fixtures.ts';
import { chooseBackend, isMirrored } from './choose-backend.ts';

const backend = (name: string, weight: number) => ({ name, weight });
const expectShare = (count: number, total: number, share: number) =>
  expect(Math.abs(count - total * share)).toBeLessThan(4.5 * Math.sqrt(total * share * (1 - share)));

describe('backends', () => {
  test('are taken as often as their weights say', () => {
    const random = seeded(7);
    const backends = [backend('a', 80), backend('none', 0), backend('b', 15), backend('c', 5)];
    const counts = new Map<string, number>();
    for (let i = 0; i < 100_000; i++) {
      const { name } = chooseBackend(backends, random)!;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const { name, weight } of backends.filter(({ weight }) => weight > 0)) expectShare(counts.get(name)!, 100_000, weight / 100);
    expect(counts.has('none')).toBe(false);
  });

  test('of weight 0 only are none', () => {
    expect(chooseBackend([], () => 0)).toBeUndefined();
    expect(chooseBackend([backend('a', 0)], () => 0)).toBeUndefined();
    expect(chooseBackend([backend('a', 0), backend('b', 0)], () => 0)).toBeUndefined();
  });

  test('the edges of chance fall on the first and the last with a weight', () => {
    const backends = [backend('a', 0), backend('b', 1), backend('c', 1), backend('d', 0)];
    expect(chooseBackend(backends, () => 0)?.name).toBe('b');
    expect(chooseBackend(backends, () => 1 - Number.EPSILON / 2)?.name).toBe('c');
  });
});

describe('mirrors', () => {
  const mirror = { backend: { service: 'a/b', port: 80 }, numerator: 1, denominator: 10 };
  test('take their fraction', () => {
    const random = seeded(3);
    let count = 0;
    for (let i = 0; i < 50_000; i++) if (isMirrored(mirror, random)) count++;
    expectShare(count, 50_000, 0.1);
  });
  test('all, nothing, or nothing because they are invalid', () => {
    expect(isMirrored({ ...mirror, numerator: 10 }, () => 0.999)).toBe(true);
    expect(isMirrored({ ...mirror, numerator: 0 }, () => 0)).toBe(false);
    expect(isMirrored({ ...mirror, invalid: 'no such service' }, () => 0)).toBe(false);
  });
});
