import type { DiscoveredResource, KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';

/** What the words after a verb mean: kinds to list, or named objects. */
export interface Target {
  readonly resource: DiscoveredResource;
  /** Empty: all of the kind. */
  readonly names: readonly string[];
}

/** `deployment.apps`, the way kubectl names a kind in messages. */
export const resourceName = (resource: DiscoveredResource): string =>
  resource.group === '' ? resource.singular : `${resource.singular}.${resource.group}`;

/** Reads `pods`, `pods,services`, `pod NAME…`, `pod/NAME service/NAME` as kubectl does. */
export const readTargets = async (client: KubeClient, words: readonly string[]): Promise<Target[]> => {
  const [first, ...rest] = words;
  if (first === undefined)
    throw new CliError('no kind was named', EXIT.usage, 'Give a kind (pods, svc, deploy …), optionally with names: lateen get pods NAME.');
  if (first.includes('/')) {
    const targets = new Map<string, { resource: DiscoveredResource; names: string[] }>();
    for (const word of words) {
      const [kind = '', name = ''] = word.split('/');
      if (kind === '' || name === '' || word.split('/').length !== 2)
        throw new CliError(`"${word}" is not KIND/NAME`, EXIT.usage, 'With KIND/NAME every word must have that form.');
      const resource = await client.discovery.forName(kind);
      const key = `${resource.group}/${resource.plural}`;
      const target = targets.get(key) ?? { resource, names: [] };
      target.names.push(name);
      targets.set(key, target);
    }
    return [...targets.values()];
  }
  if (rest.some((word) => word.includes('/'))) throw new CliError('KIND NAME and KIND/NAME cannot be mixed', EXIT.usage);
  const kinds = first.split(',').filter((kind) => kind !== '');
  const resources = await Promise.all(kinds.map((kind) => client.discovery.forName(kind)));
  return resources.map((resource) => ({ resource, names: rest }));
};

/** The scope of a request for a kind: none for cluster kinds and for all namespaces. */
export const scopeOf = (resource: DiscoveredResource, namespace: string, allNamespaces = false): { namespace?: string } =>
  resource.namespaced && !allNamespaces ? { namespace } : {};
