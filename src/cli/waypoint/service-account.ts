import type { KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { PODS, type PodView } from '../pods/choose.ts';
import { SERVICES } from './gateway.ts';

/**
 * What `--service-account NAME` (Istio before 1.22) asks for in today's terms. A waypoint used to belong to an identity and took its traffic without being
 * asked; now it has a name, and whoever wants it says so with a label.
 */
export const serviceAccountAnswer = (
  account: string,
  options: { readonly name?: string; readonly namespace?: string },
  services: readonly string[],
): CliError => {
  const waypoint = options.name ?? `${account}-waypoint`;
  const where = options.namespace === undefined ? '' : ` -n ${options.namespace}`;
  const targets = services.length > 0 ? services : ['SERVICE'];
  return new CliError(
    `--service-account ${account}: a waypoint no longer belongs to a service account; it has a name, and namespaces, services or pods are bound to it by the label istio.io/use-waypoint`,
    EXIT.usage,
    [
      services.length > 0
        ? `The services whose pods run as ${account}, through a waypoint of their own:`
        : `For a service whose pods run as ${account}, through a waypoint of its own:`,
      `  lateen waypoint apply${where} --name ${waypoint} --wait`,
      ...targets.map((service) => `  lateen label service ${service}${where} istio.io/use-waypoint=${waypoint}`),
      'For every service of the namespace:',
      `  lateen waypoint apply${where} --enroll-namespace --wait`,
      'Traffic to pod addresses, too, which the old form covered: add --for all. Nothing was changed.',
    ].join('\n'),
  );
};

interface Selecting {
  readonly metadata?: { readonly name?: string };
  readonly spec?: { readonly selector?: Readonly<Record<string, string>> };
}
interface Running extends PodView {
  readonly spec?: PodView['spec'] & { readonly serviceAccountName?: string };
}

/** Names of the services that select at least one pod of the account. */
export const servicesOfAccount = (account: string, services: readonly Selecting[], pods: readonly Running[]): string[] => {
  const running = pods.filter(({ spec }) => (spec?.serviceAccountName ?? 'default') === account);
  return services
    .filter(({ spec }) => {
      const selector = Object.entries(spec?.selector ?? {});
      return selector.length > 0 && running.some(({ metadata }) => selector.every(([key, value]) => metadata?.labels?.[key] === value));
    })
    .map(({ metadata }) => metadata?.name ?? '')
    .sort();
};

/** Looked up so that the answer names them; without a cluster the answer is general. */
export const findServicesOfAccount = async (client: KubeClient, namespace: string, account: string): Promise<string[]> => {
  const [services, pods] = await Promise.all([client.listAll(SERVICES, { namespace }), client.listAll(PODS, { namespace })]);
  return servicesOfAccount(account, services.items, pods.items);
};
