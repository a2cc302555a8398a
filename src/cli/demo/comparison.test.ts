import { expect, test } from 'bun:test';
import { chainLine, compare, comparisonTable } from './comparison.ts';
import type { StageName, StageReport } from './report.ts';

const stage = (name: StageName, p50: number, p99: number, chain: number | null): StageReport => ({
  name,
  seconds: 10,
  requests: 400,
  errors: 0,
  errors_by_code: {},
  p50_ms: p50,
  p90_ms: p50 + 1,
  p99_ms: p99,
  correct: 400,
  per_version: {},
  per_version_asked: {},
  waypoint_requests: null,
  mtls_connections: 1,
  plaintext_connections: 0,
  wire: { packets: 0, bytes: 0, tls_bytes: 0, plaintext_bytes: 0, readable_sentences: 0 },
  chain_p50_ms: chain,
  proxy: { processes: 3, cpu_ms_per_1000_requests: 50, memory_mb: 70 },
});
const stages = [stage('plain', 6, 10, 100), stage('ambient', 7.5, 13, 130), stage('waypoint', 8, 14, null), stage('sidecars', 9, 19, 160)];

test('puts the paths side by side, with what each hop adds to plain', () => {
  const { paths } = compare(stages);
  expect(paths.map(({ path }) => path)).toEqual(['plain', 'sidecars', 'ambient', 'ambient with waypoint']);
  expect(paths.map((one) => one.added_per_hop_p50_ms)).toEqual([0, 1, 0.5, 0.67]);
  expect(paths[0]).toMatchObject({ proxies: 0, proxy_memory_mb: 0, proxy_cpu_ms_per_1000_requests: 0 });
  expect(comparisonTable(compare(stages)).split('\n')).toHaveLength(5);
});

test('says of a chain what was measured, what is computed and what the article says', () => {
  const report = compare(stages);
  expect(report.chain_saved).toEqual({ measured_ms: 30, computed_p99_ms: 40, computed_p50_ms: 10, article_ms: 13.6 });
  expect(chainLine(report)).toContain('30.0 ms saved by leaving the sidecars (measured');
});

test('without sidecars nothing is said to be saved', () => {
  const report = compare(stages.slice(0, 3));
  expect(report.chain_saved).toBeNull();
  expect(chainLine(report)).toBe('20 requests one after another take 30.0 ms more in ambient than plain (measured).');
});
