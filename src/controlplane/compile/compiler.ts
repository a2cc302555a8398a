import {
  type AuthorizationPolicy,
  type EndpointSlice,
  type Gateway,
  type GatewayClass,
  type Service as KubeService,
  type Namespace,
  type NetworkPolicy,
  type Node,
  objectKey,
  type PeerAuthentication,
  type Pod,
  type ServiceEntry,
  type WorkloadEntry,
} from '../../platform/kubernetes/index.ts';
import {
  askedWaypoints,
  bindWaypoint,
  type CompiledNetworkPolicy,
  type ConvertedPolicy,
  serviceKey,
  type WaypointBinding,
} from '../wire.ts';
import { EntryCompiler } from './entries.ts';
import type { CompiledChanges, CompiledKind, CompiledKinds } from './kinds.ts';
import { MeshView } from './mesh-view.ts';
import { NetworkPolicyCompiler } from './network-policy-compiler.ts';
import { PodCompiler } from './pods.ts';
import { PolicyCompiler } from './policies.ts';
import { type CompileEach, type Resources, serviceResource } from './resources.ts';
import { type CompileContext, compileService, namespaceInheritance, waypointInheritance } from './service.ts';
import { SliceCompiler } from './slices.ts';
import { NamespacedTable } from './table.ts';
import { WaypointIndex } from './waypoints.ts';

/**
 * Objects in, WDS and Authorization resources out. Each change marks only what depends on it; `flush` compiles what is marked.
 * The result is always the same as compiling everything from nothing.
 */
export class MeshCompiler {
  readonly #context: CompileContext;
  readonly #onError: (kind: CompiledKind, key: string, error: Error) => void;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #services = new NamespacedTable<KubeService>();
  readonly #waypoints: WaypointIndex;
  readonly #policies: PolicyCompiler;
  readonly #networkPolicies: NetworkPolicyCompiler;
  readonly #slices: SliceCompiler;
  readonly #pods: PodCompiler;
  readonly entries: EntryCompiler;
  readonly view: MeshView;
  /** Service key → what became of its wish for a waypoint; absent when it has none. */
  readonly #bindings = new Map<string, WaypointBinding>();
  readonly #dirtyServices = new Set<string>();

  /** `onError` hears of objects that could not be compiled: a bug here, or an object no API server should have let in. */
  constructor(context: CompileContext, onError: (kind: CompiledKind, key: string, error: Error) => void = () => {}) {
    this.#context = context;
    this.#onError = onError;
    this.#waypoints = new WaypointIndex(context.network);
    const shared = {
      context,
      waypoints: this.#waypoints,
      services: this.#services,
      namespace: (name: string) => this.#namespaces.get(name),
    };
    this.#policies = new PolicyCompiler(context.rootNamespace, (namespace, labels, everywhere) => {
      this.#pods.markLabelled(namespace, labels, everywhere);
      this.entries.markWorkloads(namespace, labels, everywhere);
    });
    this.#pods = new PodCompiler({
      ...shared,
      entriesFor: (namespace, labels) => this.entries.selecting(namespace, labels),
      policiesFor: (namespace, labels, pod) => this.#policiesFor(namespace, labels, pod),
      factsOf: (pod) => this.#networkPolicies.factsOf(pod),
    });
    this.#networkPolicies = new NetworkPolicyCompiler({
      ...shared,
      pods: this.#pods.table,
      namespaces: this.#namespaces,
      markPod: (key) => this.#pods.mark(key),
    });
    this.#slices = new SliceCompiler(context, this.#services);
    this.entries = new EntryCompiler({
      ...shared,
      policiesFor: (namespace, labels) => this.#policiesFor(namespace, labels),
      markPods: (namespace, labels) => this.#pods.markLabelled(namespace, labels, false),
    });
    this.view = new MeshView(context, this.#services, this.#pods.table, this.#bindings);
  }

  get isDirty(): boolean {
    const parts = [this.#policies, this.#networkPolicies, this.#slices, this.#pods, this.entries];
    return this.#dirtyServices.size > 0 || parts.some(({ isDirty }) => isDirty);
  }

  /** What became of a policy at the last `flush`. */
  policy(key: string): ConvertedPolicy | undefined {
    return this.#policies.policy(key);
  }

  /** A Service's (`namespace/name`) waypoint at the last `flush`; undefined when it asks for none. */
  binding(key: string): WaypointBinding | undefined {
    return this.#bindings.get(key);
  }

  /** A NetworkPolicy as proxies get it, with what is wrong with it. */
  networkPolicy(key: string): CompiledNetworkPolicy | undefined {
    return this.#networkPolicies.get(key);
  }

  upsert<K extends CompiledKind>(kind: K, object: CompiledKinds[K]): void {
    this.#change(kind, objectKey(object), object);
  }
  remove(kind: CompiledKind, key: string): void {
    this.#change(kind, key, undefined);
  }

  #change(kind: CompiledKind, key: string, object: CompiledKinds[CompiledKind] | undefined): void {
    // `upsert` ties the object's type to its kind.
    if (kind === 'Namespace') this.#namespaceChanged(key, object as Namespace | undefined);
    else if (kind === 'Node') this.#pods.setNode(key, object as Node | undefined);
    else if (kind === 'Pod') this.#pods.set(key, object as Pod | undefined);
    else if (kind === 'Service') this.#serviceChanged(key, object as KubeService | undefined);
    else if (kind === 'AuthorizationPolicy') this.#policies.setPolicy(key, object as AuthorizationPolicy | undefined);
    else if (kind === 'PeerAuthentication') this.#policies.setPeer(key, object as PeerAuthentication | undefined);
    else if (kind === 'ServiceEntry') this.entries.setEntry(key, object as ServiceEntry | undefined);
    else if (kind === 'WorkloadEntry') this.entries.setWorkload(key, object as WorkloadEntry | undefined);
    else if (kind === 'NetworkPolicy') this.#networkPolicies.set(key, object as NetworkPolicy | undefined);
    else if (kind === 'Gateway') {
      if (this.#waypoints.setGateway(key, object as Gateway | undefined)) this.#waypointChanged(new Set([key]));
    } else if (kind === 'GatewayClass') this.#waypointChanged(new Set(this.#waypoints.setClass(key, object as GatewayClass | undefined)));
    else this.#slices.set(key, object as EndpointSlice | undefined);
  }

  #namespaceChanged(name: string, namespace: Namespace | undefined): void {
    const old = this.#namespaces.get(name);
    if (namespace === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, namespace);
    if (namespaceInheritance(old) === namespaceInheritance(namespace)) return;
    for (const key of this.#services.keysIn(name)) this.#dirtyServices.add(key);
    this.entries.namespaceChanged(name);
    if (waypointInheritance(old) !== waypointInheritance(namespace)) this.#pods.namespaceChanged(name);
  }

  /** Whatever asks for one of these Gateways. */
  #waypointChanged(gateways: ReadonlySet<string>): void {
    if (gateways.size === 0) return;
    this.entries.waypointChanged(gateways);
    for (const service of this.#services.all()) {
      const around = this.#namespaces.get(service.metadata.namespace ?? '');
      if (askedWaypoints(service, around).some((key) => gateways.has(key))) this.#dirtyServices.add(objectKey(service));
    }
    this.#pods.waypointChanged(gateways);
  }

  #serviceChanged(key: string, service: KubeService | undefined): void {
    const before = this.#services.set(key, service);
    this.#dirtyServices.add(key);
    const slash = key.indexOf('/');
    const namespace = key.slice(0, slash);
    const name = key.slice(slash + 1);
    const versions = [before, service];
    this.#pods.serviceChanged(namespace, versions);
    this.entries.serviceChanged(namespace, this.#hostOf(namespace, name), versions);
    this.#slices.serviceChanged(namespace, name);
  }

  flush(): CompiledChanges {
    const addresses: Resources = new Map();
    const authorizations: Resources = new Map();
    const networkPolicies: Resources = new Map();
    const each: CompileEach = (marked, kind, compile) => this.#each(marked, kind, compile);
    this.#policies.flush(authorizations, each);
    const services = new Set(this.#dirtyServices);
    const movedPods = this.#pods.takeMoved();
    each(this.#dirtyServices, 'Service', (key) => this.#compileService(key, addresses));
    this.#slices.flush(addresses, each);
    this.entries.flush(addresses, each);
    this.#networkPolicies.expand(authorizations, this.#pods.isDirty);
    this.#pods.flush(addresses, each);
    this.#networkPolicies.flush(networkPolicies, each);
    return { addresses, authorizations, networkPolicies, services, movedPods };
  }

  /** An object that cannot be compiled keeps what it had before and does not stop the others. */
  #each(marked: Set<string>, kind: CompiledKind, compile: (key: string) => void): void {
    for (const key of marked) {
      try {
        compile(key);
      } catch (error) {
        this.#onError(kind, key, error as Error);
      }
    }
    marked.clear();
  }

  #compileService(key: string, into: Resources): void {
    const slash = key.indexOf('/');
    const namespace = key.slice(0, slash);
    const service = this.#services.get(key);
    const around = this.#namespaces.get(namespace);
    const binding = service && service.spec?.type !== 'ExternalName' ? bindWaypoint('service', service, around, this.#waypoints) : {};
    if (binding.condition === undefined) this.#bindings.delete(key);
    else this.#bindings.set(key, binding);
    const compiled = service && compileService(service, around, this.#context, binding);
    const name = serviceKey({ namespace, hostname: this.#hostOf(namespace, key.slice(slash + 1)) });
    into.set(name, compiled && serviceResource(compiled));
  }

  #hostOf(namespace: string, service: string): string {
    return `${service}.${namespace}.svc.${this.#context.clusterDomain}`;
  }

  /** Keys of the policies that a workload lists, sorted; `pod`: its name, where it is one. */
  #policiesFor(namespace: string, labels: Readonly<Record<string, string>> | undefined, pod?: string): string[] {
    const keys = this.#policies.keysFor(namespace, labels);
    const converted = pod === undefined ? undefined : this.#networkPolicies.keyFor(namespace, pod);
    if (converted !== undefined) keys.push(converted);
    return keys.sort();
  }
}
