import type { Namespace, Pod, Service } from '../../platform/kubernetes/index.ts';
import {
  type Authorization,
  askedWaypoints,
  type DecidingWaypoint,
  type ExpandedPod,
  egressAuthorizationName,
  encodeAuthorization,
  expandEgress,
  expandIngress,
  GATEWAY_NAME_LABEL,
  ingressAuthorizationName,
  type NetworkFacts,
  type NetworkRule,
} from '../wire.ts';
import type { NewResource } from '../xds/store.ts';
import type { NetworkPolicyIndex } from './network-policies.ts';
import { selectsPod } from './service.ts';
import type { NamespacedTable } from './table.ts';
import { addressesOf, isInMesh } from './workload.ts';

/** What expansions depend on besides the policies. */
export interface ExpansionSources {
  readonly trustDomain: string;
  readonly pods: NamespacedTable<Pod>;
  readonly services: NamespacedTable<Service>;
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly factsOf: (pod: Pod) => NetworkFacts | undefined;
}

interface ExpansionInput {
  readonly expanded: ExpandedPod;
  /** Those the pod, or a service of it, asks for, and that decide. */
  readonly waypoints: readonly DecidingWaypoint[];
}

export interface Expansion {
  readonly authorizations: ReadonlyMap<string, NewResource | undefined>;
  /** Pods (`namespace/name`) that have an ingress Authorization now and had none before, or the other way round. */
  readonly attached: ReadonlySet<string>;
}

const NONE: Expansion = { authorizations: new Map(), attached: new Set() };

/**
 * NetworkPolicies as Authorizations for node proxies that know nothing else. They name addresses, so one pod's change is a change of every policy that speaks
 * of it, for every pod it selects: all of it is made anew each time, and the store tells what is really another than before.
 */
export class NetworkAuthorizations {
  #names = new Set<string>();
  #attached = new Set<string>();

  /** Key of the Authorization to be listed by a pod, if it has one. */
  keyFor(namespace: string, name: string): string | undefined {
    return this.#attached.has(`${namespace}/${name}`) ? `${namespace}/${ingressAuthorizationName(name)}` : undefined;
  }

  expand(index: NetworkPolicyIndex, sources: ExpansionSources): Expansion {
    const all = [...index.all()].map(({ policy }) => policy);
    if (all.length === 0 && this.#names.size === 0) return NONE;
    const pods = inputsOf(sources);
    const byGroup = new Map<string, ExpandedPod[]>();
    for (const { expanded } of pods)
      for (const group of expanded.facts.groups) {
        const members = byGroup.get(group);
        if (members === undefined) byGroup.set(group, [expanded]);
        else members.push(expanded);
      }
    const lookup = { members: (group: string) => byGroup.get(group) ?? [], all: () => pods.map(({ expanded }) => expanded) };
    const authorizations = new Map<string, NewResource | undefined>();
    for (const name of this.#names) authorizations.set(name, undefined);
    const attached = new Set<string>();
    const names = new Set<string>();
    const put = (authorization: Authorization | undefined, name: string): boolean => {
      if (authorization === undefined) return false;
      authorizations.set(name, { value: encodeAuthorization(authorization) });
      names.add(name);
      return true;
    };
    for (const { expanded, waypoints } of pods) {
      const { namespace, name, facts } = expanded;
      const selecting = all.filter(({ selects }) => facts.groups.has(selects));
      const rulesOf = (direction: 'ingress' | 'egress'): NetworkRule[] | undefined => {
        const constraining = selecting.filter((policy) => policy[direction] !== undefined);
        return constraining.length === 0 ? undefined : constraining.flatMap((policy) => policy[direction] ?? []);
      };
      const ingress = rulesOf('ingress');
      if (
        ingress !== undefined &&
        put(expandIngress(expanded, ingress, waypoints, lookup), `${namespace}/${ingressAuthorizationName(name)}`)
      )
        attached.add(`${namespace}/${name}`);
      // What a waypoint sends on it sends for others, whom it has asked about.
      const egress = facts.enforces ? undefined : rulesOf('egress');
      if (egress !== undefined) put(expandEgress(expanded, egress, lookup), `${namespace}/${egressAuthorizationName(name)}`);
    }
    const moved = new Set([...attached].filter((key) => !this.#attached.has(key)));
    for (const key of this.#attached) if (!attached.has(key)) moved.add(key);
    this.#attached = attached;
    this.#names = names;
    return { authorizations, attached: moved };
  }
}

function inputsOf({ trustDomain, pods, services, namespaces, factsOf }: ExpansionSources): ExpansionInput[] {
  const byGateway = new Map<string, DecidingWaypoint[]>();
  const found: { readonly pod: Pod; readonly expanded: ExpandedPod }[] = [];
  for (const pod of pods.all()) {
    const facts = isInMesh(pod) ? factsOf(pod) : undefined;
    if (facts === undefined) continue;
    const { namespace = '', name = '', labels } = pod.metadata;
    const addresses = addressesOf(pod);
    found.push({ pod, expanded: { namespace, name, addresses, facts } });
    if (!facts.enforces) continue;
    const key = `${namespace}/${labels?.[GATEWAY_NAME_LABEL]}`;
    const identity = { trustDomain, namespace, serviceAccount: pod.spec.serviceAccountName || 'default' };
    byGateway.set(key, [...(byGateway.get(key) ?? []), { addresses, identity }]);
  }
  return found.map(({ pod, expanded }) => {
    const around = namespaces.get(expanded.namespace);
    const asked = new Set(askedWaypoints(pod, around));
    for (const service of services.in(expanded.namespace))
      if (selectsPod(service, pod.metadata.labels)) for (const key of askedWaypoints(service, around)) asked.add(key);
    return { expanded, waypoints: [...asked].sort().flatMap((key) => byGateway.get(key) ?? []) };
  });
}
