import { expect, test } from 'bun:test';
import { judgeSplit } from './split.ts';

const CANARY = { v1: 0.8, v2: 0.2 };

test('a draw near its shares is within the limit, and says by how much it is off', () => {
  // 400 requests: 80 expected for v2, one standard deviation is 8.
  expect(judgeSplit({ v1: 304, v2: 96 }, CANARY)).toMatchObject({ requests: 400, deviation_sigma: 2, within_limit: true });
});

test('4.5 standard deviations are the limit', () => {
  expect(judgeSplit({ v1: 284, v2: 116 }, CANARY)).toMatchObject({ deviation_sigma: 4.5, within_limit: true });
  expect(judgeSplit({ v1: 283, v2: 117 }, CANARY).within_limit).toBe(false);
  expect(judgeSplit({ v1: 200, v2: 200 }, CANARY).within_limit).toBe(false);
});

test('a version that must have everything, or nothing, is held to it exactly', () => {
  expect(judgeSplit({ v2: 50 }, { v2: 1 })).toMatchObject({ deviation_sigma: 0, within_limit: true });
  expect(judgeSplit({ v1: 1, v2: 999 }, { v2: 1 })).toMatchObject({ deviation_sigma: null, within_limit: false });
  expect(judgeSplit({ v1: 80, v2: 20, v3: 1 }, CANARY).within_limit).toBe(false);
});

test('no request at all proves nothing', () => {
  expect(judgeSplit({}, CANARY).within_limit).toBe(false);
});
