import { explainMatch } from '../../mesh/compile/index.ts';
import type { HttpAction, RequestView, ServicePlan } from '../../mesh/http/index.ts';
import type { Trace } from '../../mesh/index.ts';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { print } from '../output.ts';
import { readDump, waypointOf } from './config.ts';
import { SERVICES } from './gateway.ts';
import { actionText, selectPlans } from './routes.ts';

export interface ExplainRequestOptions extends ConnectionOptions {
  readonly service: string;
  readonly port?: string;
  readonly method: string;
  readonly path: string;
  readonly host?: string;
  readonly header: readonly string[];
  readonly fromNamespace?: string;
  readonly output: string;
}

/** What a waypoint does with a request, and the steps that led there. */
export interface Explanation {
  readonly steps: Trace;
  /** Absent: no rule takes the request; it is answered with 404. */
  readonly action?: HttpAction;
  /** In words. */
  readonly outcome: string;
}

/** `lateen explain request`: asks the waypoint for its plan and evaluates that with the code the waypoint evaluates it with. */
export const explainRequest = async (options: ExplainRequestOptions): Promise<void> => {
  if (!['text', 'json'].includes(options.output))
    throw new CliError(`-o ${options.output}: not an output format`, EXIT.usage, 'Use text or json.');
  if (!options.path.startsWith('/')) throw new CliError(`--path ${options.path}: must begin with /`, EXIT.usage);
  const headers = options.header.map(readHeader);
  const { client, namespace: own } = connect(options);
  const [name = '', namespace = own] = options.service.split('.');
  const { spec } = await client.get(SERVICES, name, { namespace });
  const port = options.port === undefined ? (spec?.ports?.[0]?.port ?? 0) : Number(options.port);
  if (!spec?.ports?.some((one) => one.port === port))
    throw new CliError(
      `service ${namespace}/${name} has no port ${options.port ?? port}`,
      EXIT.notFound,
      `It has: ${spec?.ports?.map((one) => one.port).join(', ') || 'none'}.`,
    );
  const waypoint = await waypointOf(client, namespace, name);
  const { plans = [] } = await readDump(client, waypoint);
  const [plan] = selectPlans(plans, { namespace, service: name });
  const authority = options.host ?? `${name}.${namespace}.svc.cluster.local:${port}`;
  const request: RequestView = { method: options.method, path: options.path, authority, scheme: 'http', headers };
  const explanation = explain(plan, port, request, options.fromNamespace);
  if (options.output === 'json') {
    print(JSON.stringify({ waypoint, request: { service: `${namespace}/${name}`, port, ...request }, ...explanation }, null, 4));
    return;
  }
  print(`waypoint ${waypoint.namespace}/${waypoint.name} has the request for ${name}.${namespace}, port ${port}`);
  for (const { text } of explanation.steps) print(`  ${text}`);
  print(explanation.outcome);
};

/** `name: value` or `name:value`; the name in lower case, as requests have it here. */
export const readHeader = (text: string): readonly [string, string] => {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new CliError(`--header ${text}: not a header`, EXIT.usage, 'Write NAME:VALUE, for example x-model-version:v2.');
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
};

/** Without a plan, or with one that says nothing about the port, the request goes to the service itself. */
export const explain = (
  plan: ServicePlan | undefined,
  port: number,
  request: RequestView,
  sourceNamespace: string | undefined,
): Explanation => {
  const entry = plan?.ports.find((one) => one.port === port) ?? plan?.ports.find((one) => one.port === 0);
  const consumer = entry?.consumers?.find(({ namespace }) => namespace === sourceNamespace);
  const table = consumer?.http ?? entry?.http;
  if (plan === undefined || table === undefined)
    return {
      steps: [{ rule: 'route', text: 'no route is for HTTP traffic to this port' }],
      outcome: 'goes to any endpoint of the service itself',
    };
  const steps: Trace =
    consumer === undefined
      ? []
      : [{ rule: 'route', text: `clients in ${consumer.namespace} have routes of their own, which take the place of the service's` }];
  const found = explainMatch(table, request, sourceNamespace, steps);
  if (found === undefined) return { steps, outcome: 'is answered with 404' };
  return { steps, action: found.action, outcome: outcomeOf(plan.service, found.action) };
};

const outcomeOf = (service: string, action: HttpAction): string => {
  const text = actionText(service, action);
  if (action.redirect !== undefined || action.respond !== undefined) return `is answered here: ${text}`;
  const more = [
    ...(action.rewrite === undefined ? [] : ['rewritten']),
    ...(action.requestHeaders === undefined ? [] : ['with other headers']),
    ...(action.mirrors === undefined || action.mirrors.length === 0 ? [] : ['with a copy to another backend']),
    ...(action.fault === undefined ? [] : ['with a fault injected into a share of the requests']),
    ...(action.timeouts?.request === undefined || action.timeouts.request === 0 ? [] : [`within ${action.timeouts.request} ms`]),
    ...(action.retry === undefined || action.retry.attempts === 0 ? [] : [`tried up to ${action.retry.attempts + 1} times`]),
  ];
  return `goes to ${text}${more.length === 0 ? '' : `, ${more.join(', ')}`}`;
};
