/** Pods and the nodes they run on in, workloads out. */
import {
  type Service as KubeService,
  type Namespace,
  type Node,
  objectKey,
  type Pod,
  type ServiceEntry,
} from '../../platform/kubernetes/index.ts';
import { askedWaypoints, bindWaypoint, GATEWAY_NAME_LABEL, type NetworkFacts } from '../wire.ts';
import type { MovedPod } from './kinds.ts';
import { type CompileEach, type Resources, workloadResource } from './resources.ts';
import { type CompileContext, hasLabels, selectsPod } from './service.ts';
import { NamespacedTable } from './table.ts';
import type { WaypointIndex } from './waypoints.ts';
import { compilePod, isInMesh, localityOf, uidOfPod } from './workload.ts';

type Labels = Readonly<Record<string, string>>;

/** What pods need of the rest of the mesh. */
export interface PodSources {
  readonly context: CompileContext;
  readonly waypoints: WaypointIndex;
  readonly services: NamespacedTable<KubeService>;
  namespace(name: string): Namespace | undefined;
  /** ServiceEntries of the namespace that select a pod with these labels. */
  entriesFor(namespace: string, labels: Labels | undefined): readonly ServiceEntry[];
  /** Keys of the policies that the pod lists, sorted. */
  policiesFor(namespace: string, labels: Labels | undefined, pod: string | undefined): readonly string[];
  /** What it is to NetworkPolicies. */
  factsOf(pod: Pod): NetworkFacts | undefined;
}

export class PodCompiler {
  readonly table = new NamespacedTable<Pod>();
  readonly #sources: PodSources;
  readonly #nodes = new Map<string, Node>();
  readonly #byNode = new Map<string, Set<string>>();
  readonly #dirty = new Set<string>();
  #moved: MovedPod[] = [];

  constructor(sources: PodSources) {
    this.#sources = sources;
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  set(key: string, pod: Pod | undefined): void {
    const before = this.table.set(key, pod);
    this.#dirty.add(key);
    this.#noteMoved(before, pod);
    const from = before?.spec.nodeName;
    const to = pod?.spec.nodeName;
    if (from === to) return;
    if (from) {
      const keys = this.#byNode.get(from);
      keys?.delete(key);
      if (keys?.size === 0) this.#byNode.delete(from);
    }
    if (to) {
      const keys = this.#byNode.get(to) ?? new Set();
      this.#byNode.set(to, keys.add(key));
    }
  }

  setNode(name: string, node: Node | undefined): void {
    const before = this.#nodes.get(name);
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, node);
    if (Bun.deepEquals(localityOf(before), localityOf(node))) return;
    for (const key of this.#byNode.get(name) ?? []) this.#dirty.add(key);
  }

  #noteMoved(before: Pod | undefined, after: Pod | undefined): void {
    const [was, is] = [before, after].map((pod) => (pod !== undefined && isInMesh(pod) ? pod : undefined));
    if (was !== undefined && is !== undefined && Bun.deepEquals(was.metadata.labels, is.metadata.labels)) return;
    for (const pod of [was, is])
      if (pod !== undefined) this.#moved.push({ namespace: pod.metadata.namespace ?? '', labels: pod.metadata.labels });
  }

  /** Pods that came, went, or have other labels since the last call. */
  takeMoved(): MovedPod[] {
    const moved = this.#moved;
    this.#moved = [];
    return moved;
  }

  mark(key: string): void {
    this.#dirty.add(key);
  }

  markLabelled(namespace: string, labels: Labels, everywhere: boolean): void {
    for (const pod of everywhere ? this.table.all() : this.table.in(namespace))
      if (hasLabels(pod.metadata.labels, labels)) this.#dirty.add(objectKey(pod));
  }

  /** What pods take from their namespace has changed. */
  namespaceChanged(name: string): void {
    for (const key of this.table.keysIn(name)) this.#dirty.add(key);
  }

  /** Whatever asks for one of these Gateways, and their own pods: the generated pods of a sandwiched waypoint carry what the Gateway says. */
  waypointChanged(gateways: ReadonlySet<string>): void {
    for (const pod of this.table.all()) {
      const namespace = pod.metadata.namespace ?? '';
      const own = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
      const isTouched =
        own === undefined
          ? askedWaypoints(pod, this.#sources.namespace(namespace)).some((key) => gateways.has(key))
          : gateways.has(`${namespace}/${own}`);
      if (isTouched) this.#dirty.add(objectKey(pod));
    }
  }

  /** A Service came, went or changed: whom it selects. */
  serviceChanged(namespace: string, versions: readonly (KubeService | undefined)[]): void {
    for (const pod of this.table.in(namespace))
      if (versions.some((service) => service !== undefined && selectsPod(service, pod.metadata.labels))) this.#dirty.add(objectKey(pod));
  }

  flush(into: Resources, each: CompileEach): void {
    each(this.#dirty, 'Pod', (key) => this.#compile(key, into));
  }

  #compile(key: string, into: Resources): void {
    const { context, waypoints, services: table } = this.#sources;
    const pod = this.table.get(key);
    if (pod === undefined) {
      const slash = key.indexOf('/');
      const gone = { metadata: { namespace: key.slice(0, slash), name: key.slice(slash + 1) }, spec: { containers: [] } };
      into.set(uidOfPod(gone, context), undefined);
      return;
    }
    const { namespace = '', labels, name } = pod.metadata;
    const services: KubeService[] = [];
    for (const service of table.in(namespace)) if (selectsPod(service, labels)) services.push(service);
    const { waypoint } = bindWaypoint('workload', pod, this.#sources.namespace(namespace), waypoints);
    const gateway = labels?.[GATEWAY_NAME_LABEL];
    const applicationTunnel = gateway === undefined ? undefined : waypoints.applicationTunnel(namespace, gateway);
    const networkPolicy = context.networkPolicies ? this.#sources.factsOf(pod) : undefined;
    const workload = compilePod(
      pod,
      {
        node: this.#nodes.get(pod.spec.nodeName ?? ''),
        services,
        entries: this.#sources.entriesFor(namespace, labels),
        policies: this.#sources.policiesFor(namespace, labels, name),
        ...(waypoint !== undefined && { waypoint }),
        ...(networkPolicy !== undefined && { networkPolicy }),
        ...(applicationTunnel !== undefined && { applicationTunnel }),
      },
      context,
    );
    into.set(uidOfPod(pod, context), workload && workloadResource(workload));
  }
}
