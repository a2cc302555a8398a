import { expect, test } from 'bun:test';
import { candidatesOf, kubernetesNames, kubernetesSearch, withWildcards } from './candidates.ts';

const D = 'cluster.local';

test.each([
  ['name', ['name.ns1.svc.cluster.local']],
  ['name.ns2', ['name.ns2.svc.cluster.local', 'name.ns2.ns1.svc.cluster.local']],
  ['name.ns2.svc', ['name.ns2.svc.cluster.local', 'name.ns2.svc.svc.cluster.local']],
  ['name.ns2.not-svc', ['name.ns2.not-svc.svc.cluster.local']],
  ['pod.sub-domain.ns.svc', ['pod.sub-domain.ns.svc.cluster.local']],
  ['pod.sub-domain.ns.not-svc', []],
  ['name.ns2.svc.cluster', []],
  ['name.ns2.svc.cluster.local', []],
  ['www.google.com', ['www.google.com.svc.cluster.local']],
])('%s is short for %p in namespace ns1', (name, expected) => {
  expect(kubernetesNames(name, 'ns1', D)).toEqual(expected);
});

test('a name is covered by wildcards of decreasing closeness, one label by none', () => {
  expect([...withWildcards('svc1')]).toEqual(['svc1']);
  expect([...withWildcards('svc1.ns1.svc.cluster.local')]).toEqual([
    'svc1.ns1.svc.cluster.local',
    '*.ns1.svc.cluster.local',
    '*.svc.cluster.local',
    '*.cluster.local',
    '*.local',
  ]);
});

test('the name comes first, then its expansions, then what is left without each search suffix and its expansions', () => {
  expect(candidatesOf('a.b.ns1.svc.cluster.local', 'ns1', D, kubernetesSearch('ns1', D))).toEqual([
    { name: 'a.b.ns1.svc.cluster.local' },
    { name: 'a.b', stripped: 'a.b' },
    { name: 'a.b.svc.cluster.local', stripped: 'a.b' },
    { name: 'a.b.ns1', stripped: 'a.b.ns1' },
    { name: 'a.b.ns1.svc', stripped: 'a.b.ns1.svc' },
  ]);
});

test('a search suffix is whole labels, and something must be left', () => {
  const names = (name: string): string[] => candidatesOf(name, 'ns1', D, kubernetesSearch('ns1', D)).map((each) => each.name);
  expect(names('svc.cluster.local')).toEqual([
    'svc.cluster.local',
    'svc.cluster.local.svc.cluster.local',
    'svc',
    'svc.ns1.svc.cluster.local',
  ]);
  expect(names('xcluster.local')).toEqual(['xcluster.local', 'xcluster.local.svc.cluster.local', 'xcluster.local.ns1.svc.cluster.local']);
});

test('a search list of its own takes the place of the one of Kubernetes', () => {
  expect(candidatesOf('db.corp.example', 'ns1', D, ['corp.example']).slice(1)).toEqual([
    { name: 'db.corp.example.svc.cluster.local' },
    { name: 'db', stripped: 'db' },
    { name: 'db.ns1.svc.cluster.local', stripped: 'db' },
  ]);
});
