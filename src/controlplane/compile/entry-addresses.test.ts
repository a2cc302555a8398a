import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Namespace, ServiceEntry } from '../../platform/kubernetes/index.ts';
import { ALLOCATE_LABEL, giveAddresses } from './entry-addresses.ts';
import { serviceEntry } from './objects.test.ts';

const entry = (...args: Parameters<typeof serviceEntry>): ServiceEntry => serviceEntry(...args).object as ServiceEntry;
const give = (entries: ServiceEntry[], namespace?: Namespace) => giveAddresses(entries, () => namespace);
/** The same entries with what they were given written into them. */
const written = (entries: ServiceEntry[]): ServiceEntry[] => {
  const given = give(entries);
  return entries.map((one) => ({
    ...one,
    status: { addresses: [...(given.get(`${one.metadata.namespace}/${one.metadata.name}`) ?? [])] },
  }));
};

test('each host of an entry without addresses gets one of each family, always the same', () => {
  const hosts = ['a.example.com', 'b.example.com'];
  const given = give([entry('e', { hosts })]).get('shop/e')!;
  expect(given.map(({ host }) => host)).toEqual(['a.example.com', 'a.example.com', 'b.example.com', 'b.example.com']);
  expect(given[0]?.value).toMatch(/^240\.240\.\d+\.\d+$/);
  expect(given[1]?.value).toMatch(/^2001:2::[0-9a-f]+$/);
  expect(give([entry('e', { hosts })]).get('shop/e')).toEqual(given);
});

test.each<[string, ServiceEntry, Namespace | undefined]>([
  ['that lists addresses', entry('e', { addresses: ['192.0.2.1'] }), undefined],
  ['with resolution NONE', entry('e', { resolution: 'NONE' }), undefined],
  ['with a wildcard', entry('e', { hosts: ['*.example.com'] }), undefined],
  ['that nobody sees', entry('e', { exportTo: ['~'] }), undefined],
  ['that wants none', entry('e', {}, { labels: { [ALLOCATE_LABEL]: 'false' } }), undefined],
  ['whose namespace wants none', entry('e'), { metadata: { name: 'shop', labels: { [ALLOCATE_LABEL]: 'False' } } }],
])('an entry %s gets none', (_title, one, namespace) => {
  expect(give([one], namespace).get('shop/e')).toEqual([]);
});

test('the entry’s own wish comes before its namespace’s', () => {
  const own = entry('e', {}, { labels: { [ALLOCATE_LABEL]: 'true' } });
  expect(give([own], { metadata: { name: 'shop', labels: { [ALLOCATE_LABEL]: 'false' } } }).get('shop/e')).toHaveLength(2);
});

test('of two that claim one address the older keeps it', () => {
  const claimed = [{ value: '240.240.0.7', host: 'db.example.com' }];
  const young = entry('young', {}, { addresses: claimed });
  const old = entry('old', {}, { addresses: claimed, created: '2020-01-01T00:00:00Z' });
  const given = give([young, old]);
  expect(given.get('shop/old')?.[0]?.value).toBe('240.240.0.7');
  expect(given.get('shop/young')?.[0]?.value).not.toBe('240.240.0.7');
});

test('no two hosts share an address, and what was written stays when others come and go', () => {
  const some = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 120 });
  fc.assert(
    fc.property(some, some, (first, second) => {
      const make = (ids: number[]) => ids.map((id) => entry(`e${id}`, { hosts: [`h${id}.example.com`] }));
      const before = written(make(first));
      const kept = before.filter((_, i) => i % 2 === 0);
      const names = new Set(kept.map(({ metadata }) => metadata.name));
      const after = written([...kept, ...make(second).filter(({ metadata }) => !names.has(metadata.name))]);
      const values = after.flatMap(({ status }) => status?.addresses?.map(({ value }) => value) ?? []);
      expect(new Set(values).size).toBe(values.length);
      for (const one of kept) expect(after.find(({ metadata }) => metadata.name === one.metadata.name)?.status).toEqual(one.status!);
    }),
    { numRuns: 50 },
  );
});
