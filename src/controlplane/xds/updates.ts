import type { NewResource } from './store.ts';

export type Updates = ReadonlyMap<string, NewResource | undefined>;

/** What is put, and what is removed. */
export function split(updates: Updates): readonly [Updates, Updates] {
  const added = new Map<string, NewResource | undefined>();
  const removed = new Map<string, NewResource | undefined>();
  for (const [name, resource] of updates) (resource === undefined ? removed : added).set(name, resource);
  return [added, removed];
}
/** The same for each scope. */
export function splitScopes(scopes: ReadonlyMap<string, Updates>): readonly [ReadonlyMap<string, Updates>, ReadonlyMap<string, Updates>] {
  const both = [...scopes].map(([scope, updates]) => [scope, split(updates)] as const);
  return [new Map(both.map(([scope, [added]]) => [scope, added])), new Map(both.map(([scope, [, removed]]) => [scope, removed]))];
}
