import {
  type ConfigMap,
  ConfigMapKind,
  type Informer,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
  type Namespace,
} from '../../platform/kubernetes/index.ts';

export const ROOT_CONFIG_MAP = 'istio-ca-root-cert';
const ROOT_KEY = 'root-cert.pem';
const PARALLEL = 8;

/** Puts the mesh's root certificate into every namespace that lacks it or has another; ends when all were tried once. */
export async function publishRoot(
  client: KubeClient,
  rootPem: string,
  namespaces: Informer<Namespace>,
  configMaps: Informer<ConfigMap>,
  onError: (error: Error) => void,
): Promise<void> {
  const jobs: (() => Promise<unknown>)[] = [];
  for (const namespace of namespaces.all()) {
    const name = namespace.metadata.name ?? '';
    if (namespace.metadata.deletionTimestamp !== undefined || namespace.status?.phase === 'Terminating') continue;
    const current = configMaps.get(name, ROOT_CONFIG_MAP);
    if (current === undefined) jobs.push(() => client.create<ConfigMap>(ConfigMapKind, configMap(name, rootPem)));
    else if (current.data?.[ROOT_KEY] !== rootPem)
      jobs.push(() => client.patch<ConfigMap>(ConfigMapKind, ROOT_CONFIG_MAP, { data: { [ROOT_KEY]: rootPem } }, { namespace: name }));
  }
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        try {
          await job();
        } catch (error) {
          // Made by another replica, or the namespace went away: the next event shows the truth.
          if (!isAlreadyExists(error) && !isNotFound(error)) onError(error as Error);
        }
      }
    }),
  );
}

const configMap = (namespace: string, rootPem: string): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: ROOT_CONFIG_MAP, namespace, labels: { 'istio.io/config': 'true' } },
  data: { [ROOT_KEY]: rootPem },
});
