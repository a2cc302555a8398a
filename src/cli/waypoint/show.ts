import { stringify } from 'yaml';
import type { KubeClient } from '../../platform/kubernetes/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { readDuration } from '../objects/wait.ts';
import { note, print, table } from '../output.ts';
import { type GatewayView, isProgrammed, listWaypoints, qualifiedName } from './gateway.ts';
import { listRows, type Rows, statusRows, summarise, whyNot } from './views.ts';

const POLL_MS = 250;

export interface ShowOptions extends ConnectionOptions {
  readonly allNamespaces?: boolean;
  readonly output: string;
}

/** `lateen waypoint list`. */
export const list = async (options: ShowOptions): Promise<void> => {
  checkOutput(options.output);
  const { client, namespace } = connect(options);
  const gateways = await listWaypoints(client, options.allNamespaces === true ? undefined : namespace);
  show(gateways, options.output, listRows(gateways, options.allNamespaces === true));
};

export interface StatusOptions extends ShowOptions {
  readonly name?: string;
  readonly wait: boolean;
  readonly timeout: string;
}

/** `lateen waypoint status`: waits until every waypoint is programmed, unless told not to, and shows the reason of each. */
export const status = async (options: StatusOptions): Promise<void> => {
  checkOutput(options.output);
  const limitMs = readDuration(options.timeout);
  const { client, namespace } = connect(options);
  const scope = options.allNamespaces === true ? undefined : namespace;
  const end = performance.now() + limitMs;
  let gateways = await chosen(client, scope, options.name);
  while (options.wait && !gateways.every(isProgrammed) && performance.now() < end) {
    await Bun.sleep(POLL_MS);
    gateways = await chosen(client, scope, options.name);
  }
  show(gateways, options.output, statusRows(gateways, options.allNamespaces === true));
  const late = gateways.filter((gateway) => !isProgrammed(gateway));
  if (options.wait && late.length > 0)
    throw new CliError(
      `not ready within ${options.timeout}: ${late.map((gateway) => `${qualifiedName(gateway)}: ${whyNot(gateway)}`).join('; ')}`,
      EXIT.timeout,
      'Without waiting: --no-wait; longer: --timeout.',
    );
};

const chosen = async (client: KubeClient, namespace: string | undefined, name: string | undefined): Promise<readonly GatewayView[]> => {
  const all = await listWaypoints(client, namespace);
  if (name === undefined) return all;
  const named = all.filter(({ metadata }) => metadata?.name === name);
  if (named.length === 0)
    throw new CliError(
      `waypoint ${namespace === undefined ? '' : `${namespace}/`}${name} not found`,
      EXIT.notFound,
      'The waypoints there are: lateen waypoint list -A',
    );
  return named;
};

const checkOutput = (output: string): void => {
  if (!['table', 'json', 'yaml'].includes(output))
    throw new CliError(`-o ${output}: not an output format`, EXIT.usage, 'Use table, json or yaml.');
};

const show = (gateways: readonly GatewayView[], output: string, { header, rows }: Rows): void => {
  if (output === 'json') print(JSON.stringify(gateways.map(summarise), null, 4));
  else if (output === 'yaml') print(stringify(gateways.map(summarise)).trimEnd());
  else if (rows.length === 0) note('No waypoints found.');
  else print(table(header, rows));
};
