import { expect, test } from 'bun:test';
import { Schedule } from './schedule.ts';

test('a late caller gets every request it missed, with the times they should have started', () => {
  const schedule = new Schedule(10, 1_000);
  expect(schedule.takeDue(1_050)).toEqual([]);
  expect(schedule.takeDue(1_450)).toEqual([1_100, 1_200, 1_300, 1_400]);
  expect(schedule.msUntilNext(1_450)).toBe(50);
});

test('the times do not drift with the caller', () => {
  const schedule = new Schedule(100, 0);
  const all: number[] = [];
  for (let now = 0; now <= 1_000; now += 7) all.push(...schedule.takeDue(now));
  expect(all.length).toBe(99);
  expect(all.at(-1)).toBe(990);
});

test('a rate of zero pauses, and a new rate starts from now', () => {
  const schedule = new Schedule(10, 0);
  schedule.setRate(0, 100);
  expect(schedule.msUntilNext(100)).toBe(Number.POSITIVE_INFINITY);
  expect(schedule.takeDue(10_000)).toEqual([]);
  schedule.setRate(1, 10_000);
  expect(schedule.takeDue(11_500)).toEqual([11_000]);
});
