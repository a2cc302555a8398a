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
  convertAuthorizationPolicy,
  convertPeerAuthentication,
  coversNamespace,
  effectivePeerAuthentication,
  encodeAuthorization,
  encodeNetworkPolicy,
  encodeService,
  encodeWorkload,
  GATEWAY_NAME_LABEL,
  inheritedPeerMode,
  type LabelledNamespace,
  type NetworkFacts,
  policyKey,
  selectorMatches,
  selectsWorkload,
  serviceAliases,
  serviceKey,
  staticStrictPolicy,
  type WaypointBinding,
  type Workload,
  workloadAliases,
} from '../wire.ts';
import type { NewResource } from '../xds/store.ts';
import { EntryCompiler } from './entries.ts';
import type { CompiledChanges, CompiledKind, CompiledKinds, MovedPod } from './kinds.ts';
import { MeshView } from './mesh-view.ts';
import { NetworkAuthorizations } from './network-authorizations.ts';
import { labelledNamespace, NetworkPolicyIndex, type Regrouping } from './network-policies.ts';
import { type CompileContext, compileService, namespaceInheritance, selectsPod, waypointInheritance } from './service.ts';
import { NamespacedTable } from './table.ts';
import { WaypointIndex } from './waypoints.ts';
import { compilePod, compileSlice, isInMesh, localityOf, uidOfPod } from './workload.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

/**
 * Objects in, WDS and Authorization resources out. Each change marks only what depends on it; `flush` compiles what is marked.
 * The result is always the same as compiling everything from nothing.
 */
export class MeshCompiler {
  readonly #context: CompileContext;
  readonly #onError: (kind: CompiledKind, key: string, error: Error) => void;
  readonly #namespaces = new Map<string, Namespace>();
  readonly #nodes = new Map<string, Node>();
  readonly #podsByNode = new Map<string, Set<string>>();
  readonly #pods = new NamespacedTable<Pod>();
  readonly #services = new NamespacedTable<KubeService>();
  readonly #slices = new NamespacedTable<EndpointSlice>();
  readonly #policies = new NamespacedTable<AuthorizationPolicy>();
  readonly #peers = new NamespacedTable<PeerAuthentication>();
  readonly #networkPolicies = new NetworkPolicyIndex();
  readonly #networkAuthorizations = new NetworkAuthorizations();
  readonly view: MeshView;
  readonly #waypoints: WaypointIndex;
  readonly entries: EntryCompiler;
  /** Service key → what became of its wish for a waypoint; absent when it has none. */
  readonly #bindings = new Map<string, WaypointBinding>();
  readonly #compiledPolicies = new Map<string, ConvertedPolicy>();
  /** slice key → uids it produced. */
  readonly #sliceWorkloads = new Map<string, readonly string[]>();

  #movedPods: MovedPod[] = [];
  readonly #dirtyPods = new Set<string>();
  readonly #dirtyServices = new Set<string>();
  readonly #dirtySlices = new Set<string>();
  readonly #dirtyPolicies = new Set<string>();
  readonly #dirtyPeers = new Set<string>();
  readonly #dirtyNetworkPolicies = new Set<string>();
  #isNew = true;

  /** `onError` hears of objects that could not be compiled: a bug here, or an object no API server should have let in. */
  constructor(context: CompileContext, onError: (kind: CompiledKind, key: string, error: Error) => void = () => {}) {
    this.#context = context;
    this.#waypoints = new WaypointIndex(context.network);
    this.entries = new EntryCompiler({
      context,
      waypoints: this.#waypoints,
      services: this.#services,
      namespace: (name) => this.#namespaces.get(name),
      policiesFor: (namespace, labels) => this.#policiesFor(namespace, labels),
      markPods: (namespace, labels) => this.#markPods(namespace, labels, false),
    });
    this.view = new MeshView(context, this.#services, this.#pods, this.#bindings);
    this.#onError = onError;
  }

  get isDirty(): boolean {
    const dirty = [
      this.#dirtyPods,
      this.#dirtyServices,
      this.#dirtySlices,
      this.#dirtyPolicies,
      this.#dirtyPeers,
      this.#dirtyNetworkPolicies,
    ];
    return this.#isNew || this.entries.isDirty || dirty.some(({ size }) => size > 0);
  }

  /** What became of a policy at the last `flush`. */
  policy(key: string): ConvertedPolicy | undefined {
    return this.#compiledPolicies.get(key);
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
    else if (kind === 'Node') this.#nodeChanged(key, object as Node | undefined);
    else if (kind === 'Pod') this.#podChanged(key, object as Pod | undefined);
    else if (kind === 'Service') this.#serviceChanged(key, object as KubeService | undefined);
    else if (kind === 'AuthorizationPolicy') this.#policyChanged(key, object as AuthorizationPolicy | undefined);
    else if (kind === 'PeerAuthentication') this.#peerChanged(key, object as PeerAuthentication | undefined);
    else if (kind === 'ServiceEntry') this.entries.setEntry(key, object as ServiceEntry | undefined);
    else if (kind === 'WorkloadEntry') this.entries.setWorkload(key, object as WorkloadEntry | undefined);
    else if (kind === 'NetworkPolicy') {
      this.#dirtyNetworkPolicies.add(key);
      this.#regroup(this.#networkPolicies.set(key, object as NetworkPolicy | undefined));
    } else if (kind === 'Gateway') {
      // The generated pods of a sandwiched waypoint carry what the Gateway says.
      if (this.#waypoints.setGateway(key, object as Gateway | undefined)) this.#waypointChanged(new Set([key]));
    } else if (kind === 'GatewayClass') this.#waypointChanged(new Set(this.#waypoints.setClass(key, object as GatewayClass | undefined)));
    else {
      this.#slices.set(key, object as EndpointSlice | undefined);
      this.#dirtySlices.add(key);
    }
  }

  #namespaceChanged(name: string, namespace: Namespace | undefined): void {
    const old = this.#namespaces.get(name);
    if (namespace === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, namespace);
    if (namespaceInheritance(old) === namespaceInheritance(namespace)) return;
    for (const key of this.#services.keysIn(name)) this.#dirtyServices.add(key);
    this.entries.namespaceChanged(name);
    if (waypointInheritance(old) === waypointInheritance(namespace)) return;
    for (const key of this.#pods.keysIn(name)) this.#dirtyPods.add(key);
  }

  /** Whatever asks for one of these Gateways, and their own pods. */
  #waypointChanged(gateways: ReadonlySet<string>): void {
    if (gateways.size === 0) return;
    this.entries.waypointChanged(gateways);
    const asks = (object: KubeService | Pod): boolean =>
      askedWaypoints(object, this.#namespaces.get(object.metadata.namespace ?? '')).some((key) => gateways.has(key));
    for (const service of this.#services.all()) if (asks(service)) this.#dirtyServices.add(objectKey(service));
    for (const pod of this.#pods.all()) {
      const own = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
      if (own === undefined ? asks(pod) : gateways.has(`${pod.metadata.namespace}/${own}`)) this.#dirtyPods.add(objectKey(pod));
    }
  }

  #nodeChanged(name: string, node: Node | undefined): void {
    const before = this.#nodes.get(name);
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, node);
    if (Bun.deepEquals(localityOf(before), localityOf(node))) return;
    for (const key of this.#podsByNode.get(name) ?? []) this.#dirtyPods.add(key);
  }

  #podChanged(key: string, pod: Pod | undefined): void {
    const before = this.#pods.set(key, pod);
    this.#dirtyPods.add(key);
    this.#noteMoved(before, pod);
    const from = before?.spec.nodeName;
    const to = pod?.spec.nodeName;
    if (from === to) return;
    if (from) {
      const keys = this.#podsByNode.get(from);
      keys?.delete(key);
      if (keys?.size === 0) this.#podsByNode.delete(from);
    }
    if (to) {
      const keys = this.#podsByNode.get(to) ?? new Set();
      this.#podsByNode.set(to, keys.add(key));
    }
  }

  #noteMoved(before: Pod | undefined, after: Pod | undefined): void {
    const [was, is] = [before, after].map((pod) => (pod !== undefined && isInMesh(pod) ? pod : undefined));
    if (was !== undefined && is !== undefined && Bun.deepEquals(was.metadata.labels, is.metadata.labels)) return;
    for (const pod of [was, is])
      if (pod !== undefined) this.#movedPods.push({ namespace: pod.metadata.namespace ?? '', labels: pod.metadata.labels });
  }

  #serviceChanged(key: string, service: KubeService | undefined): void {
    const before = this.#services.set(key, service);
    this.#dirtyServices.add(key);
    const namespace = key.slice(0, key.indexOf('/'));
    for (const pod of this.#pods.in(namespace)) {
      if (
        (before !== undefined && selectsPod(before, pod.metadata.labels)) ||
        (service !== undefined && selectsPod(service, pod.metadata.labels))
      )
        this.#dirtyPods.add(objectKey(pod));
    }
    const name = key.slice(namespace.length + 1);
    this.entries.serviceChanged(namespace, `${name}.${namespace}.svc.${this.#context.clusterDomain}`, [before, service]);
    for (const slice of this.#slices.in(namespace))
      if (slice.metadata.labels?.[SERVICE_NAME_LABEL] === name) this.#dirtySlices.add(objectKey(slice));
  }

  #policyChanged(key: string, policy: AuthorizationPolicy | undefined): void {
    const before = this.#policies.set(key, policy);
    this.#dirtyPolicies.add(key);
    for (const version of [before, policy]) {
      const labels = version?.spec?.selector?.matchLabels;
      if (labels !== undefined && Object.keys(labels).length > 0) this.#markWorkloads(version!.metadata.namespace ?? '', labels);
    }
  }

  #peerChanged(key: string, policy: PeerAuthentication | undefined): void {
    const before = this.#peers.set(key, policy);
    this.#dirtyPeers.add(key);
    for (const version of [before, policy]) {
      if (version === undefined) continue;
      const namespace = version.metadata.namespace ?? '';
      const labels = version.spec?.selector?.matchLabels ?? {};
      const isWide = Object.keys(labels).length === 0;
      const isMesh = isWide && namespace === this.#context.rootNamespace;
      this.#markWorkloads(namespace, labels, isMesh);
      // Selector policies that inherit their mode are made of the wider one too.
      if (isWide) for (const other of isMesh ? this.#peers.all() : this.#peers.in(namespace)) this.#dirtyPeers.add(objectKey(other));
    }
  }

  /** Groups that came or went, and ports that are named now or no more: whom they concern. */
  #regroup({ groups, portNames }: Regrouping): void {
    for (const group of groups) {
      const { namespaces, pods: selector } = group;
      const scopes = 'name' in namespaces ? [namespaces.name] : this.#pods.namespaces();
      for (const scope of scopes) {
        if (!coversNamespace(group, this.#labelled(scope))) continue;
        for (const pod of this.#pods.in(scope))
          if (selectorMatches(selector, pod.metadata.labels ?? {})) this.#dirtyPods.add(objectKey(pod));
      }
    }
    if (portNames.size === 0) return;
    for (const pod of this.#pods.all())
      if (pod.spec.containers.some(({ ports = [] }) => ports.some(({ name }) => portNames.has(name ?? ''))))
        this.#dirtyPods.add(objectKey(pod));
  }

  #labelled(namespace: string): LabelledNamespace {
    return labelledNamespace(namespace, this.#namespaces.get(namespace));
  }

  /** Pods and WorkloadEntries with these labels in the namespace; the root namespace stands for all of them. */
  #markWorkloads(
    namespace: string,
    labels: Readonly<Record<string, string>>,
    everywhere: boolean = namespace === this.#context.rootNamespace,
  ): void {
    this.#markPods(namespace, labels, everywhere);
    this.entries.markWorkloads(namespace, labels, everywhere);
  }

  #markPods(namespace: string, labels: Readonly<Record<string, string>>, everywhere: boolean): void {
    for (const pod of everywhere ? this.#pods.all() : this.#pods.in(namespace))
      if (hasLabels(pod, labels)) this.#dirtyPods.add(objectKey(pod));
  }

  flush(): CompiledChanges {
    const addresses = new Map<string, NewResource | undefined>();
    const authorizations = new Map<string, NewResource | undefined>();
    const networkPolicies = new Map<string, NewResource | undefined>();
    const { rootNamespace } = this.#context;
    if (this.#isNew) {
      this.#isNew = false;
      const strict = staticStrictPolicy(rootNamespace);
      authorizations.set(policyKey(strict), { value: encodeAuthorization(strict) });
    }
    this.#each(this.#dirtyPolicies, 'AuthorizationPolicy', (key) => this.#compilePolicy(key, authorizations));
    this.#each(this.#dirtyPeers, 'PeerAuthentication', (key) => this.#compilePeer(key, authorizations));
    const services = new Set(this.#dirtyServices);
    const movedPods = this.#movedPods;
    this.#movedPods = [];
    this.#each(this.#dirtyServices, 'Service', (key) => this.#compileService(key, addresses));
    this.#each(this.#dirtySlices, 'EndpointSlice', (key) => this.#compileSlice(key, addresses));
    this.entries.flush(addresses, (dirty, kind, compile) => this.#each(dirty, kind, compile));
    if (this.#context.networkPolicyAuthorizations && this.#dirtyPods.size + this.#dirtyNetworkPolicies.size > 0)
      this.#expandNetworkPolicies(authorizations);
    this.#each(this.#dirtyPods, 'Pod', (key) => this.#compilePod(key, addresses));
    this.#each(this.#dirtyNetworkPolicies, 'NetworkPolicy', (key) => {
      const compiled = this.#networkPolicies.get(key);
      networkPolicies.set(key, compiled && { value: encodeNetworkPolicy(compiled.policy) });
    });
    // Pods lose the groups that policies speak of no more with the next flush: when proxies have heard of the policies.
    this.#regroup(this.#networkPolicies.retire());
    return { addresses, authorizations, networkPolicies, services, movedPods };
  }

  /** An object that cannot be compiled keeps what it had before and does not stop the others. */
  #each(dirty: Set<string>, kind: CompiledKind, compile: (key: string) => void): void {
    for (const key of dirty) {
      try {
        compile(key);
      } catch (error) {
        this.#onError(kind, key, error as Error);
      }
    }
    dirty.clear();
  }

  #compilePolicy(key: string, into: Map<string, NewResource | undefined>): void {
    const policy = this.#policies.get(key);
    if (policy === undefined) {
      this.#compiledPolicies.delete(key);
      into.set(key, undefined);
      return;
    }
    const compiled = convertAuthorizationPolicy(policy, this.#context.rootNamespace);
    this.#compiledPolicies.set(key, compiled);
    into.set(key, compiled.authorization === undefined ? undefined : { value: encodeAuthorization(compiled.authorization) });
  }

  #compilePeer(key: string, into: Map<string, NewResource | undefined>): void {
    const policy = this.#peers.get(key);
    const { rootNamespace } = this.#context;
    const namespace = key.slice(0, key.indexOf('/'));
    const converted =
      policy && convertPeerAuthentication(policy, inheritedPeerMode(this.#peersFor(namespace), namespace, rootNamespace), rootNamespace);
    into.set(convertedPeerKey(key), converted && { value: encodeAuthorization(converted) });
  }

  #compileService(key: string, into: Map<string, NewResource | undefined>): void {
    const slash = key.indexOf('/');
    const namespace = key.slice(0, slash);
    const service = this.#services.get(key);
    const around = this.#namespaces.get(namespace);
    const binding = service && service.spec?.type !== 'ExternalName' ? bindWaypoint('service', service, around, this.#waypoints) : {};
    if (binding.condition === undefined) this.#bindings.delete(key);
    else this.#bindings.set(key, binding);
    const compiled = service && compileService(service, around, this.#context, binding);
    const name = serviceKey({ namespace, hostname: `${key.slice(slash + 1)}.${namespace}.svc.${this.#context.clusterDomain}` });
    into.set(name, compiled && { value: encodeService(compiled), aliases: serviceAliases(compiled) });
  }

  #compileSlice(key: string, into: Map<string, NewResource | undefined>): void {
    const slice = this.#slices.get(key);
    const namespace = key.slice(0, key.indexOf('/'));
    const serviceName = slice?.metadata.labels?.[SERVICE_NAME_LABEL];
    const service = serviceName === undefined ? undefined : this.#services.get(`${namespace}/${serviceName}`);
    const workloads = slice === undefined ? [] : compileSlice(slice, service, this.#context);
    for (const uid of this.#sliceWorkloads.get(key) ?? []) into.set(uid, undefined);
    for (const workload of workloads) into.set(workload.uid, workloadResource(workload));
    if (workloads.length === 0) this.#sliceWorkloads.delete(key);
    else
      this.#sliceWorkloads.set(
        key,
        workloads.map((workload) => workload.uid),
      );
  }

  #compilePod(key: string, into: Map<string, NewResource | undefined>): void {
    const pod = this.#pods.get(key);
    if (pod === undefined) {
      const slash = key.indexOf('/');
      into.set(
        uidOfPod({ metadata: { namespace: key.slice(0, slash), name: key.slice(slash + 1) }, spec: { containers: [] } }, this.#context),
        undefined,
      );
      return;
    }
    const namespace = pod.metadata.namespace ?? '';
    const services: KubeService[] = [];
    for (const service of this.#services.in(namespace)) if (selectsPod(service, pod.metadata.labels)) services.push(service);
    const { waypoint } = bindWaypoint('workload', pod, this.#namespaces.get(namespace), this.#waypoints);
    const gateway = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
    const applicationTunnel = gateway === undefined ? undefined : this.#waypoints.applicationTunnel(namespace, gateway);
    const networkPolicy = this.#context.networkPolicies ? this.#factsOf(pod) : undefined;
    const workload = compilePod(
      pod,
      {
        node: this.#nodes.get(pod.spec.nodeName ?? ''),
        services,
        entries: this.entries.selecting(namespace, pod.metadata.labels),
        policies: this.#policiesFor(namespace, pod.metadata.labels, pod.metadata.name),
        ...(waypoint !== undefined && { waypoint }),
        ...(networkPolicy !== undefined && { networkPolicy }),
        ...(applicationTunnel !== undefined && { applicationTunnel }),
      },
      this.#context,
    );
    into.set(uidOfPod(pod, this.#context), workload && workloadResource(workload));
  }

  /** What a pod is to NetworkPolicies. A sandwiched waypoint does not see its clients' addresses, so it cannot decide. */
  #factsOf(pod: Pod): NetworkFacts | undefined {
    const namespace = pod.metadata.namespace ?? '';
    const gateway = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
    const enforces =
      gateway !== undefined &&
      this.#waypoints.isOwn(namespace, gateway) &&
      this.#waypoints.applicationTunnel(namespace, gateway) === undefined;
    return this.#networkPolicies.factsOf(pod, this.#labelled(namespace), enforces);
  }

  #expandNetworkPolicies(into: Map<string, NewResource | undefined>): void {
    const { authorizations, attached } = this.#networkAuthorizations.expand(this.#networkPolicies, {
      trustDomain: this.#context.trustDomain,
      pods: this.#pods,
      services: this.#services,
      namespaces: this.#namespaces,
      factsOf: (pod) => this.#factsOf(pod),
    });
    for (const [key, resource] of authorizations) into.set(key, resource);
    for (const key of attached) this.#dirtyPods.add(key);
  }

  /** Keys of selector policies of a workload's namespace and the root namespace, with those made from PeerAuthentication; sorted. */
  #policiesFor(namespace: string, labels: Readonly<Record<string, string>> | undefined, pod?: string): string[] {
    const { rootNamespace } = this.#context;
    const subject = { namespace, labels };
    const keys: string[] = [];
    for (const scope of namespace === rootNamespace ? [namespace] : [namespace, rootNamespace]) {
      for (const policy of this.#policies.in(scope)) {
        const key = objectKey(policy);
        const compiled = this.#compiledPolicies.get(key);
        if (compiled !== undefined && selectsWorkload(compiled, subject, rootNamespace)) keys.push(key);
      }
    }
    const converted = pod === undefined ? undefined : this.#networkAuthorizations.keyFor(namespace, pod);
    if (converted !== undefined) keys.push(converted);
    keys.push(...effectivePeerAuthentication(this.#peersFor(namespace), subject, rootNamespace).keys);
    return keys.sort();
  }

  /** The PeerAuthentications that can matter in a namespace: its own and the root namespace's. */
  #peersFor(namespace: string): PeerAuthentication[] {
    const { rootNamespace } = this.#context;
    return namespace === rootNamespace ? [...this.#peers.in(namespace)] : [...this.#peers.in(namespace), ...this.#peers.in(rootNamespace)];
  }
}

/** Resource name of what a PeerAuthentication (`namespace/name`) is converted to, whether or not it is (3.6). */
export const convertedPeerKey = (key: string): string => key.replace('/', '/converted_peer_authentication_');

const workloadResource = (workload: Workload): NewResource => ({
  value: encodeWorkload(workload),
  aliases: workloadAliases(workload),
  links: [...workload.services.keys()],
});

function hasLabels(pod: Pod, wanted: Readonly<Record<string, string>>): boolean {
  for (const key in wanted) if (pod.metadata.labels?.[key] !== wanted[key]) return false;
  return true;
}
