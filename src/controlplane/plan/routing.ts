import type { Informer, KubeClient, KubeObject, Resource } from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import type { CompiledChanges } from '../compile/kinds.ts';
import type { MeshView } from '../compile/mesh-view.ts';
import { selectsPod } from '../compile/service.ts';
import { Batch } from '../scheduler.ts';
import { RoutingStatus } from '../status/routing.ts';
import type { Connection } from '../xds/connection.ts';
import type { ScopedStores } from '../xds/scoped.ts';
import { PlanCompiler, type PlannedKind } from './compiler.ts';
import type { ScopedChanges } from './scopes.ts';
import { watchRouting } from './watch.ts';

export interface RoutingSources {
  readonly client: KubeClient;
  readonly view: MeshView;
  readonly plans: ScopedStores;
  readonly connections: () => Iterable<Connection>;
  readonly informer: <T extends KubeObject>(resource: Resource<T>) => Informer<T>;
  readonly onChange: (kind: PlannedKind, event: 'add' | 'update' | 'delete') => void;
  readonly onWrite: (result: 'written' | 'conflict' | 'failed', error?: Error) => void;
  /** The waypoint (`namespace/name`) serves another number of routes than before. */
  readonly onAttachedRoutes: (waypoint: string) => void;
  readonly log: Logger;
}

/** Statuses are for people; acknowledgements of several waypoints are written together. */
const STATUS_DELAY_MS = 100;
const RETRY_MS = 3_000;

/** Everything about routes: watched, compiled to plans, reported. */
export class Routing {
  readonly #sources: RoutingSources;
  readonly #compiler: PlanCompiler;
  readonly #status: RoutingStatus;
  readonly #statusBatch: Batch;
  #attached: ReadonlyMap<string, number> = new Map();
  #areRoutesCounted = true;
  #isOpen = false;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(sources: RoutingSources) {
    this.#sources = sources;
    const { client, view, plans, connections, onWrite, log } = sources;
    this.#compiler = new PlanCompiler(view, (id, error) =>
      log.error(`${id} cannot be compiled and keeps its last state: ${error.message}`),
    );
    const informers = watchRouting(this.#compiler, sources.informer, (kind, event, key) => {
      if (kind !== 'ReferenceGrant') this.#status.changed(`${kind}/${key}`);
      this.requestStatus();
      sources.onChange(kind, event);
    });
    this.#status = new RoutingStatus({ client, compiler: this.#compiler, informers, plans, connections, onWrite });
    this.#statusBatch = new Batch(
      STATUS_DELAY_MS,
      () => this.#writeStatus(),
      (error) => log.error(`statuses of routes were not written: ${error.message}`),
    );
  }

  get isDirty(): boolean {
    return this.#compiler.isDirty;
  }

  /** The first compilation is done: statuses may be written. */
  open(): void {
    this.#isOpen = true;
    this.#statusBatch.request();
  }
  stop(): void {
    this.#statusBatch.stop();
    clearTimeout(this.#retry);
  }
  requestStatus(): void {
    if (this.#isOpen) this.#statusBatch.request();
  }

  /** Compiles what changed here and in the mesh. */
  flush({ services, movedPods }: Pick<CompiledChanges, 'services' | 'movedPods'>): ScopedChanges {
    const { view } = this.#sources;
    for (const service of services) this.#compiler.serviceChanged(service);
    for (const { namespace, labels } of movedPods) {
      this.#compiler.podsChanged(namespace, (name) => {
        const service = view.service(namespace, name);
        return service !== undefined && selectsPod(service, labels);
      });
    }
    if (!this.#compiler.isDirty) return new Map();
    this.#areRoutesCounted = false;
    const changes = this.#compiler.flush();
    this.requestStatus();
    return changes;
  }

  /** Routes of the services a waypoint (`namespace/name`) serves. */
  attachedRoutes(waypoint: string): number {
    return this.#attached.get(waypoint) ?? 0;
  }

  async #writeStatus(): Promise<void> {
    this.#countRoutes();
    const outcome = await this.#status.write();
    if (outcome === 'more') this.#statusBatch.request();
    else if (outcome === 'later') {
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#statusBatch.request(), RETRY_MS);
      this.#retry.unref();
    }
  }

  #countRoutes(): void {
    if (this.#areRoutesCounted) return;
    this.#areRoutesCounted = true;
    const before = this.#attached;
    const now = this.#compiler.attachedRoutes();
    this.#attached = now;
    for (const waypoint of new Set([...before.keys(), ...now.keys()]))
      if (before.get(waypoint) !== now.get(waypoint)) this.#sources.onAttachedRoutes(waypoint);
  }
}
