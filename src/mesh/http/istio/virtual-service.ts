/**
 * VirtualService → fragments of the route plans of the services it is about (networking.istio.io v1, v1beta1, v1alpha3; ambient-wire 9.3).
 * A waypoint honours those of its own and of the service's namespace, for the gateway `mesh`. What cannot be honoured is reported and left out: a match
 * that asks for the client's labels, for example, holds for no client, as a sidecar without such labels would have it.
 */
import type { Condition } from '../../object.ts';
import type { HttpTable, TcpRule, TlsRule } from '../plan.ts';
import { withDelegates } from './delegate.ts';
import { type ParsedBackend, parseBackends, resolveBackends } from './destination.ts';
import { isForMesh, l4Matches } from './http-match.ts';
import { type HttpContext, httpTable, parseHttpRoute } from './http-route.ts';
import { checkLimits } from './limits.ts';
import {
  compareHosts,
  fullHost,
  hostMatches,
  type IstioLookup,
  type IstioSource,
  isExportedTo,
  type RoutedService,
  sourceOf,
  sourceText,
} from './lookup.ts';
import { acceptance, type ConfigProblem, notAttached, Problems } from './problem.ts';
import type { IstioL4Match, IstioTcpRoute, IstioTlsRoute, VirtualServiceObject } from './virtual-service-object.ts';

/** What one VirtualService says about one port of one service. */
export interface PortFragment {
  readonly source: IstioSource;
  /** Key of the service. */
  readonly service: string;
  readonly port: number;
  /** The host, full, by which the VirtualService names the service. */
  readonly host: string;
  readonly http?: HttpTable;
  readonly tls?: readonly TlsRule[];
  readonly tcp?: readonly TcpRule[];
}

export interface CompiledVirtualService {
  readonly source: IstioSource;
  /** Sorted by service and port. */
  readonly fragments: readonly PortFragment[];
  /** Absent when the object is not for waypoints (other gateways only) or is a delegate, which those that name it report on. */
  readonly condition?: Condition;
  readonly problems: readonly ConfigProblem[];
  /** Invalid: the caller keeps what was in force before. */
  readonly isRefused: boolean;
  /** Compile again when one of these changes: full hosts (or wildcards) of services and of DestinationRules, and delegates as `namespace/name`. */
  readonly dependsOn: { readonly hosts: readonly string[]; readonly virtualServices: readonly string[] };
}

export const compileVirtualService = (object: VirtualServiceObject, lookup: IstioLookup): CompiledVirtualService => {
  const { metadata, spec = {} } = object;
  const source = sourceOf('VirtualService', metadata);
  const problems = new Problems();
  const hosts = new Set<string>();
  const delegates = new Set<string>();
  const context: HttpContext = {
    problems,
    namespace: source.namespace,
    lookup,
    hosts,
    gateways: spec.gateways,
    sourceName: sourceText(source),
  };
  const finish = (fragments: readonly PortFragment[], condition: Condition | undefined): CompiledVirtualService => ({
    source,
    fragments: problems.isInvalid ? [] : fragments,
    ...(problems.isInvalid ? { condition: acceptance(problems.list) } : condition !== undefined && { condition }),
    problems: problems.list,
    isRefused: problems.isInvalid,
    dependsOn: { hosts: [...hosts].sort(), virtualServices: [...delegates].sort() },
  });
  checkLimits(problems, 'spec', spec);
  const isDelegate = (spec.hosts?.length ?? 0) === 0;
  if (isDelegate || !concernsMesh(spec)) return finish([], undefined);

  const http = withDelegates(context, spec.http ?? [], delegates).map((named) => parseHttpRoute(context, named));
  const tls = l4Routes(context, 'tls', spec.tls ?? []);
  const tcp = l4Routes(context, 'tcp', spec.tcp ?? []);
  if ((spec.http?.length ?? 0) + tls.length + tcp.length === 0) problems.invalid('spec', 'has none of http, tls and tcp');

  const targets = targetsOf(context, spec.hosts ?? [], spec.exportTo);
  const fragments = targets.found.flatMap(({ service, host }) =>
    [...service.ports]
      .sort((a, b) => a - b)
      .flatMap((port): PortFragment[] => {
        const table = httpTable(problems, http, port);
        const tlsRules = tls.flatMap((route) => tlsRulesOf(context, route, service, port));
        const tcpRules = tcp.flatMap((route) => tcpRulesOf(context, route, service, port));
        if (table === undefined && tlsRules.length + tcpRules.length === 0) return [];
        return [
          {
            source,
            service: service.key,
            port,
            host,
            ...(table !== undefined && { http: table }),
            ...(tlsRules.length > 0 && { tls: tlsRules }),
            ...(tcpRules.length > 0 && { tcp: tcpRules }),
          },
        ];
      }),
  );
  return finish(fragments, targets.found.length > 0 ? acceptance(problems.list) : notAttached(targets.reason, targets.message));
};

/** Whether the object, or one of its matches on its own, names the gateway `mesh`. */
const concernsMesh = ({ gateways, http = [], tls = [], tcp = [] }: NonNullable<VirtualServiceObject['spec']>): boolean =>
  isForMesh(gateways) || [...http, ...tls, ...tcp].some(({ match }) => match?.some((one) => one.gateways?.includes('mesh')));

interface Target {
  readonly service: RoutedService;
  readonly host: string;
}

/** The services whose waypoint honours the object; each host without any is a problem, or, without any host at all, the reason. */
const targetsOf = (
  { problems, namespace, lookup, hosts }: HttpContext,
  written: readonly string[],
  exportTo: readonly string[] | undefined,
): { readonly found: readonly Target[]; readonly reason: string; readonly message: string } => {
  const found = new Map<string, Target>();
  const misses: { readonly path: string; readonly reason: string; readonly message: string }[] = [];
  for (const [i, text] of written.entries()) {
    const host = fullHost(text, namespace, lookup.clusterDomain);
    hosts.add(host);
    const services = lookup.servicesOf(host).filter(({ hostname }) => hostMatches(host, hostname));
    const fit = services.filter((service) => whyNot(service, namespace, exportTo) === undefined);
    for (const service of fit) {
      const known = found.get(service.key);
      if (known === undefined || compareHosts(host, known.host) < 0) found.set(service.key, { service, host });
    }
    if (fit.length > 0) continue;
    const path = `spec.hosts[${i}]`;
    const first = services[0];
    const why =
      first === undefined ? { reason: 'NoMatchingService', message: `no service is called ${host}` } : whyNot(first, namespace, exportTo);
    if (why !== undefined) misses.push({ path, ...why });
  }
  if (found.size > 0) for (const { path, message } of misses) problems.unresolved(path, message);
  return {
    found: [...found.values()].sort((a, b) => (a.service.key < b.service.key ? -1 : 1)),
    reason: misses[0]?.reason ?? 'NoMatchingService',
    message: misses.map(({ path, message }) => `${path}: ${message}`).join('. '),
  };
};

const whyNot = (
  { hostname, namespace, waypointNamespace }: RoutedService,
  owner: string,
  exportTo: readonly string[] | undefined,
): { readonly reason: string; readonly message: string } | undefined => {
  if (waypointNamespace === undefined) {
    return { reason: 'NoWaypoint', message: `${hostname} uses no waypoint; label it, or its namespace, with istio.io/use-waypoint` };
  }
  if (owner !== namespace && owner !== waypointNamespace) {
    const allowed = [...new Set([namespace, waypointNamespace])].join(' or ');
    return { reason: 'NamespaceNotAllowed', message: `waypoints honour rules for ${hostname} only from the namespace ${allowed}` };
  }
  return isExportedTo(exportTo, owner, waypointNamespace)
    ? undefined
    : { reason: 'NotExported', message: `spec.exportTo does not name ${waypointNamespace}, the namespace of the waypoint of ${hostname}` };
};

interface ParsedL4Route<M> {
  readonly path: string;
  readonly name: string;
  readonly match: readonly M[];
  readonly backends: readonly ParsedBackend[];
}

const l4Routes = <M extends IstioL4Match>(
  context: HttpContext,
  kind: 'tcp' | 'tls',
  routes: readonly { readonly match?: readonly M[] | undefined; readonly route?: (IstioTcpRoute | IstioTlsRoute)['route'] }[],
): ParsedL4Route<M>[] =>
  routes.map(({ match = [], route = [] }, i) => {
    const path = `spec.${kind}[${i}]`;
    if (route.length === 0) context.problems.invalid(`${path}.route`, 'is empty');
    if (kind === 'tls' && match.length === 0) context.problems.invalid(`${path}.match`, 'is empty', 'name sniHosts');
    return { path, name: `${context.sourceName}/${kind}/${i}`, match, backends: parseBackends(context, `${path}.route`, route) };
  });

const tcpRulesOf = (context: HttpContext, route: ParsedL4Route<IstioL4Match>, service: RoutedService, port: number): TcpRule[] => {
  const { problems, gateways } = context;
  const rule = (sourceNamespace?: string): TcpRule => ({
    name: route.name,
    ...(sourceNamespace && { sourceNamespace }),
    backends: resolveBackends(problems, route.backends, port),
  });
  if (route.match.length === 0) return isForMesh(gateways) ? [rule()] : [];
  return route.match.flatMap((match, i) =>
    l4Matches(problems, `${route.path}.match[${i}]`, match, gateways, service, port) ? [rule(match.sourceNamespace)] : [],
  );
};

const tlsRulesOf = (
  context: HttpContext,
  route: ParsedL4Route<IstioTlsRoute['match'][number]>,
  service: RoutedService,
  port: number,
): TlsRule[] => {
  const { problems, gateways } = context;
  return route.match.flatMap((match, i) => {
    const path = `${route.path}.match[${i}]`;
    if (match.sniHosts.length === 0 || match.sniHosts.includes('')) problems.invalid(`${path}.sniHosts`, 'is empty');
    if (!l4Matches(problems, path, match, gateways, service, port)) return [];
    // `*` is every server name, which the plan says by naming none.
    const sniHosts = match.sniHosts.includes('*') ? [] : match.sniHosts.map((name) => name.toLowerCase());
    const { sourceNamespace } = match;
    const backends = resolveBackends(problems, route.backends, port);
    return [{ name: route.name, sniHosts, ...(sourceNamespace && { sourceNamespace }), backends }];
  });
};
