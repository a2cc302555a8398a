import type { NewResource } from '../xds/store.ts';
import { Dependents } from './dependents.ts';

/** Updates for waypoints: gateway (`namespace/name`) → resource name → its content, or undefined where it is no longer theirs. */
export type ScopedChanges = Map<string, Map<string, NewResource | undefined>>;

/**
 * Which waypoints get which plans: that of a service goes to the waypoints it is bound to, and to those of every service whose plan leads to it,
 * because its policy and its subsets are needed there.
 */
export class PlanScopes {
  readonly #plans = new Map<string, NewResource>();
  /** service → the gateways it is bound to. */
  readonly #bound = new Map<string, readonly string[]>();
  /** service → the services its plan leads to. */
  readonly #references = new Dependents();
  /** service → the gateways that have its plan. */
  readonly #sent = new Map<string, ReadonlySet<string>>();
  readonly #dirty = new Set<string>();

  /** The waypoints a service is bound to. */
  boundTo(service: string): readonly string[] {
    return this.#bound.get(service) ?? [];
  }

  /** `plan` undefined: there is nothing to say about the service. */
  set(service: string, plan: NewResource | undefined, bound: readonly string[], references: readonly string[]): void {
    for (const other of this.#references.keysOf(service)) this.#dirty.add(other);
    for (const other of references) this.#dirty.add(other);
    this.#references.set(service, references);
    if (bound.length === 0) this.#bound.delete(service);
    else this.#bound.set(service, bound);
    if (plan === undefined) this.#plans.delete(service);
    else this.#plans.set(service, plan);
    this.#dirty.add(service);
  }

  flush(): ScopedChanges {
    const changes: ScopedChanges = new Map();
    for (const service of this.#dirty) {
      const plan = this.#plans.get(service);
      const wanted = plan === undefined ? NOBODY : this.#wanted(service);
      for (const gateway of wanted) put(changes, gateway, service, plan);
      for (const gateway of this.#sent.get(service) ?? NOBODY) if (!wanted.has(gateway)) put(changes, gateway, service, undefined);
      if (wanted.size === 0) this.#sent.delete(service);
      else this.#sent.set(service, wanted);
    }
    this.#dirty.clear();
    return changes;
  }

  #wanted(service: string): ReadonlySet<string> {
    const gateways = new Set(this.#bound.get(service));
    for (const from of this.#references.of(service)) for (const gateway of this.#bound.get(from) ?? []) gateways.add(gateway);
    return gateways;
  }
}

const NOBODY: ReadonlySet<string> = new Set();

function put(changes: ScopedChanges, gateway: string, service: string, plan: NewResource | undefined): void {
  const resources = changes.get(gateway) ?? new Map<string, NewResource | undefined>();
  changes.set(gateway, resources);
  resources.set(service, plan);
}
