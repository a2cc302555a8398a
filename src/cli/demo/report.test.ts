import { expect, test } from 'bun:test';
import { type DenialReport, judge, type StageReport } from './report.ts';

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
  per_version: { v1: 50, v2: 50 },
  mtls_connections: name === 'ambient' || name === 'deny' ? 40 : 0,
  plaintext_connections: name === 'plain' || name === 'unlabelled' ? 40 : 0,
  wire: {
    packets: 10,
    bytes: 1000,
    tls_bytes: name === 'ambient' ? 1000 : 0,
    plaintext_bytes: name === 'ambient' ? 0 : 1000,
    readable_sentences: name === 'ambient' ? 0 : 7,
  },
  proxy: { cpu_ms_per_1000_requests: 1, memory_mb: 80 },
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
const good = [stage('plain'), stage('ambient'), stage('deny'), stage('unlabelled')];
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
  ['one failed request in a stage', kept([stage('plain', { errors: 1 }), ...good.slice(1)])],
  ['one failed request in a transition', kept(good, 1)],
])('breaks the promise of no failed request with %s', (_, broken) => {
  expect(broken).toEqual(['no request of the regular']);
});

test('breaks the promise of mutual TLS with one plaintext connection, and with none at all', () => {
  expect(kept([good[0]!, stage('ambient', { plaintext_connections: 1 }), ...good.slice(2)])).toEqual([
    'in ambient every pod-to-pod connection',
  ]);
  expect(kept([good[0]!, stage('ambient', { mtls_connections: 0 }), ...good.slice(2)])).toEqual(['in ambient every pod-to-pod connection']);
});

test('does not believe a capture that saw nothing readable even without the mesh', () => {
  const blind = stage('plain', { wire: { ...good[0]!.wire, readable_sentences: 0 } });
  expect(kept([blind, ...good.slice(1)])).toEqual(['in ambient nothing readable is']);
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
