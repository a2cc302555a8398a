import type { Namespace, NetworkPolicy, Pod } from '../../platform/kubernetes/index.ts';
import {
  type CompiledNetworkPolicy,
  canonicalIp,
  compileNetworkPolicy,
  isInGroup,
  type LabelledNamespace,
  type NetworkFacts,
  type PodGroup,
} from '../wire.ts';
import { NamespacedTable } from './table.ts';

/** 96 bits: two selectors would have to be made to collide to be taken for one. */
const digest = (text: string): string => new Bun.CryptoHasher('sha256').update(text).digest('hex').slice(0, 24);

/** What a change means for pods. */
export interface Regrouping {
  /** Groups that pods may be in now, or are in no more. */
  readonly groups: readonly PodGroup[];
  /** Names of ports that have begun, or ceased, to matter. */
  readonly portNames: ReadonlySet<string>;
}

interface CountedGroup {
  readonly group: PodGroup;
  /** Policies that speak of it. */
  count: number;
}

export const labelledNamespace = (name: string, namespace: Namespace | undefined): LabelledNamespace => ({
  name,
  labels: namespace?.metadata.labels ?? {},
});

/**
 * The NetworkPolicies, compiled, and the groups of pods they speak of. What it returns of a change is which pods must be looked at again.
 *
 * A group that no policy speaks of any more is kept until `retire`: proxies take pods and policies one after the other, and must not see a policy whose peers
 * have lost their group already.
 */
export class NetworkPolicyIndex {
  readonly #policies = new NamespacedTable<CompiledNetworkPolicy>();
  readonly #groups = new Map<string, CountedGroup>();
  /** Groups of one namespace by its name; those with a namespaceSelector under ''. */
  readonly #byNamespace = new Map<string, Set<PodGroup>>();
  readonly #portNames = new Map<string, number>();

  get(key: string): CompiledNetworkPolicy | undefined {
    return this.#policies.get(key);
  }
  all(): IterableIterator<CompiledNetworkPolicy> {
    return this.#policies.all();
  }

  /** Groups and names that are new. */
  set(key: string, object: NetworkPolicy | undefined): Regrouping {
    const compiled = object && compileNetworkPolicy(object, digest);
    const before = this.#policies.set(key, compiled);
    const groups: PodGroup[] = [];
    const portNames = new Set<string>();
    for (const group of compiled?.groups ?? []) if (this.#count(group)) groups.push(group);
    for (const name of compiled?.portNames ?? []) {
      const count = this.#portNames.get(name) ?? 0;
      this.#portNames.set(name, count + 1);
      if (count === 0) portNames.add(name);
    }
    for (const { id } of before?.groups ?? []) this.#groups.get(id)!.count--;
    // A name that nobody uses any more is dropped with the groups.
    for (const name of before?.portNames ?? []) this.#portNames.set(name, this.#portNames.get(name)! - 1);
    return { groups, portNames };
  }

  /** Forgets groups and names of ports that are in no policy any more; returns them. */
  retire(): Regrouping {
    const groups: PodGroup[] = [];
    for (const [id, { group, count }] of this.#groups) {
      if (count > 0) continue;
      groups.push(group);
      this.#groups.delete(id);
      const scope = scopeOf(group);
      const others = this.#byNamespace.get(scope);
      others?.delete(group);
      if (others?.size === 0) this.#byNamespace.delete(scope);
    }
    const portNames = new Set<string>();
    for (const [name, count] of this.#portNames) {
      if (count > 0) continue;
      portNames.add(name);
      this.#portNames.delete(name);
    }
    return { groups, portNames };
  }

  /** What a pod is to NetworkPolicies; undefined when it is nothing to any of them. A pod of the host network is its node. */
  factsOf(pod: Pod, namespace: LabelledNamespace, enforces: boolean): NetworkFacts | undefined {
    if (pod.spec.hostNetwork === true) return undefined;
    const labels = pod.metadata.labels ?? {};
    const groups = new Set<string>();
    for (const scope of [namespace.name, ''])
      for (const group of this.#byNamespace.get(scope) ?? []) if (isInGroup(group, namespace, labels)) groups.add(group.id);
    const ports = this.#portsOf(pod);
    if (groups.size === 0 && ports.size === 0 && !enforces) return undefined;
    return { groups, ports, nodeAddresses: groups.size === 0 ? [] : nodeAddresses(pod), enforces };
  }

  /** The first container that declares a name has it, as for Services. */
  #portsOf(pod: Pod): ReadonlyMap<string, number> {
    const ports = new Map<string, number>();
    if (this.#portNames.size === 0) return ports;
    for (const { ports: declared = [] } of pod.spec.containers)
      for (const { name = '', containerPort, protocol = 'TCP' } of declared)
        if (protocol === 'TCP' && this.#portNames.has(name) && !ports.has(name)) ports.set(name, containerPort);
    return ports;
  }

  /** True for the first policy that speaks of it. */
  #count(group: PodGroup): boolean {
    const known = this.#groups.get(group.id);
    if (known !== undefined) {
      known.count++;
      return false;
    }
    this.#groups.set(group.id, { group, count: 1 });
    const scope = scopeOf(group);
    const others = this.#byNamespace.get(scope) ?? new Set();
    this.#byNamespace.set(scope, others.add(group));
    return true;
  }
}

const scopeOf = ({ namespaces }: PodGroup): string => ('name' in namespaces ? namespaces.name : '');

function nodeAddresses({ status }: Pod): string[] {
  const texts = [status?.hostIP ?? '', ...(status?.hostIPs ?? []).map(({ ip = '' }) => ip)];
  return [...new Set(texts.flatMap((text) => (text === '' ? [] : (canonicalIp(text) ?? []))))].sort();
}
