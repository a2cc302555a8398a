/** DestinationRule → subsets and policy of the services it is about (networking.istio.io v1, v1beta1, v1alpha3; ambient-wire 9.3). */
import type { Condition } from '../../object.ts';
import { selectorLabels } from '../../object.ts';
import type { DestinationRuleObject } from './destination-rule-object.ts';
import { checkLimits } from './limits.ts';
import {
  compareHosts,
  compareSources,
  fullHost,
  hostMatches,
  type IstioLookup,
  type IstioSource,
  isExportedTo,
  type RoutedService,
  sourceOf,
} from './lookup.ts';
import { acceptance, type ConfigProblem, notAttached, Problems } from './problem.ts';
import { type ParsedTrafficPolicy, parseTrafficPolicy } from './traffic-policy.ts';

export interface CompiledSubset {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Its own, to be laid over the policy of the service. */
  readonly policy?: ParsedTrafficPolicy;
}

export interface CompiledDestinationRule {
  readonly source: IstioSource;
  /** Full. */
  readonly host: string;
  readonly exportTo: readonly string[];
  readonly policy?: ParsedTrafficPolicy;
  readonly subsets: readonly CompiledSubset[];
  /** Keys of the services whose name matches and that may see it; whether it is the one in force is `destinationRulesFor`'s to say. */
  readonly services: readonly string[];
  readonly condition: Condition;
  readonly problems: readonly ConfigProblem[];
  /** Invalid: the caller keeps what was in force before. */
  readonly isRefused: boolean;
  /** Compile again when services of these hosts come, go, or change their waypoint. */
  readonly dependsOn: { readonly hosts: readonly string[] };
}

export const compileDestinationRule = (object: DestinationRuleObject, lookup: IstioLookup): CompiledDestinationRule => {
  const { metadata, spec = { host: '' } } = object;
  const source = sourceOf('DestinationRule', metadata);
  const problems = new Problems();
  const host = fullHost(spec.host, source.namespace, lookup.clusterDomain);
  const exportTo = spec.exportTo ?? [];
  checkLimits(problems, 'spec', spec);
  if (spec.host === '') problems.invalid('spec.host', 'is empty');
  const policy = spec.trafficPolicy && parseTrafficPolicy(problems, 'spec.trafficPolicy', spec.trafficPolicy);
  const subsets = subsetsOf(problems, spec.subsets ?? []);
  const isForClients = selectorLabels(spec.workloadSelector) !== undefined;
  if (isForClients) {
    problems.unsupported('spec.workloadSelector', 'selects clients, which a waypoint does not stand for: the rule is not applied');
  }
  const candidates = spec.host === '' ? [] : lookup.servicesOf(host).filter(({ hostname }) => hostMatches(host, hostname));
  const services = candidates.filter((service) => rank(source.namespace, exportTo, service, lookup.rootNamespace) !== undefined);
  const isApplied = !problems.isInvalid && !isForClients;
  return {
    source,
    host,
    exportTo,
    ...(policy !== undefined && { policy }),
    subsets,
    services: isApplied ? services.map(({ key }) => key).sort() : [],
    condition: conditionOf(problems, host, candidates, services, isForClients),
    problems: problems.list,
    isRefused: problems.isInvalid,
    dependsOn: { hosts: [host] },
  };
};

const subsetsOf = (problems: Problems, written: NonNullable<NonNullable<DestinationRuleObject['spec']>['subsets']>): CompiledSubset[] => {
  const names = new Set<string>();
  return written.map(({ name, labels = {}, trafficPolicy }, i) => {
    const path = `spec.subsets[${i}]`;
    if (name === '') problems.invalid(`${path}.name`, 'is empty');
    if (names.has(name)) problems.invalid(`${path}.name`, `there are two subsets ${name}`);
    names.add(name);
    const own = trafficPolicy && parseTrafficPolicy(problems, `${path}.trafficPolicy`, trafficPolicy);
    return { name, labels, ...(own !== undefined && { policy: own }) };
  });
};

const conditionOf = (
  problems: Problems,
  host: string,
  candidates: readonly RoutedService[],
  services: readonly RoutedService[],
  isForClients: boolean,
): Condition => {
  if (problems.isInvalid) return acceptance(problems.list);
  if (isForClients) return notAttached('UnsupportedValue', 'spec.workloadSelector: selects clients, which a waypoint does not stand for');
  if (candidates.length === 0) return notAttached('NoMatchingService', `spec.host: no service is called ${host}`);
  if (services.length === 0) {
    return notAttached(
      'NotVisible',
      `waypoints look for the rules of ${host} in their own namespace, in that of the service and in the root namespace, and heed exportTo`,
    );
  }
  return acceptance(problems.list);
};

/**
 * Where a waypoint looks for the rules of a service it sends to: its own namespace (0), the service's (1), the root namespace (2); the first with any decides.
 * The waypoint is the one of the service itself, or, where it has none, one of its namespace.
 */
const rank = (owner: string, exportTo: readonly string[], service: RoutedService, rootNamespace: string): number | undefined => {
  const client = service.waypointNamespace ?? service.namespace;
  // The root namespace's rules are for all, even when a waypoint lives there.
  if (owner === client && owner !== rootNamespace) return 0;
  if (!isExportedTo(exportTo, owner, client)) return undefined;
  if (owner === service.namespace) return 1;
  return owner === rootNamespace ? 2 : undefined;
};

/** Of all rules those in force for a service: of one namespace and of one, the most specific host; older first. */
export const destinationRulesFor = (
  service: RoutedService,
  rules: readonly CompiledDestinationRule[],
  rootNamespace: string,
): readonly CompiledDestinationRule[] => {
  const ranked = rules.flatMap((rule) => {
    const place = rule.services.includes(service.key) ? rank(rule.source.namespace, rule.exportTo, service, rootNamespace) : undefined;
    return place === undefined ? [] : [{ rule, place }];
  });
  const best = Math.min(...ranked.map(({ place }) => place));
  const near = ranked.filter(({ place }) => place === best).map(({ rule }) => rule);
  const host = near.map((rule) => rule.host).sort(compareHosts)[0];
  return near.filter((rule) => rule.host === host).sort((a, b) => compareSources(a.source, b.source));
};
