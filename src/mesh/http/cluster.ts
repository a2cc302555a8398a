/**
 * A port of a service, or of one of its subsets, as destination: which endpoint takes a request. Counts of requests in flight and passive health live
 * in the endpoints' states and survive changes of the registry. Time and randomness are arguments; a pick allocates nothing.
 */
import type { Random } from '../load-balance.ts';
import { targetPort } from '../load-balance.ts';
import type { Service, Workload } from '../model.ts';
import type { Endpoint } from '../registry.ts';
import { EndpointState, endpointKey } from './endpoint-state.ts';
import type { BackendPolicy, Subset } from './plan.ts';
import { Sampler } from './sampler.ts';

export interface ClusterOptions {
  /** Service port. */
  readonly port: number;
  /** Only these workloads. */
  readonly subset?: Subset;
  readonly policy?: BackendPolicy;
}

export interface PickContext {
  readonly random: Random;
  /** Milliseconds. */
  readonly now: number;
  /** 32 bits, for ring hash and maglev. Absent: any endpoint. */
  readonly hash?: number;
  /** Tried before: avoided as long as there is another. */
  readonly exclude?: ReadonlySet<EndpointState>;
}

/** What came of a request: the HTTP status, or why there was none. `success` is for what has no status. */
export type Outcome = number | 'success' | 'connect-failure' | 'reset' | 'timeout';

/** Draws to get around what is excluded before every endpoint is looked at. */
const DRAWS = 8;

export class Cluster {
  readonly #port: number;
  readonly #policy: BackendPolicy;
  readonly #subset: ReadonlySet<string> | undefined;
  readonly #states = new Map<string, EndpointState>();
  #service: Service | undefined;
  #endpoints: readonly Endpoint[] | undefined;
  #source: Workload | undefined;
  #sampler = new Sampler([]);

  constructor({ port, subset, policy }: ClusterOptions) {
    this.#port = port;
    this.#policy = policy ?? {};
    this.#subset = subset && new Set(subset.workloads);
  }

  /** All endpoints, whether fit for traffic or not. */
  get states(): Iterable<EndpointState> {
    return this.#states.values();
  }

  /**
   * Takes what the registry says now: `registry.endpoints(key)` and the Service. Almost free when neither changed. `source` is the waypoint's own
   * workload, from where localities are seen.
   */
  update(service: Service, endpoints: readonly Endpoint[], source: Workload | undefined, now: number): void {
    if (this.#endpoints === endpoints && this.#service === service && this.#source === source) return;
    this.#service = service;
    this.#endpoints = endpoints;
    this.#source = source;
    const present = new Set<string>();
    for (const endpoint of endpoints) {
      const { uid } = endpoint.workload;
      if (this.#subset !== undefined && !this.#subset.has(uid)) continue;
      const target = targetPort(service, endpoint, this.#port);
      if (target === undefined) continue;
      const key = endpointKey(uid, target);
      present.add(key);
      const known = this.#states.get(key);
      if (known === undefined) this.#states.set(key, new EndpointState(endpoint, target, now));
      else known.endpoint = endpoint;
    }
    for (const [key, state] of this.#states) {
      if (present.has(key)) continue;
      state.isGone = true;
      this.#states.delete(key);
    }
    this.#sampler = new Sampler([...this.#states.values()]);
  }

  /** Undefined: there is no endpoint. */
  pick(context: PickContext): EndpointState | undefined {
    const sampler = this.#sampler;
    if (sampler.endpoints.length === 0) return undefined;
    const { exclude } = context;
    let endpoint = this.#draw(sampler, context);
    if (exclude === undefined || exclude.size === 0) return endpoint;
    for (let draw = 0; draw < DRAWS && exclude.has(endpoint); draw++) endpoint = this.#draw(sampler, context);
    if (!exclude.has(endpoint)) return endpoint;
    for (const other of sampler.endpoints) if (!exclude.has(other)) return other;
    return endpoint;
  }

  /** The endpoint a session names, if it is still there and fit. */
  find(key: string): EndpointState | undefined {
    const state = this.#states.get(key);
    return state?.isEjected ? undefined : state;
  }

  report(_endpoint: EndpointState, _outcome: Outcome, _now: number): void {}

  #draw(sampler: Sampler, { random }: PickContext): EndpointState {
    switch (this.#policy.loadBalancer?.kind ?? 'least-request') {
      case 'round-robin':
        return sampler.next(random);
      case 'random':
        return sampler.random(random);
      default: {
        const a = sampler.random(random);
        const b = sampler.random(random);
        return b.active / b.weight < a.active / a.weight ? b : a;
      }
    }
  }
}
