import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { XdsHandler, XdsResource } from '../../core/xds-client.ts';
import { ResourceStore, type Update } from './resource-store.ts';

/** Applies like a registry: keeps what it accepts, refuses values of one octet. */
function holder(): { readonly held: Map<string, number>; readonly handler: XdsHandler } {
  const held = new Map<string, number>();
  const handler: XdsHandler = {
    typeUrl: 't',
    apply: (resources, removed) => {
      for (const name of removed) held.delete(name);
      const bad = resources.filter(({ value }) => value.length === 1);
      for (const { name, value } of resources) if (value.length !== 1) held.set(name, value.length);
      return bad.map(({ name }) => ({ name, reason: 'one octet' }));
    },
  };
  return { held, handler };
}

const resource = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  value: fc.constantFrom(0, 1, 2, 400_000, 900_000).map((size) => new Uint8Array(size)),
});
const response = fc.record({
  resources: fc.uniqueArray(resource, { selector: ({ name }) => name }),
  removed: fc.subarray(['a', 'b', 'c', 'd', 'e']),
});

test('a worker from the start and one that came late hold what the supervisor holds', () => {
  fc.assert(
    fc.property(fc.array(response, { maxLength: 8 }), (responses) => {
      const own = holder();
      const early = holder();
      const late = holder();
      const take = (to: XdsHandler, { resources, removed }: Update) => expect(to.apply(resources, removed)).toEqual([]);
      const store = new ResourceStore(
        (update) => take(early.handler, update),
        () => Promise.resolve(),
      );
      const tapped = store.tap(own.handler);
      for (const { resources, removed } of responses) tapped.apply(resources, removed);
      for (const update of store.snapshot()) take(late.handler, update);
      expect(early.held).toEqual(own.held);
      expect(late.held).toEqual(own.held);
    }),
    { numRuns: 50 },
  );
});

test('what a handler refuses is reported to the control plane and not handed on', () => {
  const updates: Update[] = [];
  const store = new ResourceStore(
    (update) => updates.push(update),
    () => Promise.resolve(),
  );
  const rejections = store.tap(holder().handler).apply(
    [
      { name: 'good', value: new Uint8Array(2) },
      { name: 'bad', value: new Uint8Array(1) },
    ],
    [],
  );
  expect(store.tap({ ...holder().handler, isOwn: true }).isOwn).toBe(true);
  expect(rejections).toEqual([{ name: 'bad', reason: 'one octet' }]);
  expect(updates.map(({ resources }) => resources.map(({ name }) => name))).toEqual([['good']]);
});

test('a resource is handed on without the rest of the message it came in', () => {
  const updates: Update[] = [];
  const store = new ResourceStore(
    (update) => updates.push(update),
    () => Promise.resolve(),
  );
  const message = new Uint8Array(1_000_000);
  const window: XdsResource = { name: 'a', value: message.subarray(10, 20) };
  store.tap(holder().handler).apply([window], []);
  expect(updates[0]!.resources[0]!.value.buffer.byteLength).toBe(10);
});
