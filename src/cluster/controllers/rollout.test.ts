import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { rolloutStep } from './rollout.ts';

test('begins with the surge and takes nothing away that is needed', () => {
  expect(
    rolloutStep({
      replicas: 4,
      maxSurge: 1,
      maxUnavailable: 0,
      current: { desired: 0, available: 0 },
      old: [{ desired: 4, available: 4 }],
    }),
  ).toEqual({ current: 1, old: [4] });
});

test('takes old pods away as new ones become available', () => {
  expect(
    rolloutStep({
      replicas: 4,
      maxSurge: 1,
      maxUnavailable: 0,
      current: { desired: 1, available: 1 },
      old: [{ desired: 4, available: 4 }],
    }),
  ).toEqual({ current: 1, old: [3] });
  expect(
    rolloutStep({
      replicas: 4,
      maxSurge: 1,
      maxUnavailable: 0,
      current: { desired: 1, available: 1 },
      old: [{ desired: 3, available: 3 }],
    }),
  ).toEqual({ current: 2, old: [3] });
});

test('removes old pods that are not available first', () => {
  expect(
    rolloutStep({
      replicas: 2,
      maxSurge: 1,
      maxUnavailable: 0,
      current: { desired: 1, available: 0 },
      old: [
        { desired: 1, available: 1 },
        { desired: 1, available: 0 },
      ],
    }),
  ).toEqual({ current: 1, old: [1, 1] });
  expect(
    rolloutStep({
      replicas: 2,
      maxSurge: 1,
      maxUnavailable: 1,
      current: { desired: 0, available: 0 },
      old: [
        { desired: 1, available: 1 },
        { desired: 1, available: 0 },
      ],
    }),
  ).toEqual({ current: 1, old: [1, 0] });
});

test('scales down to fewer replicas', () => {
  expect(rolloutStep({ replicas: 1, maxSurge: 1, maxUnavailable: 0, current: { desired: 3, available: 3 }, old: [] })).toEqual({
    current: 1,
    old: [],
  });
});

test('from any mixture it reaches the new version, never over the surge and never under what must be available', () => {
  const cases = fc.record({
    replicas: fc.integer({ min: 1, max: 12 }),
    maxSurge: fc.integer({ min: 0, max: 4 }),
    maxUnavailable: fc.integer({ min: 0, max: 4 }),
    sick: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(cases, ({ replicas, maxSurge, maxUnavailable, sick }) => {
      const allowed = maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable;
      let current = 0;
      let old = [replicas];
      let healthyOld = Math.max(0, replicas - sick);
      for (let turn = 0; turn < 100; turn++) {
        const before = healthyOld + current;
        const step = rolloutStep({
          replicas,
          maxSurge,
          maxUnavailable,
          current: { desired: current, available: current },
          old: [{ desired: old[0]!, available: healthyOld }],
        });
        const total = step.current + step.old[0]!;
        if (total > Math.max(replicas + maxSurge, current + old[0]!)) return false;
        healthyOld = Math.min(healthyOld, step.old[0]!);
        // What is available now (the new pods of this step are not yet) stays above the limit, unless it was not before.
        if (healthyOld + current < Math.min(before, replicas - allowed)) return false;
        current = step.current;
        old = [...step.old];
        if (current === replicas && old[0] === 0) return true;
      }
      return false;
    }),
  );
});
