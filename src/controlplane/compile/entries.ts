/** ServiceEntries and WorkloadEntries in, services and workloads out: the part of the mesh's compilation that is not about pods. */
import {
  type Service as KubeService,
  type Namespace,
  objectKey,
  type ServiceEntry,
  type WorkloadEntry,
} from '../../platform/kubernetes/index.ts';
import { askedWaypoints, bindWaypoint, byAge, type ServicePort, serviceKey, type WaypointBinding } from '../wire.ts';
import { endpointProblem, endpointWorkload } from './endpoint.ts';
import { type CompileEach, ListedWorkloads, type Resources, serviceResource, workloadResource } from './resources.ts';
import { type CompileContext, hasLabels, portsOnEndpoint, selectsPod, serviceHostname } from './service.ts';
import { compileEntryService, compileEntryWorkloads, entrySelects, hostsOf, servicesAt, visibilityOf } from './service-entry.ts';
import { NamespacedTable } from './table.ts';
import type { WaypointIndex } from './waypoints.ts';

type Labels = Readonly<Record<string, string>> | undefined;

/** What these objects need of the rest of the mesh. */
export interface EntrySources {
  readonly context: CompileContext;
  readonly waypoints: WaypointIndex;
  readonly services: NamespacedTable<KubeService>;
  namespace(name: string): Namespace | undefined;
  /** Keys of the policies that a workload with these labels lists. */
  policiesFor(namespace: string, labels: Labels): readonly string[];
  /** Pods with these labels have other services now. */
  markPods(namespace: string, labels: Readonly<Record<string, string>>): void;
}

export class EntryCompiler {
  readonly #sources: EntrySources;
  readonly #entries = new NamespacedTable<ServiceEntry>();
  readonly #workloads = new NamespacedTable<WorkloadEntry>();
  /** Host → keys of the entries that have it. */
  readonly #byHost = new Map<string, Set<string>>();
  /** Of entries with endpoints of their own. */
  readonly #endpoints = new ListedWorkloads();
  readonly #bindings = new Map<string, WaypointBinding>();
  readonly #dirtyEntries = new Set<string>();
  readonly #dirtyWorkloads = new Set<string>();
  /** Hosts whose services are to be compiled, in all namespaces. */
  readonly #dirtyHosts = new Set<string>();
  /** Resource names that services of entries have. */
  readonly #published = new Set<string>();

  constructor(sources: EntrySources) {
    this.#sources = sources;
  }

  get isDirty(): boolean {
    return this.#dirtyEntries.size + this.#dirtyWorkloads.size + this.#dirtyHosts.size > 0;
  }

  /** An entry's waypoint at the last `flush`; undefined when it asks for none. */
  binding(key: string): WaypointBinding | undefined {
    return this.#bindings.get(key);
  }

  /** Entries of a namespace that take a workload with these labels as endpoint, by name. */
  selecting(namespace: string, labels: Labels): ServiceEntry[] {
    return [...this.#entries.in(namespace)].filter((entry) => entrySelects(entry, labels)).sort(byAge);
  }

  setEntry(key: string, entry: ServiceEntry | undefined): void {
    const before = this.#entries.set(key, entry);
    this.#dirtyEntries.add(key);
    for (const version of [before, entry]) {
      if (version === undefined) continue;
      for (const host of hostsOf(version)) this.#dirtyHosts.add(host);
      const labels = version.spec?.workloadSelector?.labels;
      if (labels === undefined || Object.keys(labels).length === 0) continue;
      const namespace = version.metadata.namespace ?? '';
      this.#sources.markPods(namespace, labels);
      this.markWorkloads(namespace, labels, false);
    }
    for (const host of before === undefined ? [] : hostsOf(before)) {
      const keys = this.#byHost.get(host);
      keys?.delete(key);
      if (keys?.size === 0) this.#byHost.delete(host);
    }
    for (const host of entry === undefined ? [] : hostsOf(entry)) {
      const keys = this.#byHost.get(host) ?? new Set();
      this.#byHost.set(host, keys.add(key));
    }
  }

  setWorkload(key: string, workload: WorkloadEntry | undefined): void {
    this.#workloads.set(key, workload);
    this.#dirtyWorkloads.add(key);
  }

  /** A Service came, went or changed: who it selects, and who has its host. */
  serviceChanged(namespace: string, host: string, versions: readonly (KubeService | undefined)[]): void {
    if (this.#byHost.has(host)) this.#dirtyHosts.add(host);
    for (const workload of this.#workloads.in(namespace))
      if (versions.some((service) => service !== undefined && selectsPod(service, workload.spec?.labels)))
        this.#dirtyWorkloads.add(objectKey(workload));
  }

  /** What these take from their namespace has changed. */
  namespaceChanged(name: string): void {
    for (const entry of this.#entries.in(name)) this.#markEntry(entry);
    for (const key of this.#workloads.keysIn(name)) this.#dirtyWorkloads.add(key);
  }

  /** Whatever asks for one of these Gateways. */
  waypointChanged(gateways: ReadonlySet<string>): void {
    const asks = (object: ServiceEntry | WorkloadEntry): boolean =>
      askedWaypoints(object, this.#sources.namespace(object.metadata.namespace ?? '')).some((key) => gateways.has(key));
    for (const entry of this.#entries.all()) if (asks(entry)) this.#markEntry(entry);
    for (const workload of this.#workloads.all()) if (asks(workload)) this.#dirtyWorkloads.add(objectKey(workload));
  }

  #markEntry(entry: ServiceEntry): void {
    this.#dirtyEntries.add(objectKey(entry));
    for (const host of hostsOf(entry)) this.#dirtyHosts.add(host);
  }

  /** WorkloadEntries with these labels, whose policies or services have changed. */
  markWorkloads(namespace: string, labels: Readonly<Record<string, string>>, everywhere: boolean): void {
    for (const workload of everywhere ? this.#workloads.all() : this.#workloads.in(namespace))
      if (hasLabels(workload.spec?.labels, labels)) this.#dirtyWorkloads.add(objectKey(workload));
  }

  flush(into: Resources, each: CompileEach): void {
    const changed = new Set(this.#dirtyEntries);
    each(this.#dirtyEntries, 'ServiceEntry', (key) => this.#compileEndpoints(key, into));
    const hosts = new Set(this.#dirtyHosts);
    each(this.#dirtyHosts, 'ServiceEntry', (host) => this.#compileHost(host, into));
    // A name that no entry has any more, and no Service either.
    for (const name of this.#published) {
      const host = name.slice(name.indexOf('/') + 1);
      if (hosts.has(host) && this.#owner(name) === undefined) {
        this.#published.delete(name);
        if (!this.#isKubernetes(name)) into.set(name, undefined);
      }
    }
    for (const key of changed) if (this.#entries.get(key) === undefined) this.#bindings.delete(key);
    each(this.#dirtyWorkloads, 'WorkloadEntry', (key) => this.#compileWorkload(key, into));
  }

  #compileEndpoints(key: string, into: Resources): void {
    const entry = this.#entries.get(key);
    this.#endpoints.replace(key, entry === undefined ? [] : compileEntryWorkloads(entry, this.#sources.context), into);
  }

  /** The services of a host: one in each namespace that has it, from the oldest of its entries there. */
  #compileHost(host: string, into: Resources): void {
    const { context, waypoints } = this.#sources;
    const all = this.#entriesOf(host);
    const isOfKubernetes = this.#hasKubernetesService(host);
    for (const namespace of new Set(all.map(({ metadata }) => metadata.namespace ?? ''))) {
      const name = serviceKey({ namespace, hostname: host });
      const entry = this.#owner(name)!;
      const around = this.#sources.namespace(namespace);
      const binding = bindWaypoint('service', { metadata: entry.metadata, visibility: visibilityOf(entry) }, around, waypoints);
      if (binding.condition === undefined) this.#bindings.delete(objectKey(entry));
      else this.#bindings.set(objectKey(entry), binding);
      if (this.#isKubernetes(name)) continue;
      const isCanonical = !isOfKubernetes && all[0] === entry;
      const service = compileEntryService(entry, host, { namespace: around, binding, isCanonical }, context);
      this.#published.add(name);
      into.set(name, serviceResource(service));
    }
  }

  #compileWorkload(key: string, into: Resources): void {
    const { context, waypoints } = this.#sources;
    const workload = this.#workloads.get(key);
    const uid = `${context.clusterId}/networking.istio.io/WorkloadEntry/${key}`;
    if (workload?.spec === undefined || endpointProblem(workload.spec) !== undefined) {
      into.set(uid, undefined);
      return;
    }
    const { namespace = '', name = '' } = workload.metadata;
    const { labels, ports } = workload.spec;
    const services = new Map<string, readonly ServicePort[]>();
    const selecting = [...this.#sources.services.in(namespace)].filter((service) => selectsPod(service, labels));
    for (const service of selecting.sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1)))
      services.set(`${namespace}/${serviceHostname(service, context)}`, portsOnEndpoint(service, ports ?? {}));
    for (const entry of this.selecting(namespace, labels))
      for (const [at, own] of servicesAt(entry, ports)) if (!services.has(at)) services.set(at, own);
    // Labels of a WorkloadEntry are those of its spec; those of the object ask for a waypoint.
    const { waypoint } = bindWaypoint('workload', workload, this.#sources.namespace(namespace), waypoints);
    const authorizationPolicies = this.#sources.policiesFor(namespace, labels);
    const isSick = workload.status?.conditions?.some(({ type, status }) => type === 'Healthy' && status === 'False') === true;
    const given = { uid, name, namespace, services, authorizationPolicies, ...(waypoint !== undefined && { waypoint }) };
    const status = isSick ? 'UNHEALTHY' : 'HEALTHY';
    into.set(uid, workloadResource(endpointWorkload(workload.spec, { ...given, status }, context)));
  }

  #entriesOf(host: string): ServiceEntry[] {
    return [...(this.#byHost.get(host) ?? [])].map((key) => this.#entries.get(key)!).sort(byAgeAndNamespace);
  }

  /** Of several entries of one namespace with one host, the oldest is the service; the others add endpoints. */
  #owner(name: string): ServiceEntry | undefined {
    const slash = name.indexOf('/');
    return this.#entriesOf(name.slice(slash + 1)).find(({ metadata }) => metadata.namespace === name.slice(0, slash));
  }

  /** Whether a Service of Kubernetes has this name. */
  #isKubernetes(name: string): boolean {
    const slash = name.indexOf('/');
    return this.#kubernetesNamespace(name.slice(slash + 1)) === name.slice(0, slash);
  }

  #hasKubernetesService(host: string): boolean {
    return this.#kubernetesNamespace(host) !== undefined;
  }

  #kubernetesNamespace(host: string): string | undefined {
    const suffix = `.svc.${this.#sources.context.clusterDomain}`;
    if (!host.endsWith(suffix)) return undefined;
    const [name = '', namespace = '', ...rest] = host.slice(0, -suffix.length).split('.');
    const service = rest.length > 0 ? undefined : this.#sources.services.get(`${namespace}/${name}`);
    return service === undefined || service.spec?.type === 'ExternalName' ? undefined : namespace;
  }
}

/** Two namespaces may have an entry of one name and age. */
const byAgeAndNamespace = (a: ServiceEntry, b: ServiceEntry): number =>
  byAge(a, b) || ((a.metadata.namespace ?? '') < (b.metadata.namespace ?? '') ? -1 : 1);
