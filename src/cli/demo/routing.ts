import type { HttpTable, ServicePlan } from '../../mesh/http/index.ts';
import { defineResource, isNotFound, type KubeClient } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { fetchDumps, requestPod } from '../mesh/config-dump.ts';
import type { PodView } from '../pods/choose.ts';
import { podsMatching } from '../pods/choose.ts';
import { GATEWAY_NAME_LABEL, GATEWAYS, isProgrammed, NAMESPACES, USE_WAYPOINT_LABEL } from '../waypoint/gateway.ts';
import { whyNot } from '../waypoint/views.ts';
import { applyExample } from './pipeline.ts';

/** The namespace of the models, and what examples/pipeline calls its objects. */
const NAMESPACE = 'ai-inference';
const SERVICE = 'inference-api';
const WAYPOINT = 'waypoint';
const ADMIN_PORT = 15_000;
const DEPLOY_LIMIT_MS = 60_000;
const EFFECT_LIMIT_MS = 20_000;
const POLL_MS = 100;

const ROUTES = [
  defineResource('networking.istio.io/v1', 'VirtualService', 'virtualservices'),
  defineResource('networking.istio.io/v1', 'DestinationRule', 'destinationrules'),
  defineResource('gateway.networking.k8s.io/v1', 'HTTPRoute', 'httproutes'),
];

/** Creates the waypoint and waits for all of its replicas. */
export const deployWaypoint = async (client: KubeClient): Promise<readonly PodView[]> => {
  await applyExample(client, 'waypoint.yaml');
  const end = performance.now() + DEPLOY_LIMIT_MS;
  for (;;) {
    const [gateway, pods] = await Promise.all([
      client.get(GATEWAYS, WAYPOINT, { namespace: NAMESPACE }),
      podsMatching(client, NAMESPACE, `${GATEWAY_NAME_LABEL}=${WAYPOINT}`),
    ]);
    const ready = pods.filter(({ status }) => status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') === true);
    if (isProgrammed(gateway) && pods.length > 1 && ready.length === pods.length) return pods;
    if (performance.now() > end)
      throw new CliError(
        `waypoint ${NAMESPACE}/${WAYPOINT} was not ready within ${DEPLOY_LIMIT_MS / 1000} s, ${ready.length} of ${pods.length} pods are: ${whyNot(gateway)}`,
        EXIT.timeout,
        `lateen logs -n ${NAMESPACE} -l ${GATEWAY_NAME_LABEL}=${WAYPOINT}; lateen waypoint status -n ${NAMESPACE} --no-wait`,
      );
    await Bun.sleep(POLL_MS);
  }
};

/** The label that sends the namespace's traffic through the waypoint, or takes it off. */
export const bindNamespace = async (client: KubeClient, isBound: boolean): Promise<void> => {
  await client.patch(
    NAMESPACES,
    NAMESPACE,
    { metadata: { labels: { [USE_WAYPOINT_LABEL]: isBound ? WAYPOINT : null } } },
    { fieldManager: 'lateen' },
  );
};

/** Removes waypoint, label and routes; what is not there is left so. */
export const removeRouting = async (client: KubeClient): Promise<void> => {
  const unlessMissing = (error: unknown): void => {
    if (!isNotFound(error)) throw error;
  };
  await bindNamespace(client, false).catch(unlessMissing);
  for (const resource of ROUTES) await client.delete(resource, SERVICE, { namespace: NAMESPACE }).catch(unlessMissing);
  await client.delete(GATEWAYS, WAYPOINT, { namespace: NAMESPACE, propagationPolicy: 'Background' }).catch(unlessMissing);
};

/** Removes the objects of one form of a route, before the other form takes over. */
export const removeVirtualService = async (client: KubeClient): Promise<void> => {
  await client.delete(ROUTES[0]!, SERVICE, { namespace: NAMESPACE }); // it was applied by this demo
};

/** Waits until every node proxy sends to the service through the waypoint and none keeps an older connection past it. */
export const untilThroughWaypoint = async (
  client: KubeClient,
  proxies: readonly PodView[],
  waypoints: readonly PodView[],
): Promise<void> => {
  const addresses = waypoints.map(({ status }) => status?.podIP ?? '');
  await eventually('send to inference-api through its waypoint', async () => {
    const dumps = await fetchDumps(client, proxies);
    let past = 0;
    for (const { dump } of dumps) {
      const service = dump.services?.find(({ name, namespace }) => name === SERVICE && namespace === NAMESPACE);
      if (service?.waypoint === undefined || service.waypoint === null) return 'a node proxy does not know of the waypoint yet';
      const vips = (service.vips ?? []).map((vip) => vip.split('/').at(-1) ?? '');
      for (const { connections } of Object.values(dump.workloadState ?? {}))
        past += (connections?.outbound ?? []).filter(
          ({ originalDst, actualDst }) => vips.includes(hostOf(originalDst ?? '')) && !addresses.includes(hostOf(actualDst)),
        ).length;
    }
    return past === 0 ? undefined : `${past} connections made before are still open`;
  });
};

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');

/** Waits until each replica of the waypoint executes a route that `isMeant`. */
export const untilRouted = async (
  client: KubeClient,
  waypoints: readonly PodView[],
  what: string,
  isMeant: (table: HttpTable) => boolean,
): Promise<void> => {
  await eventually(`execute ${what}`, async () => {
    for (const pod of waypoints) {
      const response = await requestPod(client, pod, ADMIN_PORT, '/config_dump');
      const { plans = [] } = (await response.json()) as { readonly plans?: readonly ServicePlan[] };
      const plan = plans.find(({ service }) => service.startsWith(`${NAMESPACE}/${SERVICE}.`));
      if (plan?.ports.some(({ http }) => http !== undefined && isMeant(http)) !== true) return `pod ${pod.metadata?.name} does not yet`;
    }
    return undefined;
  });
};

/** Whether some rule divides between backends of these weights. */
export const hasWeights =
  (...weights: readonly number[]) =>
  ({ actions }: HttpTable): boolean =>
    actions.some(({ backends }) => backends.length === weights.length && backends.every(({ weight }, index) => weight === weights[index]));

/** Whether some rule looks at this header. */
export const looksAt =
  (header: string) =>
  ({ rules }: HttpTable): boolean =>
    rules.some(({ match }) => match.headers?.some(({ name }) => name === header) === true);

/** `look` returns what is still missing. */
const eventually = async (what: string, look: () => Promise<string | undefined>): Promise<void> => {
  const end = performance.now() + EFFECT_LIMIT_MS;
  for (;;) {
    const missing = await look();
    if (missing === undefined) return;
    if (performance.now() > end)
      throw new CliError(
        `the proxies do not ${what} after ${EFFECT_LIMIT_MS / 1000} s: ${missing}`,
        EXIT.timeout,
        `lateen waypoint routes ${SERVICE} -n ${NAMESPACE}; lateen ztunnel-config service; lateen get vs,httproutes -n ${NAMESPACE} -o yaml`,
      );
    await Bun.sleep(POLL_MS);
  }
};
