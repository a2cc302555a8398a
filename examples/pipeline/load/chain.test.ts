import { expect, test } from 'bun:test';
import { runChains } from './chain.ts';

test('a chain makes its calls one after another, and a failed one does not end it', async () => {
  let open = 0;
  const seen: number[] = [];
  const report = await runChains(3, 2, async (index) => {
    expect(++open).toBe(1);
    await Promise.resolve();
    seen.push(index);
    open--;
    if (index === 1) throw new Error('refused');
  });
  expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
  expect(report).toMatchObject({ calls: 3, chains: 2, errors: 1 });
  expect(report.p90_ms).toBeGreaterThanOrEqual(report.p50_ms ?? Number.POSITIVE_INFINITY);
});
