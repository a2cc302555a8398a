import { expect, test } from 'bun:test';
import type { ConfigDump, NodeDump } from './config-dump.ts';
import { certificateReport, connectionReport, policyReport, serviceReport, workloadReport } from './tables.ts';

const dump: ConfigDump = {
  workloads: [
    {
      uid: 'Kubernetes//Pod/shop/web-1',
      name: 'web-1',
      namespace: 'shop',
      workloadIps: ['10.244.1.5'],
      node: 'node1',
      protocol: 'HBONE',
      waypoint: { destination: 'shop/way.shop.svc.cluster.local' },
    },
    { uid: 'Kubernetes//Pod/kube/dns-1', name: 'dns-1', namespace: 'kube', workloadIps: ['10.244.2.9'], node: 'node2', protocol: 'TCP' },
  ],
  services: [
    {
      name: 'web',
      namespace: 'shop',
      hostname: 'web.shop.svc.cluster.local',
      vips: ['/10.96.0.7'],
      endpoints: { a: { workloadUid: 'a' }, b: { workloadUid: 'b', status: 'Unhealthy' } },
    },
  ],
  policies: [{ name: 'deny', namespace: 'shop', action: 'Deny', scope: 'Namespace' }],
  certificates: [
    {
      identity: 'spiffe://cluster.local/ns/shop/sa/web',
      state: 'Available',
      certChain: [{ serialNumber: '255', validFrom: '2026-01-01T00:00:00Z', expirationTime: '2026-01-02T00:00:00Z' }],
      rootCerts: [{ serialNumber: '16', validFrom: '2020-01-01T00:00:00Z', expirationTime: '2020-01-02T00:00:00Z' }],
    },
    { identity: 'spiffe://cluster.local/ns/kube/sa/dns', state: 'Initializing' },
  ],
  workloadState: {
    u1: {
      state: 'Up',
      info: { name: 'web-1', namespace: 'shop' },
      connections: {
        inbound: [{ src: '10.244.2.9:4000', originalDst: '10.96.0.7:80', actualDst: '10.244.1.5:8080', protocol: 'HBONE' }],
        outbound: [{ src: '10.244.1.5:5000', originalDst: '10.96.0.7:80', actualDst: '10.244.9.9:15008', protocol: 'HBONE' }],
      },
    },
  },
};
const nodes: NodeDump[] = [
  { node: 'node1', pod: 'ztunnel-a', dump },
  { node: 'node2', pod: 'ztunnel-b', dump: { ...dump, workloadState: {}, certificates: [] } },
];

test('shows a workload that every node proxy knows once, with its waypoint', () => {
  const { header, rows } = workloadReport(nodes, {});
  expect(header).toEqual(['NAMESPACE', 'POD NAME', 'ADDRESS', 'NODE', 'WAYPOINT', 'PROTOCOL']);
  expect(rows).toEqual([
    ['kube', 'dns-1', '10.244.2.9', 'node2', 'None', 'TCP'],
    ['shop', 'web-1', '10.244.1.5', 'node1', 'way', 'HBONE'],
  ]);
});

test('filters by namespace, node and address', () => {
  expect(workloadReport(nodes, { workloadNamespace: 'shop' }).rows.length).toBe(1);
  expect(workloadReport(nodes, { workloadNode: 'node2' }).rows[0]?.[1]).toBe('dns-1');
  expect(workloadReport(nodes, { address: '10.0.0.1' }).rows).toEqual([]);
  expect(policyReport(nodes, { workloadNamespace: 'kube' }).rows).toEqual([]);
});

test('counts the healthy endpoints of a service', () => {
  expect(serviceReport(nodes, {}).rows).toEqual([['shop', 'web', '10.96.0.7', 'None', '1/2']]);
});

test('says of each certificate whether it is valid now, with its serial number in hexadecimal', () => {
  const rows = certificateReport(nodes, {}, new Date('2026-01-01T12:00:00Z')).rows;
  expect(rows.map((row) => row.slice(1, 5))).toEqual([
    ['Leaf', 'Available', 'true', 'ff'],
    ['Root', 'Available', 'false', '10'],
    ['NA', 'Initializing', 'false', 'NA'],
  ]);
});

test('names the ends of a connection, or shows addresses when asked', () => {
  expect(connectionReport(nodes, {}).rows).toEqual([
    ['web-1.shop', 'Inbound', 'web-1.shop:8080', 'dns-1.kube:4000', 'web.shop.svc.cluster.local:80', 'HBONE', 'node1'],
    ['web-1.shop', 'Outbound', 'web-1.shop:5000', '10.244.9.9:15008', 'web.shop.svc.cluster.local:80', 'HBONE', 'node1'],
  ]);
  expect(connectionReport(nodes, { raw: true, direction: 'inbound' }).rows[0]?.slice(2, 5)).toEqual([
    '10.244.1.5:8080',
    '10.244.2.9:4000',
    '10.96.0.7:80',
  ]);
});

test('a proxy that knows nothing yet gives empty reports', () => {
  const empty = [{ node: 'node1', pod: 'z', dump: {} }];
  for (const report of [workloadReport, serviceReport, policyReport, connectionReport]) expect(report(empty, {}).rows).toEqual([]);
});
