import { defineResource, type KubeClient, type KubeObject } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';

interface ContainerStatusView {
  readonly name: string;
  readonly state?: {
    readonly running?: object;
    readonly waiting?: { readonly reason?: string };
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number };
  };
}

/** The parts of a pod these commands read. */
export interface PodView extends KubeObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly {
      readonly name: string;
      readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
    }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly ContainerStatusView[];
    readonly initContainerStatuses?: readonly ContainerStatusView[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

interface Selecting extends KubeObject {
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> } | Readonly<Record<string, string>>;
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly targetPort?: number | string }[];
  };
}

export const PODS = defineResource<PodView>('v1', 'Pod', 'pods');

const toSelector = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');

/** The pods behind `NAME`, `pod/NAME`, `deploy/NAME`, `svc/NAME` …, running and ready ones first. */
export const podsBehind = async (
  client: KubeClient,
  namespace: string,
  word: string,
): Promise<{ pods: PodView[]; service?: Selecting }> => {
  const [kind, name] = word.includes('/') ? (word.split('/', 2) as [string, string]) : ['pod', word];
  const resource = await client.discovery.forName(kind);
  if (resource.kind === 'Pod') return { pods: [await client.get(PODS, name, { namespace })] };
  const owner = (await client.get(resource, name, { namespace })) as Selecting;
  const selector = owner.spec?.selector ?? {};
  const labels =
    resource.kind === 'Service'
      ? (selector as Record<string, string>)
      : ((selector as { matchLabels?: Record<string, string> }).matchLabels ?? {});
  if (Object.keys(labels).length === 0) throw new CliError(`${word} selects no pods`, EXIT.notFound, 'Name a pod instead.');
  const pods = await podsMatching(client, namespace, toSelector(labels));
  if (pods.length === 0) throw new CliError(`${word} has no pods`, EXIT.notFound, `Look at it with: lateen get pods -n ${namespace}`);
  return { pods, ...(resource.kind === 'Service' && { service: owner }) };
};

export const podsMatching = async (client: KubeClient, namespace: string | undefined, labelSelector: string): Promise<PodView[]> => {
  const { items } = await client.listAll(PODS, { labelSelector, ...(namespace !== undefined && { namespace }) });
  return items.sort((a, b) => rank(a) - rank(b) || (a.metadata?.name ?? '').localeCompare(b.metadata?.name ?? ''));
};

const rank = (pod: PodView): number => {
  if (pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true) return 0;
  return pod.status?.phase === 'Running' ? 1 : 2;
};

/** The container to use: the one asked for, or the pod's first. */
export const containerOf = (pod: PodView, wanted: string | undefined): string => {
  const names = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted)) {
    throw new CliError(`pod ${pod.metadata?.name} has no container "${wanted}"`, EXIT.notFound, `It has: ${names.join(', ')}.`);
  }
  const chosen = wanted ?? names[0];
  if (chosen === undefined) throw new CliError(`pod ${pod.metadata?.name} has no containers`, EXIT.notFound);
  return chosen;
};

/** Fails with the reason when the container is known not to run: a refused stream would not say. */
export const requireRunning = (pod: PodView, container: string): void => {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const state = statuses.find(({ name }) => name === container)?.state;
  if (state === undefined || state.running !== undefined) return;
  const reason = state.waiting?.reason ?? state.terminated?.reason ?? pod.status?.phase ?? 'unknown';
  const name = `${pod.metadata?.namespace}/${pod.metadata?.name}`;
  throw new CliError(
    `container ${container} of pod ${name} is not running: ${reason}`,
    EXIT.failure,
    `Its log may say why: lateen logs ${pod.metadata?.name} -n ${pod.metadata?.namespace} --previous`,
  );
};

/** A port given as a number or a name, seen from the pod; through a Service its port is translated to the target port. */
export const podPort = (pod: PodView, service: Selecting | undefined, wanted: string): number => {
  const ports = (pod.spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  const named = (name: string): number => {
    const found = ports.find((port) => port.name === name)?.containerPort;
    if (found === undefined)
      throw new CliError(
        `pod ${pod.metadata?.name} has no port named "${name}"`,
        EXIT.notFound,
        `It has: ${ports.map((port) => port.name ?? port.containerPort).join(', ') || 'none'}.`,
      );
    return found;
  };
  if (service !== undefined) {
    const found = service.spec?.ports?.find((port) => port.name === wanted || String(port.port) === wanted);
    if (found === undefined) throw new CliError(`service ${service.metadata?.name} has no port ${wanted}`, EXIT.notFound);
    const target = found.targetPort ?? found.port;
    return typeof target === 'number' ? target : named(target);
  }
  return /^\d+$/.test(wanted) ? Number(wanted) : named(wanted);
};
