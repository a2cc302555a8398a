import {
  type DestinationRule,
  type Informer,
  isConflict,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type ParentReference,
  type VirtualService,
} from '../../platform/kubernetes/index.ts';
import type { PlanCompiler, PlannedKind } from '../plan/compiler.ts';
import type { PlanInformers } from '../plan/watch.ts';
import { acceptance, problemText, type RouteKind, routeStatus } from '../wire.ts';
import type { Connection } from '../xds/connection.ts';
import type { ScopedStores } from '../xds/scoped.ts';
import { mergeConditions, type WantedCondition } from './conditions.ts';
import { mergeParents } from './route-parents.ts';
import { WaypointAcknowledgements } from './waypoint-sync.ts';

export interface RoutingStatusSources {
  readonly client: KubeClient;
  readonly compiler: PlanCompiler;
  readonly informers: PlanInformers;
  readonly plans: ScopedStores;
  readonly connections: () => Iterable<Connection>;
  readonly onWrite: (result: 'written' | 'conflict' | 'failed', error?: Error) => void;
}

/** Writes at once; more would only queue in the API server. */
const PARALLEL = 8;
/** Objects per round, so that a large mesh's first statuses hold up no push for longer than some milliseconds. */
const ROUND_LIMIT = 200;

/** Whether the waypoints have it: on routes with a domain before it, as the Gateway API wants of conditions that are not its own. */
const ROUTE_SYNCED = 'lateen.dev/WaypointSynced';
const SYNCED = 'WaypointSynced';

type StatusPatch =
  | { readonly parents: readonly unknown[] }
  | { readonly conditions: readonly unknown[]; readonly observedGeneration: number };

/** Keeps the statuses of routes, VirtualServices and DestinationRules true. An object is looked at again when something it says may have changed. */
export class RoutingStatus {
  readonly #sources: RoutingStatusSources;
  readonly #dirty = new Set<string>();
  readonly #failed = new Set<string>();
  /** Objects that some replica has not acknowledged. */
  readonly #unsettled = new Set<string>();
  #signature = '';
  #rejected: ReadonlyMap<string, string> = new Map();
  #connected: ReadonlySet<string> = new Set();

  constructor(sources: RoutingStatusSources) {
    this.#sources = sources;
  }

  /** Somebody wrote the object (`Kind/namespace/name`), perhaps its status. */
  changed(id: string): void {
    this.#dirty.add(id);
  }

  /** Writes what says something else than before. `more`: there is more to do at once; `later`: something failed and is to be tried again. */
  async write(now: () => Date = () => new Date()): Promise<'done' | 'more' | 'later'> {
    const { compiler, plans, connections } = this.#sources;
    for (const id of [...compiler.takeStatusDirty(), ...this.#failed]) this.#dirty.add(id);
    this.#failed.clear();
    const acknowledgements = new WaypointAcknowledgements(plans, connections());
    this.#markAnswered(acknowledgements);
    const ids = [...this.#dirty].slice(0, ROUND_LIMIT);
    for (const id of ids) this.#dirty.delete(id);
    const stamp = now()
      .toISOString()
      .replace(/\.\d+Z$/, 'Z');
    const jobs = ids.flatMap((id) => this.#job(id, acknowledgements, stamp) ?? []);
    await Promise.all(
      Array.from({ length: PARALLEL }, async () => {
        for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
      }),
    );
    if (this.#dirty.size > 0) return 'more';
    return this.#failed.size > 0 ? 'later' : 'done';
  }

  #markAnswered(acknowledgements: WaypointAcknowledgements): void {
    if (acknowledgements.signature === this.#signature) return;
    this.#signature = acknowledgements.signature;
    for (const id of this.#unsettled) this.#dirty.add(id);
    const { compiler, plans } = this.#sources;
    const markService = (service: string) => {
      for (const id of compiler.objectsOf(service)) this.#dirty.add(id);
    };
    for (const service of new Set([...this.#rejected.keys(), ...acknowledgements.rejected.keys()]))
      if (this.#rejected.get(service) !== acknowledgements.rejected.get(service)) markService(service);
    this.#rejected = acknowledgements.rejected;
    const { connected } = acknowledgements;
    for (const waypoint of new Set([...this.#connected, ...connected])) {
      if (this.#connected.has(waypoint) === connected.has(waypoint)) continue;
      for (const { name } of plans.scope(waypoint).all()) markService(name);
    }
    this.#connected = connected;
  }

  #job(id: string, acknowledgements: WaypointAcknowledgements, now: string): (() => Promise<void>) | undefined {
    const slash = id.indexOf('/');
    const kind = id.slice(0, slash) as PlannedKind; // ids are made of kinds
    const key = id.slice(slash + 1);
    // Written generically: which kind it is decides only what the status says.
    const informer = this.#sources.informers[kind] as unknown as Informer<KubeObject>;
    const object = informer.getByKey(key);
    if (object === undefined) {
      this.#unsettled.delete(id);
      return undefined;
    }
    const status =
      kind === 'VirtualService' || kind === 'DestinationRule'
        ? this.#istioStatus(kind, id, key, object as VirtualService | DestinationRule, acknowledgements, now)
        : this.#routeStatus(id, object, acknowledgements, now);
    return status && (() => this.#write(id, informer, object, status));
  }

  #routeStatus(id: string, object: KubeObject, acknowledgements: WaypointAcknowledgements, now: string): StatusPatch | undefined {
    const { compiler, informers } = this.#sources;
    const compiled = compiler.routes.compiled(id);
    if (compiled === undefined) return undefined;
    const findings = compiler.servicesOf(id).map((service) => compiler.findings(service));
    const status = routeStatus(
      compiled,
      findings.flatMap(({ routeConflicts }) => routeConflicts),
      findings.flatMap(({ planConflicts }) => planConflicts),
    );
    let isSettled = true;
    const wanted = status.parents.map(({ parentRef, conditions }, i) => {
      const services = new Set(compiled.parents[i]?.attachments.map(({ service }) => service));
      const synced = acknowledgements.condition(ROUTE_SYNCED, this.#waypointsOf(services));
      if (synced !== undefined && synced.status !== 'True') isSettled = false;
      // The object's own reference, handed through: nothing in it is undefined.
      return { parentRef: parentRef as ParentReference, conditions: [...conditions, ...(synced === undefined ? [] : [synced])] };
    });
    this.#settle(id, isSettled);
    const { kind, namespace, name } = compiled.route;
    const current = informers[kind satisfies RouteKind].get(namespace, name)?.status?.parents;
    const parents = mergeParents(current, wanted, object.metadata?.generation ?? 0, now);
    return parents && { parents };
  }

  #istioStatus(
    kind: 'VirtualService' | 'DestinationRule',
    id: string,
    key: string,
    object: VirtualService | DestinationRule,
    acknowledgements: WaypointAcknowledgements,
    now: string,
  ): StatusPatch | undefined {
    const { compiler } = this.#sources;
    const compiled = compiler.rules.compiled(kind, key);
    if (compiled === undefined) return undefined;
    const services = compiler.servicesOf(id);
    const wanted: WantedCondition[] = [];
    if (compiled.condition !== undefined) wanted.push(this.#istioAcceptance(kind, key, compiled, services));
    const synced = services.length === 0 ? undefined : acknowledgements.condition(SYNCED, this.#waypointsOf(services));
    if (synced !== undefined) wanted.push(synced);
    this.#settle(id, synced === undefined || synced.status === 'True');
    const generation = object.metadata.generation ?? 0;
    const conditions = mergeConditions(object.status?.conditions, wanted, generation, now);
    return conditions && { conditions, observedGeneration: generation };
  }

  /** What the object says by itself, with what only shows beside others. */
  #istioAcceptance(
    kind: 'VirtualService' | 'DestinationRule',
    key: string,
    compiled: NonNullable<ReturnType<PlanCompiler['rules']['compiled']>>,
    services: readonly string[],
  ): WantedCondition {
    const { compiler } = this.#sources;
    const own = compiled.condition!;
    if (compiled.isRefused) {
      const rest = compiler.rules.hasLastGood(kind, key) ? '; the last version that was accepted serves on' : '';
      return { ...own, message: own.message + rest };
    }
    if (own.status !== 'True') return own;
    const name = `${kind} ${key}`;
    const beside = services.flatMap((service) => {
      const { problems, planConflicts } = compiler.findings(service);
      return [
        ...problems.filter(({ source }) => source.kind === kind && `${source.namespace}/${source.name}` === key),
        ...planConflicts
          .filter(({ winner, loser }) => winner === name || loser === name)
          .map(({ message }) => ({ kind: 'conflict' as const, path: 'spec.hosts', reason: message, remedy: '' })),
      ];
    });
    const all = [...compiled.problems, ...beside];
    return acceptance(all.filter((problem, i) => all.findIndex((other) => problemText(other) === problemText(problem)) === i));
  }

  #waypointsOf(services: Iterable<string>): { readonly service: string; readonly waypoints: readonly string[] }[] {
    return [...services].map((service) => ({ service, waypoints: [...this.#sources.compiler.scopes.boundTo(service)] }));
  }

  #settle(id: string, isSettled: boolean): void {
    if (isSettled) this.#unsettled.delete(id);
    else this.#unsettled.add(id);
  }

  async #write(id: string, informer: Informer<KubeObject>, object: KubeObject, status: StatusPatch): Promise<void> {
    const { name = '', namespace = '', resourceVersion } = object.metadata ?? {};
    try {
      // The resourceVersion makes it conditional: whoever changed the object meanwhile brings us back here with the new one.
      await this.#sources.client.patchStatus(informer.resource, name, { metadata: { resourceVersion }, status }, { namespace });
      this.#sources.onWrite('written');
    } catch (error) {
      if (isNotFound(error)) return; // deleted meanwhile
      if (!isConflict(error)) this.#failed.add(id); // a conflict brings its own event
      this.#sources.onWrite(isConflict(error) ? 'conflict' : 'failed', error as Error);
    }
  }
}
