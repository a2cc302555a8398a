/** What the L4 measurement sends, by family: the workloads of a family run on the same arms, started together. */
import type { Workload } from './arm.ts';
import { BOTH_CORES, directArm, envoyArm, type Layout, type MakeArm, relayArm } from './arms.ts';
import { bulkClient, httpClient } from './clients.ts';
import type { L4Kind } from './l4-result.ts';
import { PODS_ON_NODE, proxyNodeArm, sidecarNodeArm } from './node-arms.ts';
import { makePodsOnOneNode } from './topology.ts';
import { type Flavour, ISTIO, LATEEN, oneNodeArm, pairArm } from './ztunnel.ts';

export interface L4Workload extends Workload {
  /** What `--workload` takes. */
  readonly id: string;
  readonly kind: L4Kind;
  /** Arms that take no part, to save time. */
  readonly without?: readonly string[];
}

export interface L4Family {
  readonly name: string;
  /** What a reader of its figures must know. */
  readonly about: string;
  readonly workloads: readonly L4Workload[];
  readonly arms: readonly (readonly [string, MakeArm])[];
}

const CHAIN_CALLS = 20;
export const BULK_MEBIBYTES = Number(process.env['BENCH_BULK_MIB'] ?? 2048);
/** A sidecar of Envoy's needs two descriptors for each, and this many fit into the limit of 20 000 that a process often has. */
const HELD = Number(process.env['BENCH_HELD'] ?? 9500);

const rate = (id: string, connections: number, perSecond: number, without: readonly string[] = []): L4Workload => ({
  id,
  kind: 'rate',
  name: `${perSecond} rps open loop, ${connections} connections`,
  connections,
  rate: perSecond,
  fresh: false,
  without,
});

const peak = (id: string, connections: number, more = ''): L4Workload => ({
  id,
  kind: 'peak',
  name: `closed loop, ${connections} connections${more}`,
  connections,
  rate: 0,
  fresh: false,
});

const fresh = (id: string, more = ''): L4Workload => ({
  id,
  kind: 'fresh',
  name: `new connection per request, 8 at a time${more}`,
  connections: 8,
  rate: 0,
  fresh: true,
});

const bulk = (id: string, direction: 'download' | 'upload', more = ''): L4Workload => ({
  id,
  kind: 'bulk',
  name: `one ${direction} of ${BULK_MEBIBYTES} MiB${more}`,
  connections: 1,
  rate: 0,
  fresh: false,
  client: bulkClient(BULK_MEBIBYTES, direction),
});

const PAIR: readonly L4Workload[] = [
  // First what compiles the hot paths: the fixed rates are measured on proxies that have run for a while.
  peak('closed-64', 64),
  peak('closed-4', 4),
  rate('rate-1000-64', 64, 1000),
  rate('rate-1000-4', 4, 1000),
  rate('rate-500-64', 64, 500, ['relay']),
  rate('rate-500-4', 4, 500, ['relay']),
  rate('rate-250-64', 64, 250, ['relay']),
  rate('rate-250-4', 4, 250, ['relay']),
  fresh('fresh'),
  {
    id: 'chain',
    kind: 'chain',
    name: `chains of ${CHAIN_CALLS} calls, one after the other`,
    connections: 1,
    rate: 0,
    fresh: false,
    client: httpClient({ connections: 1, rate: 0, fresh: false, calls: CHAIN_CALLS }),
    without: ['relay'],
  },
  bulk('download', 'download'),
  bulk('upload', 'upload'),
];

const real = (make: (flavour: Flavour) => MakeArm): L4Family['arms'] => (ISTIO ? [['ztunnel', make(ISTIO)]] : []);

const pairs = (layout: Layout): L4Family['arms'] => [
  ['lateen', pairArm(LATEEN, layout)],
  ...real((flavour) => pairArm(flavour, layout)),
  ['envoy-http', envoyArm('http', 'http1', layout)],
  ['envoy-tcp', envoyArm('tcp', 'http1', layout)],
];
const ONE = pairs({ load: '0', proxies: '1', workers: 1 });

/** Lateen as its peers do it: a tunnel to itself. */
const TUNNELLED: Flavour = { ...LATEEN, name: 'lateen-tunnel', short: 'ln', env: { LATEEN_JOIN_SAME_NODE: 'false' } };

export const L4_FAMILIES: readonly L4Family[] = [
  {
    name: 'pair',
    about: 'Client and origin on core 0, all proxies of an arm on core 1: what one core gives.',
    workloads: PAIR,
    arms: [['direct', directArm()], ['relay', relayArm], ...ONE],
  },
  {
    name: 'workers',
    about:
      'Two workers in each proxy. On one core a second worker gains nothing, so here everything of an arm, client and origin included, may use both cores: compare only inside this family. Client and origin take a part of the cores that grows with the rate, so the gain is less than two cores alone would give.',
    workloads: [
      { ...rate('workers-rate-1000', 64, 1000), name: '1000 rps open loop, 64 connections, two workers' },
      peak('workers-closed', 64, ', two workers'),
    ],
    arms: [['direct', directArm('http1', BOTH_CORES)], ...pairs(BOTH_CORES)],
  },
  {
    name: 'same-node',
    about: 'Client and server pod on one node, served by one node proxy.',
    workloads: [
      peak('same-closed', 64, ', same node'),
      { ...rate('same-rate-1000', 64, 1000), name: '1000 rps open loop, 64 connections, same node' },
      fresh('same-fresh', ', same node'),
      bulk('same-download', 'download', ', same node'),
    ],
    arms: [
      ['direct', directArm('http1', undefined, (index) => makePodsOnOneNode('direct', index))],
      ['lateen', oneNodeArm(LATEEN)],
      ['lateen-tunnel', oneNodeArm(TUNNELLED)],
      ...real(oneNodeArm),
    ],
  },
  {
    name: 'idle',
    about: 'Connections that are opened, asked once and left open; memory against the same proxies before.',
    workloads: [
      {
        id: 'idle',
        kind: 'held',
        name: `${HELD} idle connections`,
        connections: HELD,
        rate: 0,
        fresh: false,
        held: HELD,
        blocks: 2,
        warmUp: false,
      },
    ],
    arms: ONE,
  },
  {
    name: 'node',
    about: `A node with ${PODS_ON_NODE} pods; each is called from another node and calls there, together 300 requests/s over 60 connections. Only the proxies of that node count.`,
    workloads: [
      {
        id: 'node',
        kind: 'node',
        name: `${PODS_ON_NODE} pods on a node`,
        connections: 60,
        rate: 300,
        fresh: false,
        blocks: 3,
      },
    ],
    arms: [['lateen', proxyNodeArm(LATEEN)], ...real(proxyNodeArm), ['envoy-http', sidecarNodeArm]],
  },
];
