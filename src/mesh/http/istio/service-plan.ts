/** The fragments of VirtualServices and the DestinationRules of one service → its part of the route plan. */
import { labelsMatch } from '../../object.ts';
import type { HttpTable, PortPlan, ServicePlan, Subset } from '../plan.ts';
import { type CompiledDestinationRule, destinationRulesFor } from './destination-rule.ts';
import { isCatchAll } from './http-match.ts';
import { compareHosts, compareSources, type IstioLookup, type IstioSource, type RoutedService, sourceText } from './lookup.ts';
import type { SourcedProblem } from './problem.ts';
import { backendPolicy, overridden, type ParsedTrafficPolicy } from './traffic-policy.ts';
import type { PortFragment } from './virtual-service.ts';

export interface IstioServicePlan extends Omit<ServicePlan, 'service'> {
  /** The objects something of it comes from. */
  readonly sources: readonly IstioSource[];
  /** What appears only beside other objects: conflicts, subsets without workloads. */
  readonly problems: readonly SourcedProblem[];
}

/**
 * `fragments` and `rules` may hold those of other services, which are left out.
 * Several VirtualServices for one host are merged (Istio 1.30): older first, routes for everything last. Those that name a host by a wildcard count only
 * where none names it more closely.
 */
export const istioPlanOf = (
  service: RoutedService,
  fragments: readonly PortFragment[],
  rules: readonly CompiledDestinationRule[],
  lookup: Pick<IstioLookup, 'rootNamespace' | 'workloadsOf'>,
): IstioServicePlan => {
  const sources = new Map<string, IstioSource>();
  const problems: SourcedProblem[] = [];
  const use = (source: IstioSource) => sources.set(sourceText(source), source);
  const own = fragments.filter((fragment) => fragment.service === service.key);
  const numbers = [...new Set(own.map(({ port }) => port))].sort((a, b) => a - b);
  const ports = numbers.map((port) =>
    portPlan(
      port,
      own.filter((fragment) => fragment.port === port),
      use,
      problems,
    ),
  );
  const inForce = destinationRulesFor(service, rules, lookup.rootNamespace);
  const policy = inForce.find((rule) => rule.policy !== undefined)?.policy;
  const subsets = mergedSubsets(service, inForce, policy, lookup, problems);
  for (const rule of inForce) {
    use(rule.source);
    if (rule.policy === undefined || rule.policy === policy) continue;
    problems.push({
      source: rule.source,
      kind: 'conflict',
      path: 'spec.trafficPolicy',
      reason: `an older DestinationRule for ${rule.host} has one already, which is in force`,
      remedy: 'keep one',
    });
  }
  return {
    ports,
    ...(policy !== undefined && { policy: backendPolicy(policy) }),
    ...(subsets.length > 0 && { subsets }),
    sources: [...sources.values()].sort(compareSources),
    problems,
  };
};

const portPlan = (
  port: number,
  fragments: readonly PortFragment[],
  use: (source: IstioSource) => void,
  problems: SourcedProblem[],
): PortPlan => {
  const http = closest(fragments, ({ http }) => http !== undefined);
  const tls = closest(fragments, ({ tls }) => tls !== undefined);
  const tcp = closest(fragments, ({ tcp }) => tcp !== undefined);
  for (const { source } of [...http, ...tls, ...tcp]) use(source);
  return {
    port,
    ...(http.length > 0 && { http: mergeTables(http, problems) }),
    ...(tls.length > 0 && { tls: tls.flatMap((fragment) => fragment.tls ?? []) }),
    ...(tcp.length > 0 && { tcp: tcp.flatMap((fragment) => fragment.tcp ?? []) }),
  };
};

const closest = (fragments: readonly PortFragment[], has: (fragment: PortFragment) => boolean): PortFragment[] => {
  const holders = fragments.filter(has);
  const host = holders.map((fragment) => fragment.host).sort(compareHosts)[0];
  return holders.filter((fragment) => fragment.host === host).sort((a, b) => compareSources(a.source, b.source));
};

const mergeTables = (fragments: readonly PortFragment[], problems: SourcedProblem[]): HttpTable => {
  const tables = fragments.flatMap(({ http, source }) => (http === undefined ? [] : [{ http, source }]));
  if (tables.length === 1) return tables[0]!.http;
  const rules: HttpTable['rules'][number][] = [];
  const actions: HttpTable['actions'][number][] = [];
  let last: { readonly rule: HttpTable['rules'][number]; readonly source: IstioSource } | undefined;
  for (const { http, source } of tables) {
    const base = actions.push(...http.actions) - http.actions.length;
    for (const { match, action } of http.rules) {
      const rule = { match, action: base + action };
      if (!isCatchAll(match)) rules.push(rule);
      else if (last === undefined) last = { rule, source };
      else reportShadowed(problems, last.source, source, actions[rule.action]!.name);
    }
  }
  return { rules: last === undefined ? rules : [...rules, last.rule], actions };
};

/** Shown on both, as whoever looks at one of them wonders. */
const reportShadowed = (problems: SourcedProblem[], winner: IstioSource, loser: IstioSource, route: string): void => {
  const both = { kind: 'conflict', path: 'spec.http', remedy: 'keep the route without conditions in one of them' } as const;
  problems.push({
    ...both,
    source: loser,
    reason: `${route} is never reached: ${sourceText(winner)}, which is older, takes all requests that are left`,
  });
  problems.push({ ...both, source: winner, reason: `${route} of ${sourceText(loser)} is for the same requests and is never reached` });
};

const mergedSubsets = (
  service: RoutedService,
  rules: readonly CompiledDestinationRule[],
  servicePolicy: ParsedTrafficPolicy | undefined,
  lookup: Pick<IstioLookup, 'workloadsOf'>,
  problems: SourcedProblem[],
): Subset[] => {
  const merged = new Map<string, Subset>();
  const workloads = rules.some(({ subsets }) => subsets.length > 0) ? lookup.workloadsOf(service.key) : [];
  for (const { source, subsets } of rules) {
    for (const [i, { name, labels, policy }] of subsets.entries()) {
      const path = `spec.subsets[${i}]`;
      if (merged.has(name)) {
        const reason = `an older DestinationRule defines the subset ${name} already, which is in force`;
        problems.push({ source, kind: 'conflict', path, reason, remedy: 'keep one' });
        continue;
      }
      const uids = workloads.filter((workload) => labelsMatch(labels, workload.labels)).map(({ uid }) => uid);
      if (uids.length === 0) {
        const reason = `no workload of ${service.hostname} has the labels of subset ${name}`;
        problems.push({ source, kind: 'unresolved', path: `${path}.labels`, reason, remedy: '' });
      }
      const effective = policy && backendPolicy(overridden(servicePolicy, policy));
      merged.set(name, { name, workloads: uids.sort(), ...(effective !== undefined && { policy: effective }) });
    }
  }
  return [...merged.values()];
};
