/** The demo over a real ztunnel as the peer of ours, and in its place; without a binary these tests say that they did not run. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { LATEEN, type Sandbox, sandbox } from '../support/cluster.ts';
import { useRealZtunnel, ZTUNNEL_BIN } from './real-ztunnel.ts';

const isMissing = ZTUNNEL_BIN === undefined;

describe.skipIf(isMissing)(isMissing ? 'not run: ZTUNNEL_BIN names no real ztunnel' : 'with a real ztunnel', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox();
    await box.must([LATEEN, 'up']);
  }, 120_000);
  afterAll(() => box.close());

  const demo = async () => {
    const report = JSON.parse(await box.must([LATEEN, 'demo', '--json', '--quick'], { timeout: 170_000 })) as {
      ok: boolean;
      stages: { name: string; errors: number; mtls_connections: number; plaintext_connections: number }[];
    };
    expect(report.stages.filter(({ errors }) => errors > 0)).toEqual([]);
    expect(report.stages.map(({ name }) => name)).toContain('split-80-20');
    const ambient = report.stages.find((stage) => stage.name === 'ambient');
    expect(ambient?.plaintext_connections).toBe(0);
    expect(ambient?.mtls_connections).toBeGreaterThan(0);
    expect(report.ok).toBe(true);
  };

  test('ours on one node and the real one on the other carry the demo together', async () => {
    await useRealZtunnel(box, 'node2');
    await demo();
  }, 300_000);

  test('the real one takes the place of ours on both nodes', async () => {
    await useRealZtunnel(box, 'both');
    await demo();
  }, 300_000);
});
