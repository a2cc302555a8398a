import { stringify } from 'yaml';
import type { ServicePlan } from '../../mesh/http/index.ts';
import { isNotFound, type KubeClient } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { requestPod } from '../mesh/config-dump.ts';
import { note, print, style, table } from '../output.ts';
import { type PodView, podsMatching } from '../pods/choose.ts';
import { DEFAULT_NAME, GATEWAY_NAME_LABEL, NAMESPACES, SERVICES, USE_WAYPOINT_LABEL, USE_WAYPOINT_NAMESPACE_LABEL } from './gateway.ts';
import { type RouteFilter, routeRows, selectPlans } from './routes.ts';

const ADMIN_PORT = 15_000;

/** `/config_dump` of a waypoint, as far as it is read here; all of it is printed by `-o json`. */
interface WaypointDump {
  readonly plans?: readonly ServicePlan[];
  readonly [part: string]: unknown;
}

export interface ConfigOptions extends ConnectionOptions {
  readonly output: string;
  readonly service?: string;
}

/** `lateen waypoint config [name]`: what the replicas of a waypoint execute. */
export const showConfig = async (name: string | undefined, options: ConfigOptions): Promise<void> => {
  const { client, namespace } = connect(options);
  await printRoutes(client, { namespace, name: name ?? DEFAULT_NAME }, options.output, {
    ...(options.service !== undefined && { service: options.service }),
  });
};

/** `lateen waypoint routes SERVICE`: the same for one service, at the waypoint its labels name. */
export const showRoutes = async (service: string, options: ConfigOptions): Promise<void> => {
  const { client, namespace } = connect(options);
  const waypoint = await waypointOf(client, namespace, service);
  if (options.output === 'table') note(`${service}.${namespace} is served by waypoint ${waypoint.namespace}/${waypoint.name}`);
  await printRoutes(client, waypoint, options.output, { namespace, service });
};

export interface WaypointName {
  readonly namespace: string;
  readonly name: string;
}

/** By the labels of the service, else of its namespace (reference 7.2, step 1). */
export const waypointOf = async (client: KubeClient, namespace: string, service: string): Promise<WaypointName> => {
  const [own, around] = await Promise.all([client.get(SERVICES, service, { namespace }), client.get(NAMESPACES, namespace)]);
  const labels = [own.metadata?.labels ?? {}, around.metadata?.labels ?? {}].find((one) => one[USE_WAYPOINT_LABEL] !== undefined) ?? {};
  const name = labels[USE_WAYPOINT_LABEL];
  if (name === undefined || name === 'none')
    throw new CliError(
      `service ${namespace}/${service} uses no waypoint: ${name === 'none' ? `its label ${USE_WAYPOINT_LABEL} says none` : `neither it nor its namespace has the label ${USE_WAYPOINT_LABEL}`}`,
      EXIT.notFound,
      `Bind it: lateen label service ${service} -n ${namespace} ${USE_WAYPOINT_LABEL}=${DEFAULT_NAME}`,
    );
  return { namespace: labels[USE_WAYPOINT_NAMESPACE_LABEL] ?? namespace, name };
};

const printRoutes = async (client: KubeClient, waypoint: WaypointName, output: string, filter: RouteFilter): Promise<void> => {
  if (!['table', 'json', 'yaml'].includes(output))
    throw new CliError(`-o ${output}: not an output format`, EXIT.usage, 'Use table, json or yaml.');
  const dump = await readDump(client, waypoint);
  const plans = selectPlans(dump.plans ?? [], filter);
  const narrowed = filter.service === undefined ? dump : plans;
  if (output === 'json') print(JSON.stringify(narrowed, null, 4));
  else if (output === 'yaml') print(stringify(narrowed).trimEnd());
  else if (plans.length === 0)
    note(
      filter.service === undefined
        ? `Waypoint ${waypoint.namespace}/${waypoint.name} serves no services yet.`
        : `Waypoint ${waypoint.namespace}/${waypoint.name} has no routes for ${filter.service}: what is addressed to it goes to the service itself.`,
    );
  else {
    const { header, rows } = routeRows(plans);
    print(table(header, rows));
  }
};

/** What the first replica executes, with a warning when another one executes something else. */
export const readDump = async (client: KubeClient, waypoint: WaypointName): Promise<WaypointDump> => {
  const pods = await runningPods(client, waypoint);
  const dumps = await Promise.all(pods.map((pod) => fetchDump(client, pod)));
  warnOfDifferences(pods, dumps);
  return dumps[0] ?? {};
};

const runningPods = async (client: KubeClient, { namespace, name }: WaypointName): Promise<PodView[]> => {
  const pods = await podsMatching(client, namespace, `${GATEWAY_NAME_LABEL}=${name}`).catch((error: unknown) => {
    if (isNotFound(error)) return [];
    throw error;
  });
  const running = pods.filter(({ status }) => status?.phase === 'Running');
  if (running.length === 0)
    throw new CliError(
      `waypoint ${namespace}/${name} has no running pods`,
      EXIT.notFound,
      `Is it there? lateen waypoint list -n ${namespace}; lateen waypoint status --no-wait -n ${namespace}`,
    );
  return running;
};

const fetchDump = async (client: KubeClient, pod: PodView): Promise<WaypointDump> => {
  const response = await requestPod(client, pod, ADMIN_PORT, '/config_dump');
  if (!response.ok) throw new CliError(`pod ${pod.metadata?.name}: /config_dump answered ${response.status}`);
  return (await response.json()) as WaypointDump; // our own program's format
};

/** Replicas are the same but for the moments in which a change travels. */
const warnOfDifferences = (pods: readonly PodView[], dumps: readonly WaypointDump[]): void => {
  const first = JSON.stringify(dumps[0]?.plans);
  const other = pods.filter((_, index) => JSON.stringify(dumps[index]?.plans) !== first).map(({ metadata }) => metadata?.name);
  if (other.length > 0)
    note(
      `${style.yellow('warning:')} ${other.join(', ')} and ${pods[0]?.metadata?.name} do not have the same routes; the latter's are shown`,
    );
};
