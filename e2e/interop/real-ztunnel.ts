/**
 * A real ztunnel (`ZTUNNEL_BIN`) in the place of ours: same control plane, certificate authority, node agent and manifests. Neither the binary nor anything
 * of it belongs to this repository.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { eventually, LATEEN, ROOT, type Sandbox } from '../support/cluster.ts';

export const ZTUNNEL_BIN: string | undefined = process.env['ZTUNNEL_BIN'];

interface DaemonSet {
  kind: string;
  metadata: { name: string };
  spec: {
    selector: { matchLabels: Record<string, string> };
    template: {
      metadata: { labels: Record<string, string> };
      spec: {
        nodeSelector?: Record<string, string>;
        containers: { command?: string[] }[];
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
  set.spec.template.spec.containers[0]!.command = [command];
  return set;
}

/** Replaces the node proxies: ours on node1 and the real one on node2, or the real one on both. */
export async function useRealZtunnel(box: Sandbox, where: 'node2' | 'both'): Promise<void> {
  const sets =
    where === 'both'
      ? [ztunnelOn({ 'kubernetes.io/os': 'linux' }, 'ztunnel', ZTUNNEL_BIN)]
      : [
          ztunnelOn({ 'kubernetes.io/hostname': 'node1' }, 'ztunnel'),
          ztunnelOn({ 'kubernetes.io/hostname': 'node2' }, 'ztunnel-real', ZTUNNEL_BIN),
        ];
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
}
