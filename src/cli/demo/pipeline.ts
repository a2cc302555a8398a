import { fileURLToPath } from 'node:url';
import {
  applyManifests,
  defineResource,
  type KubeClient,
  type KubeObject,
  parseManifests,
  type UnknownObject,
} from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import type { LoadClient } from './load-client.ts';

const ANSWER_LIMIT_MS = 60_000;
export const NAMESPACES = ['ai-preprocessing', 'ai-inference', 'ai-postprocessing', 'ai-clients'] as const;
/** The port every stage of the pipeline serves gRPC on. */
export const APPLICATION_PORT = 9000;
export const DENY_POLICY = { namespace: 'ai-inference', name: 'deny-intruder' } as const;

interface DeploymentView extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly availableReplicas?: number; readonly updatedReplicas?: number; readonly observedGeneration?: number };
}
const DEPLOYMENTS = defineResource<DeploymentView>('apps/v1', 'Deployment', 'deployments');
export const POLICIES = defineResource('security.istio.io/v1', 'AuthorizationPolicy', 'authorizationpolicies');

const example = (file: string): string => fileURLToPath(new URL(`../../../examples/pipeline/${file}`, import.meta.url));

/** The objects of a manifest of examples/pipeline. */
export const readExample = async (file: string): Promise<UnknownObject[]> =>
  parseManifests(await Bun.file(example(file)).text(), example(file));

export const applyExample = async (client: KubeClient, ...files: readonly string[]): Promise<void> => {
  for (const file of files) await applyManifests(client, await readExample(file));
};

/** Waits until every Deployment of the namespaces has all its pods. */
export const untilAvailable = async (
  client: KubeClient,
  namespaces: readonly string[],
  limitMs: number,
  progress: (ready: number, all: number) => void,
): Promise<void> => {
  const end = performance.now() + limitMs;
  let told = -1;
  for (;;) {
    const lists = await Promise.all(namespaces.map((namespace) => client.listAll(DEPLOYMENTS, { namespace })));
    const deployments = lists.flatMap(({ items }) => items);
    const wanted = deployments.reduce((sum, { spec }) => sum + (spec?.replicas ?? 1), 0);
    const ready = deployments.reduce((sum, { spec, status }) => sum + Math.min(spec?.replicas ?? 1, status?.availableReplicas ?? 0), 0);
    if (ready !== told) progress(ready, wanted);
    told = ready;
    if (deployments.length > 0 && ready === wanted) return;
    if (performance.now() > end) {
      const late = deployments
        .filter(({ spec, status }) => (status?.availableReplicas ?? 0) < (spec?.replicas ?? 1))
        .map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
      throw new CliError(
        `${ready} of ${wanted} pods are ready after ${limitMs / 1000} s; waiting for ${late.join(', ')}`,
        EXIT.timeout,
        `Look at them with: lateen get pods -A; lateen logs deploy/NAME -n NAMESPACE`,
      );
    }
    await Bun.sleep(150);
  }
};

/** Waits until the load got nothing but answers for a second. */
export const untilAnswered = async (load: LoadClient): Promise<void> => {
  const end = performance.now() + ANSWER_LIMIT_MS;
  for (;;) {
    const now = Date.now();
    const { requests, errors, pending } = await load.look(now - 1_200, now - 200);
    if (requests > 10 && errors === 0 && pending === 0) return;
    if (performance.now() > end)
      throw new CliError(
        `the pipeline does not answer: ${errors} of ${requests} requests of the last second failed`,
        undefined,
        'lateen logs deploy/load -n ai-clients; lateen get pods -A',
      );
    await Bun.sleep(100);
  }
};
