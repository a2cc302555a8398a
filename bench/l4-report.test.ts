import { expect, test } from 'bun:test';
import type { Block } from './arm.ts';
import { l4Report } from './l4-report.ts';
import type { L4Kind, L4Result } from './l4-result.ts';
import { l4Targets } from './l4-targets.ts';

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
  pssKib: 30_720,
  privateKib: 20_480,
  wholeKib: 40_960,
  proxiesBusy: 0.9,
  loadBusy: 0.4,
  steal: 0,
  foreign: 0,
  ...values,
});

const result = (id: string, kind: L4Kind, arms: Readonly<Record<string, Partial<Block>>>, more: Partial<L4Result> = {}): L4Result => ({
  id,
  kind,
  family: 'pair',
  name: `the ${id} workload`,
  circumstances: { blocks: 2, seconds: 3, kernel: '6.1', processor: 'a processor', bun: '1.4' },
  ciphers: {},
  arms: Object.keys(arms).map((name) => ({ name, about: `about ${name}` })),
  idle: [],
  blocks: [0, 1].flatMap(() => Object.entries(arms).map(([arm, own]) => block(arm, own))),
  ...more,
});

const report = (results: readonly L4Result[], notes?: string) => l4Report(results, { pair: 'About the family.' }, notes);
const find = (results: readonly L4Result[]) => (id: string) => results.find((one) => one.id === id);
const rowOf = (results: readonly L4Result[], words: string) => l4Targets(find(results)).find(({ target }) => target.includes(words));

test('each budget says what was measured, and a miss stays one', () => {
  const results = [
    result('closed-64', 'peak', {
      direct: {},
      lateen: { rps: 40_000, cpuPerRequest: 22 },
      ztunnel: { rps: 20_000, cpuPerRequest: 50 },
    }),
    result('fresh', 'fresh', { lateen: { rps: 1500 }, ztunnel: { rps: 1000 } }),
  ];
  expect(rowOf(results, 'requests/s, 64 connections')).toMatchObject({ seen: '2.00× (2.00–2.00)', met: 'yes' });
  expect(rowOf(results, 'CPU per request, 64 connections')).toMatchObject({ seen: '0.44× (0.44–0.44)', met: 'yes' });
  expect(rowOf(results, 'new connections/s')).toMatchObject({ seen: '1.50× (1.50–1.50)', met: 'no' });
  expect(rowOf(results, 'one bulk stream, upload')).toMatchObject({ met: 'not measured' });
  expect(report(results)).toContain('| new connections/s, at least 1.60× ztunnel | 1.50× (1.50–1.50) | **missed** |');
});

test('latency is judged by what is added to the direct path, at each quantile', () => {
  const rate = result('rate-1000-4', 'rate', {
    direct: { p50: 50, p90: 60, p99: 100 },
    lateen: { p50: 150, p90: 190, p99: 400 },
    ztunnel: { p50: 250, p90: 190, p99: 300 },
  });
  const seen = ['P50', 'P90', 'P99'].map((name) => rowOf([rate], `added ${name} at the rate-1000-4`)?.met);
  expect(seen).toEqual(['yes', 'no', 'no']);
  expect(report([rate])).toContain(
    '| lateen | 1000 | 150 / 190 / 400 / 900 | 100 / 130 / 300 / 0 | 0.050 | 0.005 | 40 % / 90 % | 20 / 30 / 40 | 0 |',
  );
});

test('an arm that misses its rate gets no latency', () => {
  const late = { rps: 900, offered: 1000, p90: 77_777 };
  const rate = result('rate-1000-64', 'rate', { direct: {}, lateen: { offered: 1000 }, 'envoy-http': late });
  expect(rowOf([rate], 'added P90 at the rate-1000-64 workload, at most 0.26')).toMatchObject({ met: 'yes' });
  const text = report([rate]);
  expect(text).toContain('peer saturated');
  expect(text).not.toContain('77777');
});

test('a bulk stream is told in octets', () => {
  const text = report([result('download', 'bulk', { direct: { rps: 2000 }, lateen: { rps: 1000, cpuPerRequest: 2000 } })]);
  expect(text).toContain('| direct | 2.10 | – |');
  expect(text).toContain('| lateen | 1.05 | 1.91 |');
});

test('an idle connection is told by the memory the proxies did not have before', () => {
  const arms = { lateen: { requests: 1000, privateKib: 30_720, cpuPerRequest: 10 }, ztunnel: { requests: 1000, privateKib: 40_960 } };
  const idle = ['lateen', 'ztunnel'].map((arm) => ({ arm, pssKib: 0, privateKib: 20_480 }));
  const text = report([result('idle', 'held', arms, { idle })]);
  expect(text).toContain('| lateen | 1000 | 10.24 | 10.00 | 20 | 30 / 30 / 40 | 0 |');
  expect(text).toContain('per connection 0.50× (0.50–0.50)');
});

test('a node is judged by its whole memory, not by what its processes happen to share', () => {
  const node = result('node', 'node', { lateen: { wholeKib: 20_000, pssKib: 1 }, 'envoy-http': { wholeKib: 100_000, pssKib: 100_000 } });
  expect(rowOf([node], 'memory of a node')).toMatchObject({ seen: '0.20× (0.20–0.20)', met: 'no' });
});

test('the ciphers of the arms and the notes about misses are in the report', () => {
  const text = report([result('closed-64', 'peak', { lateen: {} }, { ciphers: { lateen: 'AES-128-GCM' } })], 'Because of this.\n');
  expect(text).toContain('- **lateen**: about lateen (AES-128-GCM)');
  expect(text.indexOf('Because of this.')).toBeLessThan(text.indexOf('## Ratios'));
  expect(text).toContain('About the family.');
});

test('figures that others disturbed throughout are named', () => {
  expect(report([result('closed-64', 'peak', { lateen: { foreign: 0.4 } })])).toContain('not to be quoted: closed-64');
});
