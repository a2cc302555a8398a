import { expect, test } from 'bun:test';
import type { Block } from './arm.ts';
import { judge } from './compare.ts';
import { isSaturated, mergeResults, quietBlocks } from './result.ts';
import { waypointReport } from './waypoint-report.ts';
import type { Kind, WorkloadResult } from './waypoint-result.ts';
import { targets } from './waypoint-targets.ts';

const block = (arm: string, values: Partial<Block> = {}): Block => ({
  arm,
  workload: 'w',
  requests: 1000,
  errors: 0,
  rps: 1000,
  p50: 100,
  p90: 200,
  p99: 400,
  p999: 900,
  cpuPerRequest: 50,
  softirqPerRequest: 5,
  pssKib: 30_000,
  privateKib: 20_000,
  proxiesBusy: 0.9,
  loadBusy: 0.4,
  steal: 0,
  foreign: 0,
  ...values,
});

const waypoint = (cpuPerRequest: number, privateKib: number) => ({ waypoint: { cpuPerRequest, pssKib: privateKib + 5000, privateKib } });

const result = (id: string, kind: Kind, blocks: readonly Block[], more: Partial<WorkloadResult> = {}): WorkloadResult => ({
  id,
  kind,
  name: `the ${id} workload`,
  parts: 1,
  circumstances: { blocks: 2, seconds: 5, kernel: '6.1', processor: 'a processor', bun: '1.4' },
  arms: [...new Set(blocks.map(({ arm }) => arm))].map((name) => ({ name, about: `about ${name}` })),
  idle: [],
  blocks,
  ...more,
});

const rounds = (values: Readonly<Record<string, Partial<Block>>>): readonly Block[] =>
  [0, 1].flatMap(() => Object.entries(values).map(([arm, own]) => block(arm, own)));

const find = (results: readonly WorkloadResult[]) => (id: string) => results.find((one) => one.id === id);
const rowOf = (results: readonly WorkloadResult[], words: string) => targets(find(results)).find(({ target }) => target.includes(words));

test('a target is met when the whole interval meets it, missed when none of it does, else undecided', () => {
  expect(judge({ value: 3, low: 2.6, high: 3.4 }, 'least', 2.5)).toBe('yes');
  expect(judge({ value: 2.7, low: 2.4, high: 3 }, 'least', 2.5)).toBe('undecided');
  expect(judge({ value: 2, low: 1.8, high: 2.4 }, 'least', 2.5)).toBe('no');
  expect(judge({ value: 0.5, low: 0.4, high: 0.75 }, 'most', 0.75)).toBe('yes');
  expect(judge({ value: 0.7, low: 0.6, high: 0.8 }, 'most', 0.75)).toBe('undecided');
  expect(judge({ value: 0.9, low: 0.8, high: 1 }, 'most', 0.75)).toBe('no');
});

test('throughput and memory are judged against real ztunnels with Envoy', () => {
  const closed = result(
    'closed',
    'peak',
    rounds({
      direct: {},
      lateen: { rps: 9000, privateKib: 90_000 },
      'ztunnel+envoy': { rps: 3000, privateKib: 80_000 },
      'envoy-http': { rps: 1 },
    }),
  );
  expect(rowOf([closed], 'requests/s')).toMatchObject({ seen: '3.00× (3.00–3.00)', met: 'yes' });
  expect(rowOf([closed], 'node proxies and waypoint')).toMatchObject({ seen: '1.13× (1.13–1.13)', met: 'no' });
});

test('latency is judged by what is added to the direct path', () => {
  const rate = result('rate-500', 'rate', rounds({ direct: { p90: 100 }, lateen: { p90: 400 }, 'ztunnel+envoy': { p90: 700 } }));
  expect(rowOf([rate], 'the rate-500 workload')).toMatchObject({ seen: '0.50× (0.50–0.50)', met: 'yes' });
});

test('an arm that misses its rate gets no latency', () => {
  const late = { rps: 940, offered: 1000, p90: 90_000 };
  const peerLate = result('rate-1000', 'rate', rounds({ direct: {}, lateen: { offered: 1000 }, 'ztunnel+envoy': late }));
  expect(rowOf([peerLate], 'rate-1000')).toMatchObject({ seen: 'the peer is saturated at this rate', met: 'yes' });
  const oursLate = result('rate-1000', 'rate', rounds({ direct: {}, lateen: late, 'ztunnel+envoy': { offered: 1000 } }));
  expect(rowOf([oursLate], 'rate-1000')).toMatchObject({ seen: 'Lateen is saturated at this rate', met: 'no' });
  const report = waypointReport([oursLate]);
  expect(report).toContain('| Lateen saturated | Lateen saturated | Lateen saturated |');
  expect(report).toContain('| lateen | 940 | saturated | saturated |');
  expect(report).not.toContain('90000');
});

test('one late block among many does not make an arm saturated, and a closed loop never is', () => {
  const late = block('a', { rps: 900, offered: 1000 });
  const good = block('a', { rps: 995, offered: 1000 });
  expect(isSaturated([late, good, good])).toBe(false);
  expect(isSaturated([late, late, good])).toBe(true);
  expect(isSaturated([block('a', { rps: 1 })])).toBe(false);
  expect(isSaturated([])).toBe(false);
});

test('a round in which others had the machine is left out for all arms', () => {
  const blocks = [
    block('direct', { rps: 1 }),
    block('lateen', { rps: 1, steal: 0.02 }),
    // The second round runs backwards.
    block('lateen', { rps: 2 }),
    block('direct', { rps: 2 }),
    block('direct', { rps: 3, foreign: 0.2 }),
    block('lateen', { rps: 3 }),
  ];
  const quiet = quietBlocks({ blocks });
  expect(quiet.blocks.map(({ arm, rps }) => [arm, rps])).toEqual([
    ['lateen', 2],
    ['direct', 2],
  ]);
  expect(quiet).toMatchObject({ rounds: 3, disturbed: 2 });
});

test('when every round was disturbed the figures stay and the report says not to quote them', () => {
  const loud = result('closed', 'peak', rounds({ direct: {}, lateen: { foreign: 0.5 } }));
  expect(quietBlocks(loud).blocks).toHaveLength(4);
  const report = waypointReport([loud]);
  expect(report).toContain('not to be quoted: closed');
  expect(report).toContain('Not to be quoted: in each round');
});

test('processor time is split by role and memory of the waypoint stands alone', () => {
  const closed = result(
    'closed',
    'peak',
    rounds({ direct: { cpuPerRequest: 0 }, lateen: { cpuPerRequest: 50, privateKib: 102_400, ...waypoint(20, 40_960) } }),
  );
  expect(waypointReport([closed])).toContain('| lateen | 1000 | 100 / 200 / 400 | 30 / 20 | 5 | 40 % / 90 % | 60 / 40 | 0 |');
});

test('routes are compared with one route of the same waypoint and with the other waypoint', () => {
  const blocks = rounds({
    'lateen, 1 route': { rps: 8000, ...waypoint(20, 20_480) },
    'envoy, 1 route': { rps: 4000, ...waypoint(40, 10_240) },
    'lateen, 10000 routes': { rps: 7200, ...waypoint(22, 40_960) },
    'envoy, 10000 routes': { rps: 400, ...waypoint(500, 51_200) },
  });
  const idle = [{ arm: 'lateen, 1 route', pssKib: 1, privateKib: 1, waypoint: { pssKib: 15_360, privateKib: 10_240 } }];
  const routes = result('routes', 'routes', blocks, { idle });
  const report = waypointReport([routes]);
  expect(report).toContain('| lateen, 1 route | 8000 | 1.00× (1.00–1.00) | 20 | 10 / 15 | 20 / 25 | 0 |');
  expect(report).toContain('| envoy, 10000 routes | 400 | 0.10× (0.10–0.10) | 500 | – / – | 50 / 55 | 0 |');
  expect(report).toContain('| 10000 | 18.00× (18.00–18.00) | 0.04× (0.04–0.04) | 0.80× (0.80–0.80) |');
  expect(rowOf([routes], '10000 routes')).toMatchObject({ seen: '0.80× (0.80–0.80)', met: 'yes' });
  expect(rowOf([routes], '100 routes')).toMatchObject({ met: 'not measured' });
});

test('of an event stream, the first event and the later ones are compared apart and costs are per event', () => {
  const series = (delay: number) => ({
    delay: { p50: delay, p90: delay, p99: delay, p999: delay },
    uneven: { p50: 1, p90: 2, p99: 3, p999: 4 },
  });
  const blocks = rounds({
    direct: { p50: 50, p90: 50, p99: 50, series: series(20) },
    lateen: { p50: 150, p90: 150, p99: 150, cpuPerRequest: 500, series: series(120), ...waypoint(200, 1024) },
    'ztunnel+envoy': { p50: 250, p90: 250, p99: 250, series: series(220), ...waypoint(400, 1024) },
  });
  const report = waypointReport([result('sse', 'sse', blocks, { parts: 50 })]);
  expect(report).toContain('| direct | 50 / 50 / 50 | 20 / 20 / 20 | 1 / 2 / 3 | – | 0 | 0 |');
  expect(report).toContain('| lateen | +100 / +100 / +100 | +100 / +100 / +100 | +0 / +0 / +0 | 6 / 4 | 0 | 0 |');
  expect(report).toMatch(/first of the sse workload \| ztunnel\+envoy \| – \| 0\.50×/);
  expect(report).toMatch(/later events of these \| ztunnel\+envoy \| – \| 0\.50×/);
});

test('notes about misses stand under the targets', () => {
  const report = waypointReport([result('closed', 'peak', rounds({ direct: {} }))], '## Why memory is missed\n\nBecause.\n');
  expect(report.indexOf('Why memory is missed')).toBeGreaterThan(report.indexOf('## Targets'));
  expect(report.indexOf('Why memory is missed')).toBeLessThan(report.indexOf('## Ratios'));
});

test('a new measurement of a workload takes the place of the old one and leaves the others', () => {
  const old = ['closed', 'sse', 'gone'].map((id) => result(id, 'peak', [block('old')]));
  const merged = mergeResults(old, [result('sse', 'sse', [block('new')])], ['closed', 'sse', 'routes']);
  expect(merged.map(({ id, blocks }) => [id, blocks[0]!.arm])).toEqual([
    ['closed', 'old'],
    ['sse', 'new'],
  ]);
});
