import { expect, test } from 'bun:test';
import { cpuBetween, memoryOf, processTree, readCpu } from './shell.ts';

const reading = (threads: Readonly<Record<string, number>>, ticks: number) => ({ threads: new Map(Object.entries(threads)), ticks });

test('processor time is that of the threads there are, to the microsecond', () => {
  expect(cpuBetween(reading({ a: 100, b: 50 }, 0), reading({ a: 1100, b: 51, c: 9 }, 20_000))).toBe(1010);
});

test('a thread that has ended takes nothing away, and what only the ticks know counts', () => {
  expect(cpuBetween(reading({ a: 100, gone: 90_000 }, 90_000), reading({ a: 600 }, 90_000))).toBe(500);
  expect(cpuBetween(reading({ a: 100, gone: 90_000 }, 90_000), reading({ a: 600 }, 290_000))).toBe(190_000);
});

test('a process that works in another is counted with it', async () => {
  const child = Bun.spawn(['sh', '-c', 'sleep 30 & wait']);
  while (processTree(child.pid).length < 2) await Bun.sleep(10);
  expect(memoryOf(processTree(child.pid)).wholeKib).toBeGreaterThan(memoryOf([child.pid]).privateKib);
  for (const pid of [...processTree(child.pid)].reverse()) process.kill(pid, 'SIGKILL');
  await child.exited;
  expect(readCpu(child.pid)).toEqual({ threads: new Map(), ticks: 0 });
});

test('a process that spins is seen to', () => {
  const before = readCpu(process.pid);
  const end = performance.now() + 30;
  while (performance.now() < end);
  expect(cpuBetween(before, readCpu(process.pid))).toBeGreaterThan(0);
});
