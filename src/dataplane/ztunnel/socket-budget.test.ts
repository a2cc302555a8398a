import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type PodSockets, SocketBudget } from './socket-budget.ts';

const LIMIT = 700;

/** Opens as many as it may. */
function fill(pod: PodSockets): number {
  let opened = 0;
  for (; pod.refusal === undefined; opened++) pod.opened();
  return opened;
}

test('a pod without others has everything', () => {
  const pod = new SocketBudget(LIMIT).add();
  expect(fill(pod)).toBe(LIMIT);
  expect(pod.refusal?.message).toContain(`${LIMIT} sockets of all pods, limit ${LIMIT}`);
  pod.closed();
  expect(fill(pod)).toBe(1);
});

test('a greedy pod stops at three quarters while others are served, and goes on when they have left', () => {
  const budget = new SocketBudget(LIMIT);
  const greedy = budget.add();
  const other = budget.add();
  expect(fill(greedy)).toBe((LIMIT * 3) / 4);
  expect(greedy.refusal?.reason).toBe('too-many-connections');
  expect(other.refusal).toBeUndefined();
  other.remove();
  other.remove();
  expect(fill(greedy)).toBe(LIMIT / 4);
});

test('two greedy pods get three sevenths each, in whatever order', () => {
  const budget = new SocketBudget(LIMIT);
  const pods = [budget.add(), budget.add(), budget.add()];
  const open = [0, 0, 0];
  for (let turn = 0; turn < 4 * LIMIT; turn++) {
    const i = turn % 2;
    if (pods[i]!.refusal !== undefined) continue;
    pods[i]!.opened();
    open[i]!++;
  }
  expect(open).toEqual([300, 300, 0]);
});

test('three that are greedy one after the other leave something for those that have nothing, and the limit holds', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 5000 }),
      fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 30 }),
      (limit, order) => {
        const budget = new SocketBudget(limit);
        const pods = Array.from({ length: 4 }, () => budget.add());
        for (const i of order) fill(pods[i]!);
        expect(budget.open).toBeLessThan(limit);
        expect(pods[3]!.refusal).toBeUndefined();
      },
    ),
  );
});
