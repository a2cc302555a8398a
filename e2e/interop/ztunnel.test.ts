/**
 * A real ztunnel (`ZTUNNEL_BIN`) as the peer of ours, and in its place: same control plane, certificate authority, node agent and manifests.
 * Neither the binary nor anything of it belongs to this repository; without one these tests say that they did not run.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import path from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { eventually, LATEEN, ROOT, type Sandbox, sandbox } from '../support/cluster.ts';

const binary = process.env['ZTUNNEL_BIN'];

interface DaemonSet {
  kind: string;
  metadata: { name: string };
  spec: {
    selector: { matchLabels: Record<string, string> };
    template: {
      metadata: { labels: Record<string, string> };
      spec: {
        nodeSelector?: Record<string, string>;
        containers: { command?: string[]; args: string[]; env: { name: string; value?: string }[] }[];
      };
    };
  };
}

/** The ztunnel DaemonSet of deploy/mesh.yaml, kept to some nodes; with `command` it runs that program instead. */
function ztunnelOn(nodes: Record<string, string>, name: string, command?: string): DaemonSet {
  const documents = parseAllDocuments(fs.readFileSync(path.join(ROOT, 'deploy/mesh.yaml'), 'utf8')).map(
    (document) => document.toJS() as DaemonSet,
  );
  const set = documents.find((one) => one.kind === 'DaemonSet' && one.metadata.name === 'ztunnel');
  if (set === undefined) throw new Error('deploy/mesh.yaml has no DaemonSet ztunnel');
  set.spec.template.spec.nodeSelector = nodes;
  if (command === undefined) return set;
  set.metadata.name = name;
  if (name !== 'ztunnel') for (const labels of [set.spec.selector.matchLabels, set.spec.template.metadata.labels]) labels['program'] = name;
  const container = set.spec.template.spec.containers[0]!;
  container.command = [command];
  container.env.push({ name: 'ISTIO_META_DNS_CAPTURE', value: 'false' });
  return set;
}

describe.skipIf(binary === undefined)(binary === undefined ? 'not run: ZTUNNEL_BIN names no real ztunnel' : 'with a real ztunnel', () => {
  let box: Sandbox;
  beforeAll(async () => {
    box = sandbox();
    await box.must([LATEEN, 'up']);
  }, 120_000);
  afterAll(() => box.close());

  const arrange = async (...sets: DaemonSet[]) => {
    await box.run([LATEEN, 'delete', 'daemonset', 'ztunnel', 'ztunnel-real', '-n', 'istio-system', '--ignore-not-found']);
    await eventually('the old proxies to be gone', 60, async () =>
      (await box.must([LATEEN, 'get', 'pods', '-n', 'istio-system', '-o', 'name'])).includes('ztunnel') ? undefined : true,
    );
    await box.must(['kubectl', 'apply', '-f', '-'], { stdin: sets.map((set) => stringify(set)).join('---\n') });
    await eventually('the new proxies to be ready', 60, async () => {
      const pods = await box.must([LATEEN, 'get', 'pods', '-n', 'istio-system', '--no-headers']);
      const proxies = pods.split('\n').filter((line) => line.startsWith('ztunnel'));
      return proxies.length === 2 && proxies.every((line) => line.includes('1/1')) ? true : undefined;
    });
  };

  const demo = async () => {
    const report = JSON.parse(await box.must([LATEEN, 'demo', '--json', '--quick'], { timeout: 170_000 })) as {
      ok: boolean;
      stages: { name: string; errors: number; mtls_connections: number; plaintext_connections: number }[];
    };
    expect(report.stages.map((stage) => stage.errors)).toEqual([0, 0, 0, 0]);
    const ambient = report.stages.find((stage) => stage.name === 'ambient');
    expect(ambient?.plaintext_connections).toBe(0);
    expect(ambient?.mtls_connections).toBeGreaterThan(0);
    expect(report.ok).toBe(true);
  };

  test('ours on one node and the real one on the other carry the demo together', async () => {
    await arrange(
      ztunnelOn({ 'kubernetes.io/hostname': 'node1' }, 'ztunnel'),
      ztunnelOn({ 'kubernetes.io/hostname': 'node2' }, 'ztunnel-real', binary),
    );
    await demo();
  }, 300_000);

  test('the real one takes the place of ours on both nodes', async () => {
    await arrange(ztunnelOn({ 'kubernetes.io/os': 'linux' }, 'ztunnel', binary));
    await demo();
  }, 300_000);
});
