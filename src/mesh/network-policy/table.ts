/** The NetworkPolicies a proxy has, by the group each selects. */
import { CompiledRules } from './compiled-rules.ts';
import type { NetworkFacts, NetworkPolicy } from './model.ts';

export const networkPolicyKey = ({ namespace, name }: Pick<NetworkPolicy, 'namespace' | 'name'>): string => `${namespace}/${name}`;

/** All that constrains one pod in one direction: at least one policy, and what each of them allows. */
export interface Isolation {
  /** Keys, sorted. */
  readonly policies: readonly string[];
  readonly rules: readonly CompiledRules[];
}

export interface Isolations {
  /** Undefined: not constrained. */
  readonly ingress: Isolation | undefined;
  readonly egress: Isolation | undefined;
}

interface Entry {
  readonly key: string;
  readonly policy: NetworkPolicy;
  readonly ingress: CompiledRules | undefined;
  readonly egress: CompiledRules | undefined;
}

const FREE: Isolations = { ingress: undefined, egress: undefined };

export class NetworkPolicyTable {
  readonly #entries = new Map<string, Entry>();
  readonly #bySelected = new Map<string, Map<string, Entry>>();
  /** For the policies as they are: emptied by each change. Facts live as long as their workload's version. */
  #isolations = new WeakMap<NetworkFacts, Isolations>();

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): NetworkPolicy | undefined {
    return this.#entries.get(key)?.policy;
  }

  /** By key. */
  all(): NetworkPolicy[] {
    return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { policy }]) => policy);
  }

  set(policy: NetworkPolicy): void {
    const key = networkPolicyKey(policy);
    this.delete(key);
    const entry: Entry = {
      key,
      policy,
      ingress: policy.ingress && new CompiledRules(policy.ingress),
      egress: policy.egress && new CompiledRules(policy.egress),
    };
    this.#entries.set(key, entry);
    const others = this.#bySelected.get(policy.selects) ?? new Map<string, Entry>();
    this.#bySelected.set(policy.selects, others.set(key, entry));
    this.#isolations = new WeakMap();
  }

  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    const others = this.#bySelected.get(entry.policy.selects);
    others?.delete(key);
    if (others?.size === 0) this.#bySelected.delete(entry.policy.selects);
    this.#isolations = new WeakMap();
    return true;
  }

  /** What constrains a pod; nothing constrains what is not known as one. */
  isolationOf(pod: NetworkFacts | undefined): Isolations {
    if (pod === undefined || this.#entries.size === 0) return FREE;
    let isolations = this.#isolations.get(pod);
    if (isolations === undefined) {
      isolations = this.#collect(pod);
      this.#isolations.set(pod, isolations);
    }
    return isolations;
  }

  #collect({ groups }: NetworkFacts): Isolations {
    const selecting: Entry[] = [];
    for (const group of groups) for (const entry of this.#bySelected.get(group)?.values() ?? []) selecting.push(entry);
    if (selecting.length === 0) return FREE;
    selecting.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { ingress: isolation(selecting, 'ingress'), egress: isolation(selecting, 'egress') };
  }
}

const isolation = (entries: readonly Entry[], direction: 'ingress' | 'egress'): Isolation | undefined => {
  const constraining = entries.filter((entry) => entry[direction] !== undefined);
  if (constraining.length === 0) return undefined;
  return { policies: constraining.map(({ key }) => key), rules: constraining.map((entry) => entry[direction]!) };
};
