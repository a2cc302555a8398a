import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { type DaemonPod, daemonPlan } from './daemon-rollout.ts';

const pod = (name: string, change: Partial<DaemonPod> = {}) => ({ name, current: false, available: true, leaving: false, ...change });
const plan = (nodes: Record<string, ReturnType<typeof pod>[]>, maxSurge: number, maxUnavailable: number) => {
  const { create, remove } = daemonPlan(
    Object.entries(nodes).map(([name, pods]) => ({ name, pods })),
    { maxSurge, maxUnavailable },
  );
  return { create, remove: remove.map(({ name }) => name) };
};

test('with a surge the new pod starts beside the old one, on as many nodes as the surge allows', () => {
  expect(plan({ a: [pod('a1')], b: [pod('b1')] }, 1, 0)).toEqual({ create: ['a'], remove: [] });
  expect(plan({ a: [pod('a1')], b: [pod('b1')] }, 2, 0)).toEqual({ create: ['a', 'b'], remove: [] });
});

test('with a surge the old pod goes when the new one is available, not before', () => {
  expect(plan({ a: [pod('a1'), pod('a2', { current: true, available: false })], b: [pod('b1')] }, 1, 0)).toEqual({
    create: [],
    remove: [],
  });
  expect(plan({ a: [pod('a1'), pod('a2', { current: true })], b: [pod('b1')] }, 1, 0)).toEqual({ create: ['b'], remove: ['a1'] });
});

test('with a surge a node whose only pod leaves gets another at once', () => {
  expect(plan({ a: [pod('a1', { current: true, leaving: true })] }, 1, 0)).toEqual({ create: ['a'], remove: [] });
});

test('without a surge the old pod goes first, and the new one starts when it is gone', () => {
  expect(plan({ a: [pod('a1')], b: [pod('b1')] }, 0, 1)).toEqual({ create: [], remove: ['a1'] });
  expect(plan({ a: [pod('a1', { leaving: true })], b: [pod('b1')] }, 0, 1)).toEqual({ create: [], remove: [] });
  expect(plan({ a: [], b: [pod('b1')] }, 0, 1)).toEqual({ create: ['a'], remove: [] });
});

test('old pods that serve nobody are replaced without waiting', () => {
  const sick = { a: [pod('a1', { available: false })], b: [pod('b1', { available: false })] };
  expect(plan(sick, 0, 1)).toEqual({ create: [], remove: ['a1', 'b1'] });
  expect(plan(sick, 1, 0)).toEqual({ create: ['a', 'b'], remove: [] });
});

test('on delete, old pods stay and missing ones are made', () => {
  expect(
    daemonPlan(
      [
        { name: 'a', pods: [pod('a1')] },
        { name: 'b', pods: [] },
      ],
      undefined,
    ),
  ).toEqual({ create: ['b'], remove: [] });
});

test('a rollout ends with one new pod on every node and keeps to its limits on the way', () => {
  const cases = fc.record({
    count: fc.integer({ min: 1, max: 8 }),
    maxSurge: fc.integer({ min: 0, max: 3 }),
    maxUnavailable: fc.integer({ min: 0, max: 3 }),
    // which of the pods on their way become available, and which of the leaving ones are gone, in each turn
    luck: fc.infiniteStream(fc.boolean()),
  });
  fc.assert(
    fc.property(cases, ({ count, maxSurge, maxUnavailable, luck }) => {
      const allowed = maxSurge === 0 ? Math.max(1, maxUnavailable) : 0;
      let nodes = Array.from({ length: count }, (_, index) => ({ name: `n${index}`, pods: [pod(`old${index}`)] }));
      for (let turn = 0; turn < 400; turn++) {
        const { create, remove } = daemonPlan(nodes, { maxSurge, maxUnavailable });
        nodes = nodes.map(({ name, pods }) => {
          const kept = pods.map((each) => (remove.includes(each) ? { ...each, leaving: true } : each));
          return { name, pods: create.includes(name) ? [...kept, pod(`new${name}`, { current: true, available: false })] : kept };
        });
        const active = nodes.map(({ pods }) => pods.filter(({ leaving }) => !leaving));
        if (active.filter((pods) => pods.length > 1).length > maxSurge) return false;
        if (active.filter((pods) => !pods.some(({ available }) => available)).length > allowed) return false;
        if (nodes.every(({ pods }) => pods.length === 1 && pods[0]!.current && pods[0]!.available)) return true;
        nodes = nodes.map(({ name, pods }) => ({
          name,
          pods: pods
            .filter(({ leaving }) => !leaving || turn % 7 !== 0)
            .map((each) => (luck.next().value === true ? { ...each, available: !each.leaving } : each)),
        }));
      }
      return false;
    }),
  );
});
