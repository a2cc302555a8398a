import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storageFailure } from './errors.ts';
import { LIMITS } from './limits.ts';
import { Store } from './store.ts';

let directory: string;
let store: Store;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-store-'));
  store = new Store(directory);
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});
const object = (name: string, value = '') => ({ metadata: { name, namespace: 'n' }, value });

test('revisions grow by one with every change, deletions included', () => {
  const first = store.put('/things', 'n', 'a', object('a'));
  const second = store.put('/things', 'n', 'b', object('b'));
  const gone = store.remove('/things', first);
  expect([second.revision, gone.revision]).toEqual([first.revision + 1, first.revision + 2]);
  expect(gone.object.metadata.resourceVersion).toBe(String(gone.revision));
});

test('lists in the order of namespace and name, also after changes', () => {
  for (const name of ['c', 'a', 'b']) store.put('/things', 'n', name, object(name));
  expect(store.list('/things').map((entry) => entry.name)).toEqual(['a', 'b', 'c']);
  store.put('/things', 'n', 'b', object('b', 'new'));
  expect(store.list('/things').map((entry) => entry.object['value'])).toEqual(['', 'new', '']);
  store.put('/things', 'm', 'z', object('z'));
  expect(store.list('/things').map((entry) => entry.name)).toEqual(['z', 'a', 'b', 'c']);
  expect(store.list('/things', 'n')).toHaveLength(3);
});

test('a second opening finds the same objects, revision and history', () => {
  store.put('/things', 'n', 'a', object('a', '1'));
  store.put('/things', 'n', 'a', object('a', '2'));
  const { revision } = store;
  // a killed process never closes its database: open a second one beside it
  const again = new Store(directory);
  expect(again.revision).toBe(revision);
  expect(again.get('/things', 'n', 'a')?.object['value']).toBe('2');
  expect(again.changesSince('/things', revision - 1)?.map((change) => [change.type, change.entry.object['value']])).toEqual([
    ['MODIFIED', '2'],
  ]);
  again.close();
});

test('history older than its limit is gone, newer history is whole', () => {
  const start = store.revision;
  const total = Math.ceil(LIMITS.watchHistory * 1.25) + 1;
  for (let index = 0; index < total; index++) store.put('/things', 'n', 'a', object('a', String(index)));
  expect(store.changesSince('/things', start)).toBeUndefined();
  const recent = store.changesSince('/things', store.revision - 10);
  expect(recent?.map((change) => change.revision)).toEqual(Array.from({ length: 10 }, (_, index) => store.revision - 9 + index));
});

test('a listener hears only its resource', () => {
  const heard: string[] = [];
  const stop = store.subscribe('/things', (change) => heard.push(change.entry.name));
  store.put('/others', 'n', 'x', object('x'));
  store.put('/things', 'n', 'a', object('a'));
  stop();
  store.put('/things', 'n', 'b', object('b'));
  expect(heard).toEqual(['a']);
});

test('a failing database is one clear sentence with the remedy', () => {
  const full = storageFailure(Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' }), '/state');
  expect(full.status).toMatchObject({
    code: 507,
    message: 'The disk that holds /state is full: free some space, then try again; nothing was stored.',
  });
  expect(storageFailure(Object.assign(new Error('x'), { code: 'SQLITE_READONLY' }), '/state').status.code).toBe(500);
});
