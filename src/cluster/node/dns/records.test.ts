import { expect, test } from 'bun:test';
import type { EndpointSlice, Service } from '../../../platform/kubernetes/index.ts';
import { answer, type DnsData } from './records.ts';

const services: Record<string, Service> = {
  'n/web': {
    metadata: { namespace: 'n', name: 'web' },
    spec: {
      clusterIP: '10.96.0.9',
      ports: [
        { name: 'http', port: 80 },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    },
  },
  'n/db': { metadata: { namespace: 'n', name: 'db' }, spec: { clusterIP: 'None', ports: [{ name: 'pg', port: 5432 }] } },
  'n/ext': { metadata: { namespace: 'n', name: 'ext' }, spec: { type: 'ExternalName', externalName: 'web.n.svc.cluster.local' } },
};
const slices: EndpointSlice[] = [
  {
    metadata: { namespace: 'n', name: 'db-1' },
    addressType: 'IPv4',
    ports: [{ name: 'pg', port: 5432, protocol: 'TCP' }],
    endpoints: [
      { addresses: ['10.244.1.2'], hostname: 'db-0', conditions: { ready: true } },
      { addresses: ['10.244.2.2'], conditions: { ready: true } },
      { addresses: ['10.244.2.3'], hostname: 'db-2', conditions: { ready: false } },
    ],
  },
];
const data: DnsData = {
  service: (namespace, name) => services[`${namespace}/${name}`],
  slices: (_, name) => (name === 'db' ? slices : []),
  serviceByAddress: (address) => (address === '10.96.0.9' ? services['n/web'] : undefined),
  namespaceExists: (namespace) => namespace === 'n',
};
const ask = (name: string, type = 'A') => answer({ name, type }, 'cluster.local', data);
const values = (name: string, type = 'A') => ask(name, type)?.records.map((record) => record.data);

test('a service has its address, and no IPv6 address is not the same as no name', () => {
  expect(values('web.n.svc.cluster.local')).toEqual(['10.96.0.9']);
  expect(values('WEB.n.svc.cluster.local.')).toEqual(['10.96.0.9']);
  expect(ask('web.n.svc.cluster.local', 'AAAA')).toEqual({ exists: true, records: [] });
});

test('names that do not exist in the cluster are said not to, those of a parent are', () => {
  for (const name of [
    'no.n.svc.cluster.local',
    'web.no.svc.cluster.local',
    'x.web.n.svc.cluster.local',
    'web.n.cluster.local',
    'no.svc.cluster.local',
  ]) {
    expect([name, ask(name)?.exists]).toEqual([name, false]);
  }
  for (const name of ['cluster.local', 'svc.cluster.local', 'n.svc.cluster.local'])
    expect([name, ask(name)]).toEqual([name, { exists: true, records: [] }]);
});

test('other names are not ours to answer', () => {
  expect(ask('example.com')).toBeUndefined();
  expect(ask('notcluster.local')).toBeUndefined();
});

test('a headless service has the addresses of its ready endpoints, each with its own name', () => {
  expect(values('db.n.svc.cluster.local')).toEqual(['10.244.1.2', '10.244.2.2']);
  expect(values('db-0.db.n.svc.cluster.local')).toEqual(['10.244.1.2']);
  expect(values('10-244-2-2.db.n.svc.cluster.local')).toEqual(['10.244.2.2']);
  expect(ask('db-2.db.n.svc.cluster.local')?.exists).toBe(false);
});

test('SRV names port and target', () => {
  expect(values('_http._tcp.web.n.svc.cluster.local', 'SRV')).toEqual([
    { priority: 0, weight: 100, port: 80, target: 'web.n.svc.cluster.local' },
  ]);
  expect(values('_pg._tcp.db.n.svc.cluster.local', 'SRV')).toMatchObject([
    { port: 5432, target: 'db-0.db.n.svc.cluster.local' },
    { target: '10-244-2-2.db.n.svc.cluster.local' },
  ]);
  expect(ask('_http._udp.web.n.svc.cluster.local', 'SRV')?.exists).toBe(false);
});

test('an external name is an alias', () => {
  expect(ask('ext.n.svc.cluster.local')?.records).toEqual([
    { type: 'CNAME', name: 'ext.n.svc.cluster.local', data: 'web.n.svc.cluster.local' },
  ]);
});

test('pods have names by address, and service addresses have names', () => {
  expect(values('10-244-1-2.n.pod.cluster.local')).toEqual(['10.244.1.2']);
  expect(values('9.0.96.10.in-addr.arpa', 'PTR')).toEqual(['web.n.svc.cluster.local']);
  expect(ask('8.0.96.10.in-addr.arpa', 'PTR')?.exists).toBe(false);
  expect(ask('1.1.1.1.in-addr.arpa', 'PTR')).toBeUndefined();
});
