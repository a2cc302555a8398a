import { isNotFound, type KubeClient, type KubeObject } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { note, print, style } from '../output.ts';
import {
  GATEWAYS,
  listWaypoints,
  NAMESPACES,
  qualifiedName,
  REVISION_LABEL,
  SERVICES,
  USE_WAYPOINT_LABEL,
  USE_WAYPOINT_NAMESPACE_LABEL,
} from './gateway.ts';

export interface DeleteWaypointOptions extends ConnectionOptions {
  readonly serviceAccount?: string;
  readonly all?: boolean;
  readonly revision?: string;
}

/** `lateen waypoint delete NAME…|--all|--revision`. What is still bound to a deleted waypoint is named. */
export const deleteWaypoints = async (names: readonly string[], options: DeleteWaypointOptions): Promise<void> => {
  if (options.serviceAccount !== undefined)
    throw new CliError(
      `--service-account ${options.serviceAccount}: a waypoint is deleted by its name today`,
      EXIT.usage,
      'The names: lateen waypoint list. Then: lateen waypoint delete NAME',
    );
  const several = options.all === true || options.revision !== undefined;
  if (several && names.length > 0) throw new CliError('names and --all or --revision exclude each other', EXIT.usage);
  if (!several && names.length === 0)
    throw new CliError(
      'no waypoint was named',
      EXIT.usage,
      'Give names, --all, or --revision NAME. They are listed by: lateen waypoint list',
    );
  const { client, namespace } = connect(options);
  const known = await listWaypoints(
    client,
    namespace,
    options.revision === undefined ? undefined : `${REVISION_LABEL}=${options.revision}`,
  );
  const doomed = several ? known.map(({ metadata }) => metadata?.name ?? '') : names;
  const missing: string[] = [];
  for (const name of doomed) {
    if (!known.some(({ metadata }) => metadata?.name === name)) missing.push(name);
    else if (await removeOne(client, namespace, name)) print(`waypoint ${namespace}/${name} deleted`);
    else missing.push(name);
  }
  if (several && doomed.length === 0) note(`No waypoints found in ${namespace} namespace.`);
  for (const line of await stillBound(client, namespace, doomed)) note(`${style.yellow('warning:')} ${line}`);
  if (missing.length > 0)
    throw new CliError(
      missing.map((name) => `waypoint ${namespace}/${name} not found`).join('\n'),
      EXIT.notFound,
      'The waypoints there are: lateen waypoint list -A',
    );
};

const removeOne = (client: KubeClient, namespace: string, name: string): Promise<boolean> =>
  client.delete(GATEWAYS, name, { namespace, propagationPolicy: 'Background' }).then(
    () => true,
    (error: unknown) => {
      if (isNotFound(error)) return false; // somebody else was faster
      throw error;
    },
  );

/** Namespaces and services whose label still names one of the waypoints: their traffic goes without layer 7 until the label is gone or the waypoint back. */
const stillBound = async (client: KubeClient, namespace: string, names: readonly string[]): Promise<string[]> => {
  if (names.length === 0) return [];
  const [namespaces, services] = await Promise.all([client.listAll(NAMESPACES), client.listAll(SERVICES)]);
  const bound = (object: KubeObject, own: string): string | undefined => {
    const labels = object.metadata?.labels ?? {};
    const name = labels[USE_WAYPOINT_LABEL];
    return name !== undefined && names.includes(name) && (labels[USE_WAYPOINT_NAMESPACE_LABEL] ?? own) === namespace ? name : undefined;
  };
  const line = (what: string, command: string, name: string): string =>
    `${what} is still labelled ${USE_WAYPOINT_LABEL}=${name}; take it off: lateen label ${command} ${USE_WAYPOINT_LABEL}-`;
  return [
    ...namespaces.items.flatMap((one) => {
      const own = one.metadata?.name ?? '';
      const name = bound(one, own);
      return name === undefined ? [] : [line(`namespace ${own}`, `namespace ${own}`, name)];
    }),
    ...services.items.flatMap((one) => {
      const { name: service = '', namespace: own = '' } = one.metadata ?? {};
      const name = bound(one, own);
      return name === undefined ? [] : [line(`service ${qualifiedName(one)}`, `service ${service} -n ${own}`, name)];
    }),
  ];
};
