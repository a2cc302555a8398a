import { defineResource, type KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { PODS, type PodView } from '../pods/choose.ts';

const NAMESPACES = defineResource('v1', 'Namespace', 'namespaces', 'Cluster');
const LABEL = 'istio.io/dataplane-mode';
const ANNOTATION = 'ambient.istio.io/redirection';
const POLL_MS = 100;

/** Sets or removes the one label that moves a namespace, as `kubectl label namespace` does. */
export const labelNamespaces = async (client: KubeClient, namespaces: readonly string[], mode: 'ambient' | undefined): Promise<void> => {
  await Promise.all(
    namespaces.map((name) =>
      client.patch(NAMESPACES, name, { metadata: { labels: { [LABEL]: mode ?? null } } }, { fieldManager: 'lateen' }),
    ),
  );
};

export const anyLabelled = async (client: KubeClient, namespaces: readonly string[]): Promise<boolean> => {
  const { items } = await client.listAll(NAMESPACES);
  return items.some(({ metadata }) => namespaces.includes(metadata?.name ?? '') && metadata?.labels?.[LABEL] !== undefined);
};

const isEnrolled = (pod: PodView): boolean => pod.metadata?.annotations?.[ANNOTATION] === 'enabled';

export const podsOf = async (client: KubeClient, namespaces: readonly string[]): Promise<PodView[]> =>
  (await Promise.all(namespaces.map((namespace) => client.listAll(PODS, { namespace }))))
    .flatMap(({ items }) => items)
    .filter(({ status }) => status?.phase === 'Running');

/** Waits until the node agents have taken every pod in, or out. */
export const untilPods = async (
  client: KubeClient,
  namespaces: readonly string[],
  wanted: 'enrolled' | 'released',
  limitMs: number,
): Promise<number> => {
  const end = performance.now() + limitMs;
  for (;;) {
    const pods = await podsOf(client, namespaces);
    const waiting = pods.filter((pod) => isEnrolled(pod) !== (wanted === 'enrolled'));
    if (pods.length > 0 && waiting.length === 0) return pods.length;
    if (performance.now() > end) {
      const names = waiting.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
      throw new CliError(
        `${waiting.length} of ${pods.length} pods were not ${wanted} within ${limitMs / 1000} s: ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}`,
        EXIT.timeout,
        'The node agent says why: lateen logs -n istio-system -l k8s-app=istio-cni-node --tail 20',
      );
    }
    await Bun.sleep(POLL_MS);
  }
};
