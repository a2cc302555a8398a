import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { expose } from './exposition.ts';
import { Registry } from './metrics.ts';
import { addSnapshot, takeSnapshot } from './snapshot.ts';

const BOUNDS = [0.5, 1, 5];

/** One thing that happens, somewhere. */
const event = fc.record({
  kind: fc.constantFrom('counter' as const, 'gauge' as const, 'histogram' as const),
  labels: fc.record({ a: fc.constantFrom('x', 'y', '', '"\\\n'), b: fc.option(fc.constantFrom('1', '2'), { nil: undefined }) }),
  // Whole numbers of eighths add up exactly in any order.
  amount: fc.integer({ min: 0, max: 80 }).map((n) => n / 8),
});
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

function observe(registry: Registry, { kind, labels, amount }: Event): void {
  if (kind === 'counter') registry.counter('c_total', 'C.', ['a', 'b']).labels(labels).inc(amount);
  else if (kind === 'gauge') registry.gauge('g', 'G.', ['a', 'b']).labels(labels).inc(amount);
  else registry.histogram('h', 'H.', BOUNDS, ['a', 'b']).labels(labels).observe(amount);
}

/** A scrape, whatever the order in which things were first seen. */
const exposed = (registry: Registry) => expose(registry, 'openmetrics').split('\n').sort();

test('what several processes saw adds up to what one would have seen', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.nat(3)), { maxLength: 60 }), (events) => {
      const whole = new Registry();
      const parts = [new Registry(), new Registry(), new Registry(), new Registry()];
      for (const [one, where] of events) {
        observe(whole, one);
        observe(parts[where]!, one);
      }
      const merged = new Registry();
      // Snapshots travel between processes as structured clones.
      for (const part of parts) addSnapshot(merged, structuredClone(takeSnapshot(part)));
      expect(exposed(merged)).toEqual(exposed(whole));
    }),
  );
});

test('a snapshot stays as it was when counting goes on', () => {
  const registry = new Registry();
  for (const kind of ['counter', 'gauge', 'histogram'] as const) observe(registry, { kind, labels: { a: 'x', b: undefined }, amount: 1 });
  const snapshot = takeSnapshot(registry);
  const before = structuredClone(snapshot);
  for (const kind of ['counter', 'gauge', 'histogram'] as const) observe(registry, { kind, labels: { a: 'x', b: undefined }, amount: 2 });
  expect(snapshot).toEqual(before);
});

test('the gauges of a process that has ended are left out, its counters and histograms stay', () => {
  const ended = new Registry();
  for (const kind of ['counter', 'gauge', 'histogram'] as const) observe(ended, { kind, labels: { a: 'x', b: '1' }, amount: 3 });
  const kept = new Registry();
  addSnapshot(kept, takeSnapshot(ended), false);
  const text = expose(kept, 'text');
  expect(text).toContain('c_total{a="x",b="1"} 3');
  expect(text).toContain('h_sum{a="x",b="1"} 3');
  expect(text).not.toContain('g{');
});

test('collectors run for a snapshot, too', () => {
  const registry = new Registry();
  const gauge = registry.gauge('open', 'Open.');
  registry.onCollect(() => gauge.set(7));
  expect(takeSnapshot(registry).find(({ name }) => name === 'open')!.series).toEqual([{ values: [], value: 7 }]);
});

test('refuses to add histograms with other buckets', () => {
  const one = new Registry();
  one.histogram('h', 'H.', [1, 2]).observe(1);
  const other = new Registry();
  other.histogram('h', 'H.', [1, 3]).observe(1);
  expect(() => addSnapshot(other, takeSnapshot(one))).toThrow('metric h has different buckets');
});
