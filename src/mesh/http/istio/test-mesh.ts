/** A small mesh for the tests of the compilers: services with waypoints, workloads by label. */
import { checkRegex } from '../regex.ts';
import { compileDestinationRule, destinationRulesFor } from './destination-rule.ts';
import type { DestinationRuleObject } from './destination-rule-object.ts';
import { hostMatches, type IstioLookup, type RoutedService } from './lookup.ts';
import { istioPlanOf } from './service-plan.ts';
import { compileVirtualService } from './virtual-service.ts';
import type { VirtualServiceObject } from './virtual-service-object.ts';

export const service = (name: string, over: Partial<RoutedService> = {}): RoutedService => {
  const namespace = over.namespace ?? 'default';
  const hostname = over.hostname ?? `${name}.${namespace}.svc.cluster.local`;
  return { key: `${namespace}/${hostname}`, namespace, hostname, ports: [8080], waypointNamespace: namespace, ...over };
};

type Workloads = ReturnType<IstioLookup['workloadsOf']>;

export interface MeshParts {
  readonly services?: readonly RoutedService[];
  readonly virtualServices?: readonly VirtualServiceObject[];
  readonly destinationRules?: readonly DestinationRuleObject[];
  /** By service key. */
  readonly workloads?: Readonly<Record<string, Workloads>>;
}

/** What the control plane does, without the increments: compiles everything, and answers lookups. */
export const meshOf = ({ services = [], virtualServices = [], destinationRules = [], workloads = {} }: MeshParts) => {
  const lookup: IstioLookup = {
    rootNamespace: 'istio-system',
    clusterDomain: 'cluster.local',
    servicesOf: (host) => services.filter(({ hostname }) => hostMatches(host, hostname)),
    virtualService: (namespace, name) => virtualServices.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name),
    hasSubset: (key, subset) => {
      const target = services.find((candidate) => candidate.key === key);
      return (
        target !== undefined &&
        destinationRulesFor(target, rules, 'istio-system').some(({ subsets }) => subsets.some(({ name }) => name === subset))
      );
    },
    workloadsOf: (key) => workloads[key] ?? [],
    checkRegex,
  };
  const rules = destinationRules.map((object) => compileDestinationRule(object, lookup));
  const compiled = virtualServices.map((object) => compileVirtualService(object, lookup));
  return {
    lookup,
    rules,
    compiled,
    planOf: (target: RoutedService) =>
      istioPlanOf(
        target,
        compiled.flatMap(({ fragments }) => fragments),
        rules,
        lookup,
      ),
  };
};

export const virtualService = (
  spec: VirtualServiceObject['spec'],
  metadata: VirtualServiceObject['metadata'] = {},
): VirtualServiceObject => ({ metadata: { name: 'reviews', namespace: 'default', ...metadata }, spec });

export const destinationRule = (
  spec: NonNullable<DestinationRuleObject['spec']>,
  metadata: DestinationRuleObject['metadata'] = {},
): DestinationRuleObject => ({ metadata: { name: 'reviews', namespace: 'default', ...metadata }, spec });
