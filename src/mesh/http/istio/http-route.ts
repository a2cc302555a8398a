import type { HttpAction, HttpMatch, HttpRule, HttpTable, Mirror } from '../plan.ts';
import { corsOf } from './cors.ts';
import {
  type DestinationContext,
  type ParsedBackend,
  type ParsedDestination,
  parseBackends,
  parseDestination,
  resolveBackend,
  resolveBackends,
} from './destination.ts';
import { durationAt } from './duration.ts';
import { faultOf, percentAt } from './fault.ts';
import { type HeaderEdits, headerEdits } from './header-edit.ts';
import { httpMatch, isCatchAll, isForMesh, type ParsedMatch } from './http-match.ts';
import { MAX_NAME_LENGTH } from './limits.ts';
import type { Problems } from './problem.ts';
import { checkRedirect, checkRewrite, redirectOf, respondOf, rewriteOf } from './redirect.ts';
import { retryOf } from './retry.ts';
import type { IstioHttpRoute, IstioPercent } from './virtual-service-object.ts';

export interface HttpContext extends DestinationContext {
  /** `spec.gateways`. */
  readonly gateways: readonly string[] | undefined;
  /** `VirtualService/namespace/name`. */
  readonly sourceName: string;
}

/** An HTTP route with its path in the object, and the name that tells it apart in logs and metrics. */
export interface NamedHttpRoute {
  readonly path: string;
  readonly name: string;
  readonly route: IstioHttpRoute;
}

/** A route read once; what depends on the match and on the port it came for is filled in by `httpTable`. */
export interface ParsedHttpRoute extends NamedHttpRoute {
  readonly matches: readonly ParsedMatch[];
  readonly backends: readonly ParsedBackend[];
  readonly mirrors: readonly (Pick<Mirror, 'numerator' | 'denominator'> & { readonly destination: ParsedDestination })[];
  readonly edits: HeaderEdits;
  readonly common: Pick<HttpAction, 'respond' | 'requestHeaders' | 'responseHeaders' | 'cors' | 'timeouts' | 'retry' | 'fault'>;
}

export const parseHttpRoute = (context: HttpContext, named: NamedHttpRoute): ParsedHttpRoute => {
  const { problems, lookup } = context;
  const { path, route } = named;
  checkShape(problems, path, route);
  if (route.redirect !== undefined) checkRedirect(problems, `${path}.redirect`, route.redirect);
  if (route.rewrite !== undefined) checkRewrite(problems, `${path}.rewrite`, route.rewrite, lookup);
  const edits = headerEdits(problems, `${path}.headers`, route.headers);
  const respond = route.directResponse && respondOf(problems, `${path}.directResponse`, route.directResponse);
  const cors = corsOf(problems, `${path}.corsPolicy`, route.corsPolicy, lookup);
  const timeout = durationAt(problems, `${path}.timeout`, route.timeout, 0);
  const forwards = (route.route?.length ?? 0) > 0;
  const retry = forwards ? retryOf(problems, `${path}.retries`, route.retries) : undefined;
  const fault = faultOf(problems, `${path}.fault`, route.fault);
  return {
    ...named,
    matches: matchesOf(context, path, route),
    backends: parseBackends(context, `${path}.route`, route.route ?? []),
    mirrors: parseMirrors(context, path, route),
    edits,
    common: {
      ...(respond !== undefined && { respond }),
      ...(edits.request !== undefined && { requestHeaders: edits.request }),
      ...(edits.response !== undefined && { responseHeaders: edits.response }),
      ...(cors !== undefined && { cors }),
      ...(timeout !== undefined && timeout > 0 && { timeouts: { request: timeout } }),
      ...(retry !== undefined && { retry }),
      ...(fault !== undefined && { fault }),
    },
  };
};

const matchesOf = (context: HttpContext, path: string, { match = [] }: IstioHttpRoute): ParsedMatch[] => {
  if (match.length === 0) return isForMesh(context.gateways) ? [{ match: {} }] : [];
  return match.flatMap((one, i) => httpMatch(context.problems, `${path}.match[${i}]`, one, context.gateways, context.lookup) ?? []);
};

/** What Istio refuses at admission: a route forwards, redirects or responds, and nothing of the others beside it. */
const checkShape = (problems: Problems, path: string, route: IstioHttpRoute): void => {
  const actions = [
    ...((route.route?.length ?? 0) > 0 ? ['route'] : []),
    ...(route.redirect !== undefined ? ['redirect'] : []),
    ...(route.directResponse !== undefined ? ['directResponse'] : []),
  ];
  if (actions.length === 0) problems.invalid(path, 'has none of route, redirect, directResponse and delegate');
  if (actions.length > 1) problems.invalid(path, `has ${actions.join(' and ')}`, 'keep one');
  if (actions[0] === undefined || actions[0] === 'route') return;
  for (const field of ['fault', 'rewrite', 'mirror', 'mirrors', 'retries', 'timeout'] as const) {
    const value = route[field];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    if (field === 'fault' || field === 'rewrite') problems.invalid(`${path}.${field}`, `does not go with ${actions[0]}`);
    else problems.unsupported(`${path}.${field}`, `means nothing beside ${actions[0]}`);
  }
};

const MILLION = 1_000_000;

const parseMirrors = (context: HttpContext, path: string, route: IstioHttpRoute): ParsedHttpRoute['mirrors'] => {
  const { problems } = context;
  const older = route.mirrorPercent ?? route.mirror_percent;
  if (route.mirror !== undefined && (route.mirrors?.length ?? 0) > 0) problems.invalid(path, 'has both mirror and mirrors', 'keep mirrors');
  const written = [
    ...(route.mirror === undefined
      ? []
      : [
          {
            at: `${path}.mirror`,
            percentAt: `${path}.mirrorPercentage`,
            destination: route.mirror,
            percentage: route.mirrorPercentage,
            older,
          },
        ]),
    ...(route.mirrors ?? []).map(({ destination, percentage }, i) => {
      const at = `${path}.mirrors[${i}]`;
      return { at: `${at}.destination`, percentAt: `${at}.percentage`, destination, percentage, older: undefined };
    }),
  ];
  return written.flatMap(({ at, percentAt: percentPath, destination, percentage, older }) => {
    const share = shareOf(problems, percentPath, percentage, older);
    const parsed = parseDestination(context, at, destination);
    return share === undefined ? [] : [{ destination: parsed, ...share }];
  });
};

/** Every request when no percentage is given; undefined for 0 %. */
const shareOf = (
  problems: Problems,
  path: string,
  percentage: IstioPercent | undefined,
  older: number | null | undefined,
): Pick<Mirror, 'numerator' | 'denominator'> | undefined => {
  const isGiven = percentage !== undefined || (older !== undefined && older !== null);
  const percent = isGiven ? percentAt(problems, path, percentage, older) : 100;
  if (percent === undefined || percent === 0) return undefined;
  if (Number.isInteger(percent)) return { numerator: percent, denominator: 100 };
  return { numerator: Math.round((percent / 100) * MILLION), denominator: MILLION };
};

/** The table of requests for one service port; undefined when no route is for it, so that the service itself answers. */
export const httpTable = (problems: Problems, routes: readonly ParsedHttpRoute[], listenPort: number): HttpTable | undefined => {
  const rules: HttpRule[] = [];
  const actions: HttpAction[] = [];
  const indexes = new Map<string, number>();
  const intern = (action: HttpAction): number => {
    const key = JSON.stringify(action);
    const known = indexes.get(key);
    if (known !== undefined) return known;
    indexes.set(key, actions.length);
    return actions.push(action) - 1;
  };
  for (const route of routes) {
    for (const { match, port, name } of route.matches) {
      if (port !== undefined && port !== listenPort) continue;
      const actionName = (name === undefined ? route.name : `${route.name}.${name}`).slice(0, MAX_NAME_LENGTH);
      rules.push({ match, action: intern(actionOf(problems, route, actionName, match, listenPort)) });
      // What follows is never reached; as part of a table merged from several objects it would be.
      if (isCatchAll(match)) return { rules, actions };
    }
  }
  return rules.length === 0 ? undefined : { rules, actions };
};

const actionOf = (problems: Problems, parsed: ParsedHttpRoute, name: string, match: HttpMatch, listenPort: number): HttpAction => {
  const { route, path, edits, common } = parsed;
  const redirect = route.redirect && redirectOf(problems, `${path}.redirect`, route.redirect, match, listenPort);
  const routeHost = route.rewrite?.authority || edits.host;
  const rewrite = redirect === undefined && common.respond === undefined ? rewriteOf(route.rewrite, match, edits.host) : undefined;
  const mirrors = parsed.mirrors.map(({ destination, numerator, denominator }): Mirror => {
    const { invalid, ...backend } = resolveBackend(problems, destination, listenPort);
    return { backend, numerator, denominator, ...(invalid !== undefined && { invalid }) };
  });
  return {
    name,
    ...(redirect !== undefined && { redirect }),
    ...common,
    backends: resolveBackends(problems, parsed.backends, listenPort, routeHost),
    ...(rewrite !== undefined && { rewrite }),
    ...(mirrors.length > 0 && { mirrors }),
  };
};
