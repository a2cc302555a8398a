import type { GrpcRoute, HttpRoute, ReferenceGrant, TcpRoute, TlsRoute } from '../../platform/kubernetes/index.ts';
import { appProtocolOf } from '../compile/service.ts';
import { MESH_CONTROLLER } from '../waypoint/names.ts';
import {
  type CompiledRoute,
  checkRegex,
  compileRoute,
  keepLastGood,
  type RouteKind,
  type RouteLookup,
  type RouteTarget,
  serviceKey,
} from '../wire.ts';
import { Dependents } from './dependents.ts';
import { hostnameOf, type MeshServices, nameOfHost } from './services.ts';

export interface GatewayRouteObjects {
  readonly HTTPRoute: HttpRoute;
  readonly GRPCRoute: GrpcRoute;
  readonly TLSRoute: TlsRoute;
  readonly TCPRoute: TcpRoute;
}
type AnyRoute = GatewayRouteObjects[RouteKind];

interface Entry {
  readonly kind: RouteKind;
  readonly object: AnyRoute;
  /** The last version that was not refused, perhaps this one. */
  readonly lastGood?: AnyRoute;
  readonly compiled?: CompiledRoute;
}

/** What a change of routes asks the plans for. */
export interface Affected {
  service(key: string): void;
  /** The status of this object (`Kind/namespace/name`) may be another one. */
  status(id: string): void;
  failed(id: string, error: Error): void;
}

/** The routes of the Gateway API: each compiled by itself, again when something it was made of changes. */
export class GatewayRoutes {
  readonly #lookup: RouteLookup;
  readonly #entries = new Map<string, Entry>();
  readonly #grants = new Map<string, Map<string, ReferenceGrant>>();
  readonly #dependents = new Dependents();
  /** route → keys of the services it is attached to. */
  readonly #attached = new Dependents();
  readonly #dirty = new Set<string>();

  constructor(services: MeshServices) {
    const target = (namespace: string, name: string): RouteTarget[] => {
      const service = services.service(namespace, name);
      if (service === undefined) return [];
      return [
        {
          key: serviceKey({ namespace, hostname: hostnameOf({ namespace, name }, services.clusterDomain) }),
          ports: (service.spec?.ports ?? []).map((port) => ({ port: port.port, name: port.name, protocol: appProtocolOf(port) })),
          isBoundToWaypoint: services.binding(`${namespace}/${name}`)?.waypoint !== undefined,
        },
      ];
    };
    this.#lookup = {
      controllerName: MESH_CONTROLLER,
      services: (kind, namespace, name) => {
        if (kind === 'Service') return target(namespace, name);
        const named = kind === 'Hostname' ? nameOfHost(name, services.clusterDomain) : undefined;
        return named === undefined ? [] : target(named.namespace, named.name);
      },
      grants: (namespace) => [...(this.#grants.get(namespace)?.values() ?? [])],
      checkRegex,
    };
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** `key` is `namespace/name`; undefined: it is gone. What did not change the object's specification changes nothing here. */
  set(kind: RouteKind, key: string, object: AnyRoute | undefined): void {
    const id = `${kind}/${key}`;
    const before = this.#entries.get(id);
    if (object === undefined) {
      if (before === undefined) return;
      this.#dirty.add(id);
      this.#entries.delete(id);
      return;
    }
    const isSameObject = before?.object.metadata.uid === object.metadata.uid;
    if (isSameObject && before?.object.metadata.generation === object.metadata.generation) return;
    this.#entries.set(id, {
      kind,
      object,
      ...(isSameObject && before?.lastGood !== undefined && { lastGood: before.lastGood }),
      ...(before?.compiled !== undefined && { compiled: before.compiled }),
    });
    this.#dirty.add(id);
  }

  setGrant(key: string, grant: ReferenceGrant | undefined): void {
    const namespace = key.slice(0, key.indexOf('/'));
    const grants = this.#grants.get(namespace) ?? new Map<string, ReferenceGrant>();
    this.#grants.set(namespace, grants);
    if (grant === undefined) grants.delete(key);
    else grants.set(key, grant);
    for (const id of this.#dependents.of(`grants/${namespace}`)) this.#dirty.add(id);
  }

  serviceChanged(namespace: string, name: string, hostname: string): void {
    for (const key of [`Service/${namespace}/${name}`, `Hostname/${hostname}`])
      for (const id of this.#dependents.of(key)) this.#dirty.add(id);
  }

  compile(affected: Affected): void {
    for (const id of this.#dirty) {
      try {
        this.#compile(id, affected);
      } catch (error) {
        affected.failed(id, error as Error);
      }
    }
    this.#dirty.clear();
  }

  #compile(id: string, affected: Affected): void {
    const entry = this.#entries.get(id);
    const touched = new Set(this.#attached.keysOf(id));
    if (entry === undefined) {
      this.#dependents.set(id, []);
      this.#attached.set(id, []);
    } else {
      const { kind, object } = entry;
      let compiled = compileRoute(kind, object, this.#lookup);
      let { lastGood } = entry;
      if (compiled.refused === undefined) lastGood = object;
      else if (lastGood !== undefined) compiled = keepLastGood(compiled, compileRoute(kind, lastGood, this.#lookup));
      this.#entries.set(id, { kind, object, compiled, ...(lastGood !== undefined && { lastGood }) });
      this.#dependents.set(id, [
        ...compiled.dependencies.services.map(dependencyKey),
        ...compiled.dependencies.grants.map((namespace) => `grants/${namespace}`),
      ]);
      const services = new Set(compiled.parents.flatMap(({ attachments }) => attachments.map(({ service }) => service)));
      this.#attached.set(id, [...services]);
      for (const service of services) touched.add(service);
      affected.status(id);
    }
    for (const service of touched) affected.service(service);
  }

  /** The compiled routes of a service. */
  *of(service: string): IterableIterator<CompiledRoute> {
    for (const id of this.#attached.of(service)) {
      const compiled = this.#entries.get(id)?.compiled;
      if (compiled !== undefined) yield compiled;
    }
  }
  idsOf(service: string): Iterable<string> {
    return this.#attached.of(service);
  }
  servicesOf(id: string): readonly string[] {
    return this.#attached.keysOf(id);
  }
  compiled(id: string): CompiledRoute | undefined {
    return this.#entries.get(id)?.compiled;
  }
  ids(): IterableIterator<string> {
    return this.#entries.keys();
  }
}

/** A host is the same for whoever names it. */
const dependencyKey = (dependency: string): string =>
  dependency.startsWith('Hostname/') ? `Hostname/${dependency.slice(dependency.lastIndexOf('/') + 1)}` : dependency;
