import { expect, test } from 'bun:test';
import { judge, splitOf } from './promises.ts';
import { type DenialReport, STAGES, type StageReport } from './report.ts';

const isOutside = (name: StageReport['name']): boolean => name === 'plain' || name === 'unlabelled';
const isRouted = (name: StageReport['name']): boolean => ['waypoint', 'split-80-20', 'ab-header', 'shift-100'].includes(name);
const versions: Readonly<Record<string, Record<string, number>>> = {
  'split-80-20': { v1: 78, v2: 22 },
  'ab-header': { v1: 75, v2: 25 },
  'shift-100': { v2: 100 },
};
const stage = (name: StageReport['name'], change: Partial<StageReport> = {}): StageReport => ({
  name,
  seconds: 3,
  requests: 100,
  errors: 0,
  errors_by_code: {},
  p50_ms: 3,
  p90_ms: 4,
  p99_ms: 9,
  correct: 98,
  per_version: versions[name] ?? { v1: 50, v2: 50 },
  per_version_asked: name === 'ab-header' ? { v2: 25 } : {},
  waypoint_requests: isRouted(name) ? 125 : null,
  mtls_connections: isOutside(name) ? 0 : 40,
  plaintext_connections: isOutside(name) ? 40 : 0,
  wire: {
    packets: 10,
    bytes: 1000,
    tls_bytes: isOutside(name) ? 0 : 1000,
    plaintext_bytes: isOutside(name) ? 1000 : 0,
    readable_sentences: isOutside(name) ? 7 : 0,
  },
  chain_p50_ms: null,
  proxy: { processes: 2, cpu_ms_per_1000_requests: 1, memory_mb: 80 },
  ...change,
});
const denial: DenialReport = {
  first_refusal_ms: 120,
  open_connections_closed_ms: 90,
  open_connections_left: 0,
  answered_after_a_second: 0,
  refused: 12,
  log_reason: 'connection closed due to policy rejection: explicitly denied by: ai-inference/deny-intruder',
};
const good = STAGES.filter((name) => name !== 'sidecars').map((name) => stage(name));
/** The good stages with one of them changed. */
const but = (name: StageReport['name'], change: Partial<StageReport>): StageReport[] =>
  good.map((one) => (one.name === name ? stage(name, change) : one));
const kept = (stages: readonly StageReport[], transitionErrors = 0, change: Partial<DenialReport> = {}) =>
  judge(stages, [{ name: 'plain to ambient', seconds: 4, requests: 160, errors: transitionErrors, errors_by_code: {} }], {
    ...denial,
    ...change,
  })
    .filter((one) => !one.kept)
    .map(({ promise }) => promise.split(' ').slice(0, 5).join(' '));

test('keeps every promise when everything went as it should', () => {
  expect(kept(good)).toEqual([]);
});

test.each<[string, string[]]>([
  ['one failed request in a stage', kept(but('plain', { errors: 1 }))],
  ['one failed request in a transition', kept(good, 1)],
])('breaks the promise of no failed request with %s', (_, broken) => {
  expect(broken).toEqual(['no request of the regular']);
});

test('breaks the promise of mutual TLS with one plaintext connection, and with none at all', () => {
  expect(kept(but('ambient', { plaintext_connections: 1 }))).toEqual(['in ambient every pod-to-pod connection']);
  expect(kept(but('ambient', { mtls_connections: 0 }))).toEqual(['in ambient every pod-to-pod connection']);
});

test('does not believe a capture that saw nothing readable even without the mesh', () => {
  expect(kept(but('plain', { wire: { ...good[0]!.wire, readable_sentences: 0 } }))).toEqual(['in ambient nothing readable is']);
});

test.each<[string, Partial<DenialReport>]>([
  ['no refusal was seen', { first_refusal_ms: null }],
  ['the refusal came late', { first_refusal_ms: 1_001 }],
  ['a later call was answered', { answered_after_a_second: 1 }],
  ['a connection stayed open', { open_connections_left: 1 }],
  ['open connections were closed late', { open_connections_closed_ms: 4_000 }],
])('breaks the promise of denial when %s', (_, change) => {
  expect(kept(good, 0, change)).toEqual(['a denied caller is refused']);
});

test('breaks the promise of the log when no line names the policy', () => {
  expect(kept(good, 0, { log_reason: null })).toEqual(['the access log names the']);
});

test.each<[string, StageReport[], string]>([
  ['a request went past the waypoint', but('waypoint', { waypoint_requests: 99 }), 'every request to the models'],
  ['the waypoint counted nothing', but('shift-100', { waypoint_requests: null }), 'every request to the models'],
  ['the split is too far off', but('split-80-20', { per_version: { v1: 50, v2: 50 } }), 'a route of 80 to'],
  ['one that asked for v2 got v1', but('ab-header', { per_version_asked: { v1: 1, v2: 24 } }), 'who asks for v2 by'],
  ['one that did not ask got v2', but('ab-header', { per_version: { v1: 74, v2: 26 } }), 'who asks for v2 by'],
  ['nobody asked', but('ab-header', { per_version_asked: {} }), 'who asks for v2 by'],
  ['v1 still answers after the shift', but('shift-100', { per_version: { v1: 1, v2: 99 } }), 'after the shift every request'],
  ['plain text passes the waypoint', but('split-80-20', { plaintext_connections: 1 }), 'in ambient every pod-to-pod connection'],
])('breaks a promise of routing when %s', (_, stages, broken) => {
  expect(kept(stages)).toEqual([broken]);
});

test('a stage that was not measured keeps no promise', () => {
  expect(kept(good.filter(({ name }) => name !== 'split-80-20'))).toContain('a route of 80 to');
  expect(splitOf(good)).toMatchObject({ requests: 100, per_version: { v1: 78, v2: 22 }, within_limit: true });
});

test('promises nothing for the sidecars it compares with', () => {
  expect(kept([...good, stage('sidecars', { errors: 5, mtls_connections: null, plaintext_connections: null, correct: 0 })])).toEqual([]);
});
