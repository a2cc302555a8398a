import { create, toBinary } from '@bufbuild/protobuf';
import type { DestinationRule, ReferenceGrant, VirtualService } from '../../platform/kubernetes/index.ts';
import {
  combinePlans,
  encodeServicePlan,
  type IstioServicePlan,
  mergeRoutes,
  type PlanConflict,
  type RouteConflict,
  type RouteKind,
  ServicePlanMessageSchema,
  serviceKey,
} from '../wire.ts';
import { type GatewayRouteObjects, GatewayRoutes } from './gateway-routes.ts';
import { IstioRules } from './istio-rules.ts';
import { referencesOf } from './references.ts';
import { PlanScopes, type ScopedChanges } from './scopes.ts';
import { hostnameOf, type MeshServices, serviceNameOf } from './services.ts';

/** The kinds that are compiled to plans, with their types. */
export interface PlannedKinds extends GatewayRouteObjects {
  readonly ReferenceGrant: ReferenceGrant;
  readonly VirtualService: VirtualService;
  readonly DestinationRule: DestinationRule;
}
export type PlannedKind = keyof PlannedKinds;

/** What only shows when everything about a service comes together; for the status of the objects. */
export interface ServiceFindings {
  readonly routeConflicts: readonly RouteConflict[];
  readonly planConflicts: readonly PlanConflict[];
  readonly problems: IstioServicePlan['problems'];
}

/**
 * Routing objects in, service plans out, each for the waypoints that need it. A change compiles anew what depends on it and nothing else; a refused
 * object leaves its last good version in force.
 */
export class PlanCompiler {
  readonly routes: GatewayRoutes;
  readonly rules: IstioRules;
  readonly scopes = new PlanScopes();
  readonly #services: MeshServices;
  readonly #onError: (id: string, error: Error) => void;
  readonly #findings = new Map<string, ServiceFindings>();
  /** Service (`namespace/name`) → what of it plans are made of. */
  readonly #digests = new Map<string, string>();
  readonly #dirty = new Set<string>();
  readonly #statusDirty = new Set<string>();

  constructor(services: MeshServices, onError: (id: string, error: Error) => void = () => {}) {
    this.#services = services;
    this.#onError = onError;
    this.routes = new GatewayRoutes(services);
    this.rules = new IstioRules(services);
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.routes.isDirty || this.rules.isDirty;
  }

  /** `object` undefined: it is gone. */
  set<K extends PlannedKind>(kind: K, key: string, object: PlannedKinds[K] | undefined): void {
    // `K` ties the object's type to its kind.
    if (kind === 'ReferenceGrant') this.routes.setGrant(key, object as ReferenceGrant | undefined);
    else if (kind === 'VirtualService') this.rules.setVirtualService(key, object as VirtualService | undefined);
    else if (kind === 'DestinationRule') this.rules.setDestinationRule(key, object as DestinationRule | undefined);
    else this.routes.set(kind as RouteKind, key, object as GatewayRouteObjects[RouteKind] | undefined);
  }

  /** A Service (`namespace/name`) was compiled, perhaps to the same as before. */
  serviceChanged(key: string): void {
    const slash = key.indexOf('/');
    const name = { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
    const service = this.#services.service(name.namespace, name.name);
    const digest =
      service &&
      JSON.stringify([service.spec?.ports, service.spec?.clusterIPs, service.spec?.selector, this.#services.binding(key)?.gateways]);
    if (this.#digests.get(key) === digest) return;
    if (digest === undefined) this.#digests.delete(key);
    else this.#digests.set(key, digest);
    const hostname = hostnameOf(name, this.#services.clusterDomain);
    this.routes.serviceChanged(name.namespace, name.name, hostname);
    this.rules.hostChanged(hostname);
    this.#dirty.add(serviceKey({ namespace: name.namespace, hostname }));
  }

  /** Pods with these labels came, went or were changed: subsets may have other members. */
  podsChanged(namespace: string, isSelectedBy: (serviceName: string) => boolean): void {
    for (const service of this.rules.ruledServices()) {
      if (!service.startsWith(`${namespace}/`) || this.#dirty.has(service) || !this.rules.hasSubsets(service)) continue;
      const name = serviceNameOf(service, this.#services.clusterDomain);
      if (name !== undefined && isSelectedBy(name.name)) this.#dirty.add(service);
    }
  }

  /** Compiles what is marked; the answer is what changed for each waypoint. */
  flush(): ScopedChanges {
    const affected = {
      service: (key: string) => this.#dirty.add(key),
      status: (id: string) => this.#statusDirty.add(id),
      failed: this.#onError,
    };
    this.rules.compile(affected);
    this.routes.compile(affected);
    for (const service of this.#dirty) {
      try {
        this.#plan(service);
      } catch (error) {
        this.#onError(service, error as Error); // its last plan stays
      }
    }
    this.#dirty.clear();
    return this.scopes.flush();
  }

  #plan(service: string): void {
    const merged = mergeRoutes(service, [...this.routes.of(service)]);
    const istio = this.rules.planOf(service);
    const { plan, conflicts } = combinePlans(service, merged.ports, istio ?? { ports: [] });
    const isEmpty = istio === undefined || (plan.ports.length === 0 && plan.policy === undefined && (plan.subsets?.length ?? 0) === 0);
    const name = serviceNameOf(service, this.#services.clusterDomain);
    const bound = (name && this.#services.binding(`${name.namespace}/${name.name}`)?.gateways) ?? [];
    this.scopes.set(
      service,
      isEmpty
        ? undefined
        : { value: toBinary(ServicePlanMessageSchema, create(ServicePlanMessageSchema, { service, plan: encodeServicePlan(plan) })) },
      bound,
      isEmpty ? [] : referencesOf(plan),
    );
    this.#setFindings(service, {
      routeConflicts: sorted(merged.conflicts),
      planConflicts: sorted(conflicts),
      problems: sorted(istio?.problems ?? []),
    });
  }

  #setFindings(service: string, findings: ServiceFindings): void {
    const before = this.#findings.get(service) ?? NOTHING;
    const isEmpty = findings.routeConflicts.length + findings.planConflicts.length + findings.problems.length === 0;
    if (isEmpty) this.#findings.delete(service);
    else this.#findings.set(service, findings);
    if (isEmpty && before === NOTHING) return;
    for (const id of this.objectsOf(service)) this.#statusDirty.add(id);
  }

  findings(service: string): ServiceFindings {
    return this.#findings.get(service) ?? NOTHING;
  }

  /** Objects (`Kind/namespace/name`) that say something about a service. */
  *objectsOf(service: string): IterableIterator<string> {
    yield* this.routes.idsOf(service);
    yield* this.rules.idsOf(service);
  }

  /** Services an object says something about. */
  servicesOf(id: string): readonly string[] {
    const slash = id.indexOf('/');
    const kind = id.slice(0, slash);
    if (kind === 'VirtualService' || kind === 'DestinationRule') return this.rules.servicesOf(kind, id.slice(slash + 1));
    return this.routes.servicesOf(id);
  }

  /** Routes of the Gateway API by the waypoint (`namespace/name`) that serves them. */
  attachedRoutes(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const id of this.routes.ids()) {
      const waypoints = new Set(this.routes.servicesOf(id).flatMap((service) => this.scopes.boundTo(service)));
      for (const waypoint of waypoints) counts.set(waypoint, (counts.get(waypoint) ?? 0) + 1);
    }
    return counts;
  }

  /** Objects whose status may be another one since the last call. */
  takeStatusDirty(): ReadonlySet<string> {
    const taken = new Set(this.#statusDirty);
    this.#statusDirty.clear();
    return taken;
  }
}

/** In an order that does not depend on which object came first: statuses must not change for that. */
function sorted<T>(list: readonly T[]): readonly T[] {
  if (list.length < 2) return list;
  return list
    .map((item) => [JSON.stringify(item), item] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, item]) => item);
}

const NOTHING: ServiceFindings = { routeConflicts: [], planConflicts: [], problems: [] };
