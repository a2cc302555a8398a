/** What a waypoint knows of routing: the plans from the control plane, compiled at first use, and the state of every destination. */
import {
  type Backend,
  type BackendPolicy,
  Cluster,
  compileHttpTable,
  type PortPlan,
  type RequestView,
  type RouteMatch,
  type RouteTable,
  type ServicePlan,
} from '../../mesh/http/index.ts';
import { type AppProtocol, type MeshRegistry, type RegistryChange, type Service, serviceKey, type Workload } from '../../mesh/index.ts';

/** In place of a service's key: a workload that was addressed itself, by its uid. */
export const WORKLOAD_PREFIX = 'workload:';

/** A destination with everything needed to send a request there. */
export class Upstream {
  readonly backend: Backend;
  readonly cluster: Cluster;
  readonly policy: BackendPolicy | undefined;
  service: Service;
  protocol: AppProtocol = 'UNKNOWN';
  /** Requests under way, for the limits of the connection pool. */
  active = 0;
  retries = 0;
  /** Connections to all its endpoints, those under way too, and requests that wait for one. */
  connections = 0;
  pending = 0;
  version = -1;
  /** Its policy has changed: another takes its place for the next request. */
  isForgotten = false;

  constructor(backend: Backend, service: Service, policy: BackendPolicy | undefined, cluster: Cluster) {
    this.backend = backend;
    this.service = service;
    this.policy = policy;
    this.cluster = cluster;
  }
}

/** How requests to one port of one service are routed. */
export class PortRoutes {
  readonly #table: RouteTable | undefined;
  readonly #consumers = new Map<string, RouteTable>();
  readonly plan: PortPlan | undefined;
  /** Where requests go that no rule speaks of. */
  readonly #self: RouteMatch;

  constructor(plan: PortPlan | undefined, self: Backend) {
    this.plan = plan;
    this.#table = plan?.http && compileHttpTable(plan.http);
    for (const { namespace, http } of plan?.consumers ?? []) this.#consumers.set(namespace, compileHttpTable(http));
    this.#self = { action: { name: 'default', backends: [{ ...self, weight: 1 }] }, rule: -1, path: undefined };
  }

  /** Undefined: no rule takes the request. */
  match(request: RequestView, sourceNamespace: string | undefined): RouteMatch | undefined {
    const table =
      (sourceNamespace !== undefined && this.#consumers.size > 0 ? this.#consumers.get(sourceNamespace) : undefined) ?? this.#table;
    return table === undefined ? this.#self : table.match(request, sourceNamespace);
  }
}

export class Traffic {
  readonly #registry: MeshRegistry;
  readonly #self: () => Workload | undefined;
  readonly #plans = new Map<string, ServicePlan>();
  readonly #routes = new Map<string, PortRoutes>();
  readonly #upstreams = new Map<string, Upstream>();
  /** The same by the objects of plans, which is what requests name. */
  readonly #byBackend = new WeakMap<Backend, Upstream>();
  /** Grows with every change of a plan. */
  version = 0;

  constructor(registry: MeshRegistry, self: () => Workload | undefined) {
    this.#registry = registry;
    this.#self = self;
  }

  plans(): ServicePlan[] {
    return [...this.#plans.values()];
  }

  /** In force for the next request. Destinations keep their state where their policy stays. */
  setPlan(plan: ServicePlan): void {
    this.#plans.set(plan.service, plan);
    this.version++;
    this.#forgetRoutes(plan.service);
  }

  removePlan(service: string): void {
    if (!this.#plans.delete(service)) return;
    this.version++;
    this.#forgetRoutes(service);
  }

  /** `port` is a service port. */
  routes(service: string, port: number): PortRoutes {
    const key = `${service} ${port}`;
    let routes = this.#routes.get(key);
    if (routes === undefined) {
      const ports = this.#plans.get(service)?.ports;
      const plan = ports?.find((candidate) => candidate.port === port) ?? ports?.find((candidate) => candidate.port === 0);
      routes = new PortRoutes(plan, { service, port });
      this.#routes.set(key, routes);
    }
    return routes;
  }

  /** The destination, its endpoints as the registry knows them now. Undefined: there is no such service, port or subset. */
  upstream(backend: Backend, now: number): Upstream | undefined {
    const last = this.#byBackend.get(backend);
    if (last !== undefined && last.version === this.#registry.version && !last.isForgotten) return last;
    const upstream = this.#find(backend, now);
    if (upstream !== undefined) this.#byBackend.set(backend, upstream);
    return upstream;
  }

  #find(backend: Backend, now: number): Upstream | undefined {
    const key = `${backend.service} ${backend.port} ${backend.subset ?? ''}`;
    const known = this.#upstreams.get(key);
    if (known !== undefined && known.version === this.#registry.version) return known;
    if (backend.service.startsWith(WORKLOAD_PREFIX)) return this.#workloadUpstream(key, backend, now);
    const service = this.#registry.service(backend.service);
    const port = service?.ports.find(({ servicePort }) => servicePort === backend.port);
    if (service === undefined || port === undefined) return undefined;
    const upstream = known ?? this.#make(key, backend, service);
    if (upstream === undefined) return undefined;
    upstream.service = service;
    upstream.protocol = port.appProtocol;
    upstream.cluster.update(service, this.#registry.endpoints(backend.service), this.#self(), now);
    upstream.version = this.#registry.version;
    return upstream;
  }

  /** The one workload of a connection that was addressed to no service: as a service with one endpoint. */
  #workloadUpstream(key: string, backend: Backend, now: number): Upstream | undefined {
    const workload = this.#registry.workload(backend.service.slice(WORKLOAD_PREFIX.length));
    if (workload === undefined) return undefined;
    const known = this.#upstreams.get(key);
    const { name, namespace } = workload;
    const port = { servicePort: backend.port, targetPort: backend.port, appProtocol: 'UNKNOWN' as const };
    const service: Service = {
      name,
      namespace,
      hostname: name,
      vips: [],
      ports: [port],
      subjectAltNames: [],
      weightedWaypoints: [],
      ipFamilies: 'AUTOMATIC',
      canonical: false,
      visibility: 'PUBLIC',
    };
    const upstream = known ?? new Upstream(backend, service, undefined, new Cluster({ port: backend.port }));
    this.#upstreams.set(key, upstream);
    upstream.service = service;
    upstream.cluster.update(service, [{ workload, ports: [port] }], this.#self(), now);
    upstream.version = this.#registry.version;
    return upstream;
  }

  /** Destinations that are no more are forgotten, and their endpoints marked as gone, so that their connections go too. */
  registryChanged({ workloads, services }: RegistryChange, now: number): void {
    if (workloads.size === 0 && services.size === 0) return;
    for (const [key, upstream] of this.#upstreams) {
      const name = upstream.backend.service;
      const isKnown = name.startsWith(WORKLOAD_PREFIX)
        ? this.#registry.workload(name.slice(WORKLOAD_PREFIX.length)) !== undefined
        : this.#registry.service(name) !== undefined;
      if (isKnown) continue;
      upstream.cluster.update(upstream.service, [], this.#self(), now);
      this.#forget(key, upstream);
    }
  }

  *upstreams(): Iterable<Upstream> {
    yield* this.#upstreams.values();
  }

  #make(key: string, backend: Backend, service: Service): Upstream | undefined {
    const plan = this.#plans.get(serviceKey(service));
    const subset = backend.subset === undefined ? undefined : plan?.subsets?.find(({ name }) => name === backend.subset);
    if (backend.subset !== undefined && subset === undefined) return undefined;
    const policy = policyFor(subset?.policy, plan?.policy, backend.port);
    const cluster = new Cluster({ port: backend.port, ...(subset && { subset }), ...(policy && { policy }) });
    const upstream = new Upstream(backend, service, policy, cluster);
    this.#upstreams.set(key, upstream);
    return upstream;
  }

  #forget(key: string, upstream: Upstream): void {
    this.#upstreams.delete(key);
    upstream.isForgotten = true;
  }

  #forgetRoutes(service: string): void {
    const prefix = `${service} `;
    for (const key of this.#routes.keys()) if (key.startsWith(prefix)) this.#routes.delete(key);
    const plan = this.#plans.get(service);
    for (const [key, upstream] of this.#upstreams) {
      if (upstream.backend.service !== service) continue;
      const name = upstream.backend.subset;
      const subset = plan?.subsets?.find((candidate) => candidate.name === name);
      const isSame =
        (name === undefined || subset !== undefined) &&
        Bun.deepEquals(policyFor(subset?.policy, plan?.policy, upstream.backend.port), upstream.policy);
      if (!isSame) this.#forget(key, upstream);
      else if (subset !== undefined) {
        upstream.cluster.setSubset(subset);
        upstream.version = -1;
      }
    }
  }
}

/** A subset's policy goes before the service's, a port's before both. */
function policyFor(subset: BackendPolicy | undefined, service: BackendPolicy | undefined, port: number): BackendPolicy | undefined {
  const own = (policy: BackendPolicy | undefined): BackendPolicy | undefined => policy?.ports?.find((entry) => entry.port === port)?.policy;
  return own(subset) ?? subset ?? own(service) ?? service;
}
