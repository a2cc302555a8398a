/** The main promise, end to end: one command, a pipeline under load, from plain text to mutual TLS and back. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { LATEEN, type Sandbox, sandbox } from './support/cluster.ts';

interface Stage {
  readonly name: string;
  readonly requests: number;
  readonly errors: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly mtls_connections: number;
  readonly plaintext_connections: number;
}

let box: Sandbox;
let report: {
  readonly stages: readonly Stage[];
  readonly split: { readonly requests: number; readonly per_version: Readonly<Record<string, number>>; readonly within_limit: boolean };
  readonly ok: boolean;
};
const stage = (name: string): Stage => {
  const found = report.stages.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no stage ${name} in ${JSON.stringify(report)}`);
  return found;
};

beforeAll(async () => {
  box = sandbox();
  report = JSON.parse(await box.must([LATEEN, 'demo', '--json', '--quick'], { timeout: 170_000 }));
}, 180_000);

afterAll(() => box.close());

test('the demo goes through its stages in order and holds its promises', () => {
  expect(report.stages.map((one) => one.name)).toEqual([
    'plain',
    'ambient',
    'deny',
    'waypoint',
    'split-80-20',
    'ab-header',
    'shift-100',
    'unlabelled',
  ]);
  expect(report.ok).toBe(true);
  for (const one of report.stages) expect(one.requests).toBeGreaterThan(50);
});

test('no request of the regular load fails in any stage', () => {
  expect(report.stages.filter((one) => one.errors > 0)).toEqual([]);
});

test('in the ambient stage every connection between pods is mutual TLS, before and after none is', () => {
  expect(stage('plain')).toMatchObject({ mtls_connections: 0 });
  expect(stage('ambient').mtls_connections).toBeGreaterThan(0);
  expect(stage('ambient').plaintext_connections).toBe(0);
  expect(stage('unlabelled')).toMatchObject({ mtls_connections: 0 });
  expect(stage('unlabelled').plaintext_connections).toBeGreaterThan(0);
});

test('the canary goes through the waypoint and is split as its route says', () => {
  const { requests, per_version: perVersion, within_limit: isWithinLimit } = report.split;
  expect(isWithinLimit).toBe(true);
  expect((perVersion['v1'] ?? 0) + (perVersion['v2'] ?? 0)).toBe(requests);
  expect(stage('split-80-20').requests).toBe(requests);
});
