/** NetworkPolicies in, the same for proxies out: as they are, or for others as Authorizations; and what each pod is to them. */
import { type Service as KubeService, type Namespace, type NetworkPolicy, objectKey, type Pod } from '../../platform/kubernetes/index.ts';
import {
  type CompiledNetworkPolicy,
  coversNamespace,
  encodeNetworkPolicy,
  GATEWAY_NAME_LABEL,
  type NetworkFacts,
  selectorMatches,
} from '../wire.ts';
import { NetworkAuthorizations } from './network-authorizations.ts';
import { labelledNamespace, NetworkPolicyIndex, type Regrouping } from './network-policies.ts';
import type { CompileEach, Resources } from './resources.ts';
import type { CompileContext } from './service.ts';
import type { NamespacedTable } from './table.ts';
import type { WaypointIndex } from './waypoints.ts';

/** What NetworkPolicies speak of. */
export interface NetworkPolicySources {
  readonly context: CompileContext;
  readonly waypoints: WaypointIndex;
  readonly pods: NamespacedTable<Pod>;
  readonly services: NamespacedTable<KubeService>;
  readonly namespaces: ReadonlyMap<string, Namespace>;
  /** The pod is something else to NetworkPolicies, or lists other policies. */
  markPod(key: string): void;
}

export class NetworkPolicyCompiler {
  readonly #sources: NetworkPolicySources;
  readonly #index = new NetworkPolicyIndex();
  readonly #authorizations = new NetworkAuthorizations();
  readonly #dirty = new Set<string>();

  constructor(sources: NetworkPolicySources) {
    this.#sources = sources;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** A policy as proxies get it, with what is wrong with it. */
  get(key: string): CompiledNetworkPolicy | undefined {
    return this.#index.get(key);
  }

  set(key: string, policy: NetworkPolicy | undefined): void {
    this.#dirty.add(key);
    this.#regroup(this.#index.set(key, policy));
  }

  /** Key of the Authorization to be listed by a pod, if it has one. */
  keyFor(namespace: string, pod: string): string | undefined {
    return this.#authorizations.keyFor(namespace, pod);
  }

  /** What a pod is to NetworkPolicies. A sandwiched waypoint does not see its clients' addresses, so it cannot decide. */
  factsOf(pod: Pod): NetworkFacts | undefined {
    const { waypoints, namespaces } = this.#sources;
    const namespace = pod.metadata.namespace ?? '';
    const gateway = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
    const enforces =
      gateway !== undefined && waypoints.isOwn(namespace, gateway) && waypoints.applicationTunnel(namespace, gateway) === undefined;
    return this.#index.factsOf(pod, labelledNamespace(namespace, namespaces.get(namespace)), enforces);
  }

  /** Authorizations for proxies that know nothing else. Before the pods are compiled, which list them. */
  expand(into: Resources, havePodsChanged: boolean): void {
    const { context, pods, services, namespaces, markPod } = this.#sources;
    if (!context.networkPolicyAuthorizations || (!havePodsChanged && !this.isDirty)) return;
    const { authorizations, attached } = this.#authorizations.expand(this.#index, {
      trustDomain: context.trustDomain,
      pods,
      services,
      namespaces,
      factsOf: (pod) => this.factsOf(pod),
    });
    for (const [key, resource] of authorizations) into.set(key, resource);
    for (const key of attached) markPod(key);
  }

  flush(into: Resources, each: CompileEach): void {
    each(this.#dirty, 'NetworkPolicy', (key) => {
      const compiled = this.#index.get(key);
      into.set(key, compiled && { value: encodeNetworkPolicy(compiled.policy) });
    });
    // Pods lose the groups that policies speak of no more with the next flush: when proxies have heard of the policies.
    this.#regroup(this.#index.retire());
  }

  /** Groups that came or went, and ports that are named now or no more: whom they concern. */
  #regroup({ groups, portNames }: Regrouping): void {
    const { pods, namespaces, markPod } = this.#sources;
    for (const group of groups) {
      const scopes = 'name' in group.namespaces ? [group.namespaces.name] : pods.namespaces();
      for (const scope of scopes) {
        if (!coversNamespace(group, labelledNamespace(scope, namespaces.get(scope)))) continue;
        for (const pod of pods.in(scope)) if (selectorMatches(group.pods, pod.metadata.labels ?? {})) markPod(objectKey(pod));
      }
    }
    if (portNames.size === 0) return;
    for (const pod of pods.all())
      if (pod.spec.containers.some(({ ports = [] }) => ports.some(({ name }) => portNames.has(name ?? '')))) markPod(objectKey(pod));
  }
}
