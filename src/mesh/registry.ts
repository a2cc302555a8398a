/**
 * Everything a proxy knows about the mesh, indexed as in section 2.1 of the ambient contract. Contents do not depend on the order of
 * arrival: endpoints of services not yet known are staged, and ties are broken by name. Replacing a resource is removing and inserting it.
 */
import { CidrVips, compareServices, compareWorkloads, isCidrVip, MultiMap } from './indexes.ts';
import { networkIpKey } from './ip.ts';
import { policyKey, serviceKey } from './keys.ts';
import type { Authorization, Service, ServicePort, Workload } from './model.ts';
import type { NetworkPolicy } from './network-policy/model.ts';
import { NetworkPolicyTable, networkPolicyKey } from './network-policy/table.ts';

/** A workload as endpoint of one service; `ports` are its own service port → target port entries. */
export interface Endpoint {
  readonly workload: Workload;
  readonly ports: readonly ServicePort[];
}

/** What one change, or one `batch`, touched: resource keys, inserted and removed alike. */
export interface RegistryChange {
  readonly version: number;
  readonly workloads: ReadonlySet<string>;
  readonly services: ReadonlySet<string>;
  readonly policies: ReadonlySet<string>;
  readonly networkPolicies: ReadonlySet<string>;
}

export type Destination =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service };

interface Membership {
  readonly all: Map<string, Endpoint>;
  /** The endpoints that may be chosen, computed at first use after a change. */
  selectable: readonly Endpoint[] | undefined;
}

const NO_ENDPOINTS: readonly Endpoint[] = [];
const byWorkloadUid = (a: Endpoint, b: Endpoint): number => (a.workload.uid < b.workload.uid ? -1 : 1);
const byPolicyKey = (a: Authorization, b: Authorization): number => (policyKey(a) < policyKey(b) ? -1 : 1);
const infoKey = (name: string, namespace: string, serviceAccount: string): string => `${namespace}/${name}/${serviceAccount}`;

export class MeshRegistry {
  readonly #workloads = new Map<string, Workload>();
  readonly #workloadsByIp = new MultiMap<Workload>(compareWorkloads);
  readonly #workloadsByHostname = new MultiMap<Workload>(compareWorkloads);
  readonly #workloadsByInfo = new MultiMap<Workload>(compareWorkloads);
  readonly #services = new Map<string, Service>();
  readonly #servicesByHostname = new MultiMap<Service>(compareServices);
  readonly #servicesByVip = new MultiMap<Service>(compareServices);
  readonly #cidrVips = new CidrVips();
  readonly #memberships = new Map<string, Membership>();
  readonly #policies = new Map<string, Authorization>();
  /** Global policies under '', namespace-wide ones under their namespace. */
  readonly #policiesByNamespace = new MultiMap<Authorization>(byPolicyKey);
  /** Changed by `insertNetworkPolicy` and `removeNetworkPolicy` only. */
  readonly networkPolicies = new NetworkPolicyTable();
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  #version = 0;
  #depth = 0;
  #touched = nothingTouched();

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  /** Calls `listener` after each change, or once after a `batch`; returns the way to stop. */
  onChange(listener: (change: RegistryChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Applies several changes and notifies once. Batches nest. */
  batch<T>(apply: () => T): T {
    this.#depth++;
    try {
      return apply();
    } finally {
      this.#depth--;
      this.#notify();
    }
  }

  insertWorkload(workload: Workload): void {
    this.#dropWorkload(workload.uid);
    this.#workloads.set(workload.uid, workload);
    this.#eachWorkloadIndex(workload, (index, key) => index.add(key, workload));
    for (const [key, ports] of workload.services) {
      const membership = this.#memberships.get(key) ?? { all: new Map(), selectable: undefined };
      membership.all.set(workload.uid, { workload, ports });
      membership.selectable = undefined;
      this.#memberships.set(key, membership);
    }
    this.#touched.workloads.add(workload.uid);
    this.#changed();
  }

  removeWorkload(uid: string): boolean {
    if (!this.#dropWorkload(uid)) return false;
    this.#touched.workloads.add(uid);
    this.#changed();
    return true;
  }

  insertService(service: Service): void {
    const key = serviceKey(service);
    this.#dropService(key);
    this.#services.set(key, service);
    this.#servicesByHostname.add(service.hostname, service);
    for (const vip of service.vips) {
      if (isCidrVip(vip)) this.#cidrVips.add(vip, service);
      else this.#servicesByVip.add(networkIpKey(vip.network, vip.address), service);
    }
    this.#touched.services.add(key);
    this.#changed();
  }

  removeService(key: string): boolean {
    if (!this.#dropService(key)) return false;
    this.#touched.services.add(key);
    this.#changed();
    return true;
  }

  insertPolicy(policy: Authorization): void {
    const key = policyKey(policy);
    this.#dropPolicy(key);
    this.#policies.set(key, policy);
    const namespace = scopeNamespace(policy);
    if (namespace !== undefined) this.#policiesByNamespace.add(namespace, policy);
    this.#touched.policies.add(key);
    this.#changed();
  }

  removePolicy(key: string): boolean {
    if (!this.#dropPolicy(key)) return false;
    this.#touched.policies.add(key);
    this.#changed();
    return true;
  }

  insertNetworkPolicy(policy: NetworkPolicy): void {
    this.networkPolicies.set(policy);
    this.#touched.networkPolicies.add(networkPolicyKey(policy));
    this.#changed();
  }

  removeNetworkPolicy(key: string): boolean {
    if (!this.networkPolicies.delete(key)) return false;
    this.#touched.networkPolicies.add(key);
    this.#changed();
    return true;
  }

  /** Removes the workload or service of this resource name (WDS `Address` removals); unknown names are ignored. */
  remove(name: string): boolean {
    return this.removeWorkload(name) || this.removeService(name);
  }

  workload(uid: string): Workload | undefined {
    return this.#workloads.get(uid);
  }

  /** The workload that owns an address; host-network workloads own none. */
  workloadByAddress(network: string, ip: string): Workload | undefined {
    return this.#workloadsByIp.get(networkIpKey(network, ip))[0];
  }

  workloadByHostname(hostname: string, namespace: string): Workload | undefined {
    return this.#workloadsByHostname.get(hostname).find((workload) => workload.namespace === namespace);
  }

  /** The source of a pod's connections (2.2): by what the node agent says about the pod, never by address. */
  workloadByInfo(name: string, namespace: string, serviceAccount: string, clusterId?: string): Workload | undefined {
    const found = this.#workloadsByInfo.get(infoKey(name, namespace, serviceAccount));
    return found.find((workload) => workload.clusterId === clusterId) ?? found[0];
  }

  service(key: string): Service | undefined {
    return this.#services.get(key);
  }

  servicesByHostname(hostname: string): readonly Service[] {
    return this.#servicesByHostname.get(hostname);
  }

  /** All services with this exact VIP, visible or not. */
  servicesByVip(network: string, ip: string): readonly Service[] {
    return this.#servicesByVip.get(networkIpKey(network, ip));
  }

  /**
   * Best service for a client of `namespace`: exact VIP, then CIDR VIPs (2.1). Without a namespace, as for traffic its client's proxy has
   * already resolved, no service is hidden.
   */
  serviceByAddress(network: string, ip: string, namespace: string | undefined): Service | undefined {
    const exact = bestService(this.servicesByVip(network, ip), namespace);
    if (exact !== undefined) return exact;
    let best: { service: Service; length: number } | undefined;
    for (const hit of this.#cidrVips.find(network, ip)) {
      if (isVisible(hit.service, namespace) && (best === undefined || cidrRank(hit, namespace) > cidrRank(best, namespace))) best = hit;
    }
    return best?.service;
  }

  /** Best service of a hostname for a client of `namespace`; `preferredNamespace` is for DNS only. */
  serviceByHostname(hostname: string, namespace: string | undefined, preferredNamespace?: string): Service | undefined {
    return bestService(this.servicesByHostname(hostname), namespace, preferredNamespace);
  }

  /** "What is addressed?": workload IP first, then VIP, then CIDR VIP. */
  findAddress(network: string, ip: string, namespace: string | undefined): Destination | undefined {
    const workload = this.workloadByAddress(network, ip);
    if (workload !== undefined) return { kind: 'workload', workload };
    const service = this.serviceByAddress(network, ip, namespace);
    return service && { kind: 'service', service };
  }

  /** "Where does it go?": VIP first, then CIDR VIP, then workload IP. */
  findUpstream(network: string, ip: string, namespace: string | undefined): Destination | undefined {
    const service = this.serviceByAddress(network, ip, namespace);
    if (service !== undefined) return { kind: 'service', service };
    const workload = this.workloadByAddress(network, ip);
    return workload && { kind: 'workload', workload };
  }

  /** Endpoints that may be chosen, by uid: unhealthy ones only if the service allows all. Also for services not (yet) known. */
  endpoints(key: string): readonly Endpoint[] {
    const membership = this.#memberships.get(key);
    if (membership === undefined) return NO_ENDPOINTS;
    if (membership.selectable === undefined) {
      const allowAll = this.#services.get(key)?.loadBalancing?.healthPolicy === 'ALLOW_ALL';
      const endpoints = [...membership.all.values()].filter(({ workload }) => allowAll || workload.status === 'HEALTHY');
      membership.selectable = endpoints.sort(byWorkloadUid);
    }
    return membership.selectable;
  }

  /** Every workload that claims to be an endpoint of a service, whatever its health. */
  members(key: string): IterableIterator<Endpoint> | readonly Endpoint[] {
    return this.#memberships.get(key)?.all.values() ?? NO_ENDPOINTS;
  }

  /** This workload as endpoint of a service, whatever its health. */
  endpoint(key: string, uid: string): Endpoint | undefined {
    return this.#memberships.get(key)?.all.get(uid);
  }

  /** The known services a workload belongs to. */
  servicesOf(workload: Workload): Service[] {
    return [...workload.services.keys()].sort().flatMap((key) => this.#services.get(key) ?? []);
  }

  policy(key: string): Authorization | undefined {
    return this.#policies.get(key);
  }

  /** Policies for every workload of a namespace, by key; `''` gives the global ones. */
  policiesOfNamespace(namespace: string): readonly Authorization[] {
    return this.#policiesByNamespace.get(namespace);
  }

  allWorkloads(): Workload[] {
    return sortedValues(this.#workloads);
  }

  allServices(): Service[] {
    return sortedValues(this.#services);
  }

  allPolicies(): Authorization[] {
    return sortedValues(this.#policies);
  }

  /** Keys of services that have endpoints but are not known themselves, with the uids waiting for them. */
  stagedServices(): Map<string, string[]> {
    const staged = [...this.#memberships].filter(([key]) => !this.#services.has(key)).sort(([a], [b]) => (a < b ? -1 : 1));
    return new Map(staged.map(([key, { all }]) => [key, [...all.keys()].sort()]));
  }

  #dropWorkload(uid: string): boolean {
    const workload = this.#workloads.get(uid);
    if (workload === undefined) return false;
    this.#workloads.delete(uid);
    this.#eachWorkloadIndex(workload, (index, key) => index.delete(key, workload));
    for (const key of workload.services.keys()) {
      const membership = this.#memberships.get(key)!;
      membership.all.delete(uid);
      membership.selectable = undefined;
      if (membership.all.size === 0) this.#memberships.delete(key);
    }
    return true;
  }

  #eachWorkloadIndex(workload: Workload, visit: (index: MultiMap<Workload>, key: string) => void): void {
    if (workload.networkMode !== 'HOST_NETWORK') {
      for (const ip of new Set(workload.addresses)) visit(this.#workloadsByIp, networkIpKey(workload.network, ip));
    }
    if (workload.hostname !== '') visit(this.#workloadsByHostname, workload.hostname);
    visit(this.#workloadsByInfo, infoKey(workload.name, workload.namespace, workload.serviceAccount));
  }

  #dropService(key: string): boolean {
    const service = this.#services.get(key);
    // Which endpoints may be chosen depends on the service's health policy.
    const membership = this.#memberships.get(key);
    if (membership !== undefined) membership.selectable = undefined;
    if (service === undefined) return false;
    this.#services.delete(key);
    this.#servicesByHostname.delete(service.hostname, service);
    for (const vip of service.vips) {
      if (isCidrVip(vip)) this.#cidrVips.delete(vip, service);
      else this.#servicesByVip.delete(networkIpKey(vip.network, vip.address), service);
    }
    return true;
  }

  #dropPolicy(key: string): boolean {
    const policy = this.#policies.get(key);
    if (policy === undefined) return false;
    this.#policies.delete(key);
    const namespace = scopeNamespace(policy);
    if (namespace !== undefined) this.#policiesByNamespace.delete(namespace, policy);
    return true;
  }

  #changed(): void {
    this.#version++;
    this.#notify();
  }

  #notify(): void {
    const touched = this.#touched;
    const { workloads, services, policies, networkPolicies } = touched;
    if (this.#depth > 0 || workloads.size + services.size + policies.size + networkPolicies.size === 0) return;
    this.#touched = nothingTouched();
    for (const listener of this.#listeners) listener({ version: this.#version, ...touched });
  }
}

const nothingTouched = () => ({
  workloads: new Set<string>(),
  services: new Set<string>(),
  policies: new Set<string>(),
  networkPolicies: new Set<string>(),
});

/** Where a policy applies without being listed: everywhere (''), a namespace, or nowhere (undefined). */
const scopeNamespace = (policy: Authorization): string | undefined =>
  policy.scope === 'GLOBAL' ? '' : policy.scope === 'NAMESPACE' ? policy.namespace : undefined;

const sortedValues = <V>(map: ReadonlyMap<string, V>): V[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);

const isVisible = (service: Service, namespace: string | undefined): boolean =>
  namespace === undefined || service.visibility === 'PUBLIC' || service.namespace === namespace;

const cidrRank = ({ service, length }: { service: Service; length: number }, namespace: string | undefined): number =>
  (service.namespace === namespace ? 1024 : 0) + length * 2 + (service.canonical ? 1 : 0);

/** The client's namespace, then `canonical`, then the preferred namespace, then the first by key; invisible ones do not count. */
export const bestService = (
  services: readonly Service[],
  namespace: string | undefined,
  preferredNamespace?: string,
): Service | undefined => {
  let canonical: Service | undefined;
  let preferred: Service | undefined;
  let first: Service | undefined;
  for (const service of services) {
    if (service.namespace === namespace) return service;
    if (!isVisible(service, namespace)) continue;
    if (service.canonical) canonical ??= service;
    if (service.namespace === preferredNamespace) preferred ??= service;
    first ??= service;
  }
  return canonical ?? preferred ?? first;
};
