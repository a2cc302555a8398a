import { expect, test } from 'bun:test';
import { BALLAST_BYTES, HeapBallast } from './heap-ballast.ts';

/** Reads at a rate for some seconds, in reads of 64 KiB. */
function readFor(ballast: HeapBallast, clock: { now: number }, seconds: number, mibPerSecond: number): void {
  const reads = mibPerSecond * 16;
  for (let second = 0; second < seconds; second++) {
    for (let i = 0; i < reads; i++) {
      clock.now += 1000 / reads;
      ballast.read(64 * 1024);
    }
    if (reads === 0) clock.now += 1000;
    if (ballast.isHeld) ballast.second();
  }
}

test('is held from the first second of a bulk transfer on, and not at the rate of everyday traffic', () => {
  const clock = { now: 1_000_000 };
  const ballast = new HeapBallast(() => clock.now);
  readFor(ballast, clock, 60, 20);
  expect(ballast.isHeld).toBe(false);
  readFor(ballast, clock, 1, 100);
  expect(ballast.isHeld).toBe(true);
});

test('goes after some calm seconds, not in a short pause, and comes back', () => {
  const clock = { now: 1_000_000 };
  const ballast = new HeapBallast(() => clock.now);
  readFor(ballast, clock, 2, 200);
  readFor(ballast, clock, 2, 0);
  readFor(ballast, clock, 1, 200);
  readFor(ballast, clock, 2, 1);
  expect(ballast.isHeld).toBe(true);
  readFor(ballast, clock, 1, 1);
  expect(ballast.isHeld).toBe(false);
  readFor(ballast, clock, 1, 200);
  expect(ballast.isHeld).toBe(true);
});

test('takes address space and no memory', () => {
  const rss = () => process.memoryUsage.rss();
  const before = rss();
  const held = Array.from({ length: 8 }, () => {
    const clock = { now: 1_000_000 };
    const ballast = new HeapBallast(() => clock.now);
    readFor(ballast, clock, 1, 100);
    return ballast;
  });
  expect(held.every(({ isHeld }) => isHeld)).toBe(true);
  expect(rss() - before).toBeLessThan(BALLAST_BYTES * 2);
  for (const ballast of held) for (let second = 0; second < 4; second++) ballast.second();
});
