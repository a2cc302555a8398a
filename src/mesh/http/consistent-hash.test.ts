import { describe, expect, test } from 'bun:test';
import type { EndpointState } from './endpoint-state.ts';
import { hashText } from './hash.ts';
import { HashRing } from './hash-ring.ts';
import { MaglevTable } from './maglev.ts';
import { states, tally } from './test-endpoints.ts';

const KEYS = Array.from({ length: 20_000 }, (_, i) => hashText(`user-${i}`));
const TABLES = [
  ['ring hash', (endpoints: readonly EndpointState[]) => new HashRing(endpoints, 1_024)],
  ['maglev', (endpoints: readonly EndpointState[]) => new MaglevTable(endpoints, 65_537)],
] as const;

describe.each(TABLES)('%s', (title, make) => {
  /** Standard deviation of a share, relative: what the number of points, or the table, allows. */
  const tolerance = title === 'maglev' ? 0.06 : 0.3;

  test('gives every endpoint about its share', () => {
    const table = make(states(10));
    const counts = tally(KEYS.length, (i) => table.pick(KEYS[i]!, undefined).workload.name);
    expect(Object.keys(counts)).toHaveLength(10);
    for (const count of Object.values(counts)) expect(Math.abs(count / KEYS.length - 0.1)).toBeLessThan(0.1 * tolerance);
  });

  test('gives endpoints shares by their weight', () => {
    const table = make(states(4, (i) => (i === 0 ? 5 : 1)));
    const counts = tally(KEYS.length, (i) => table.pick(KEYS[i]!, undefined).workload.name);
    expect(Math.abs(counts['pod-0']! / KEYS.length - 5 / 8)).toBeLessThan((5 / 8) * tolerance);
  });

  test('moves little but the requests of an endpoint that goes', () => {
    const all = states(10);
    const before = make(all);
    const after = make(all.filter((_, i) => i !== 3));
    let moved = 0;
    let orphaned = 0;
    for (const key of KEYS) {
      const old = before.pick(key, undefined);
      if (old === all[3]) orphaned++;
      else if (after.pick(key, undefined) !== old) moved++;
    }
    expect(orphaned).toBeGreaterThan(0);
    // The ring moves nothing else; Maglev trades a little disruption for its balance.
    expect(moved / KEYS.length).toBeLessThanOrEqual(title === 'maglev' ? 0.03 : 0);
  });

  test('takes for the same endpoints in another order the same choices', () => {
    const all = states(7);
    const table = make(all);
    const same = make([...all].reverse());
    const different = KEYS.slice(0, 2_000).filter((key) => table.pick(key, undefined) !== same.pick(key, undefined));
    expect(different.length).toBeLessThanOrEqual(title === 'maglev' ? 100 : 0);
  });

  test('goes around what is excluded, and spreads it', () => {
    const all = states(4);
    const table = make(all);
    const exclude = new Set([all[0]!]);
    const moved = KEYS.filter((key) => table.pick(key, undefined) === all[0]).map((key) => table.pick(key, exclude));
    expect(moved).not.toContain(all[0]!);
    expect(new Set(moved).size).toBe(3);
    expect(all).toContain(table.pick(KEYS[0]!, new Set(all)));
  });
});

test('a table of any size is made one of prime size', () => {
  const all = states(3);
  for (const size of [0, 1, 4, 100, 65_536]) {
    const table = new MaglevTable(all, size);
    expect(new Set(KEYS.slice(0, 500).map((key) => table.pick(key, undefined))).size).toBe(3);
  }
});
