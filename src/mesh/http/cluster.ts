/**
 * A port of a service, or of one of its subsets, as destination: which endpoint takes a request. Counts of requests in flight and passive health live
 * in the endpoints' states and survive changes of the registry. Time and randomness are arguments; a pick allocates nothing.
 */
import { targetPort } from '../load-balance.ts';
import type { Service, Workload } from '../model.ts';
import type { Endpoint } from '../registry.ts';
import { Balancer, type PickContext } from './balancer.ts';
import { EndpointState, endpointKey } from './endpoint-state.ts';
import { rehash } from './hash.ts';
import { loadShares } from './load-share.ts';
import { type EndpointGroup, groupEndpoints } from './locality.ts';
import { type Outcome, OutlierDetector } from './outlier.ts';
import type { BackendPolicy, Subset } from './plan.ts';

export interface ClusterOptions {
  /** Service port. */
  readonly port: number;
  /** Only these workloads. */
  readonly subset?: Subset;
  /** The one in force for this port and subset. */
  readonly policy?: BackendPolicy;
}

/** Whether there is a way to the workload: an address, a name, or the gateway of its network. */
const isReachable = ({ addresses, hostname, network, networkGateway }: Workload, source: Workload | undefined): boolean =>
  addresses.length > 0 || hostname !== '' || (source !== undefined && network !== source.network && networkGateway !== undefined);

export class Cluster {
  readonly #port: number;
  readonly #policy: BackendPolicy;
  readonly #outlier: OutlierDetector | undefined;
  #members: ReadonlySet<string> | undefined;
  readonly #states = new Map<string, EndpointState>();
  #service: Service | undefined;
  #endpoints: readonly Endpoint[] | undefined;
  #source: Workload | undefined;
  #groups: readonly EndpointGroup[] = [];
  /** Undefined: to be made anew. Parallel to `#bounds`. */
  #balancers: readonly Balancer[] | undefined = [];
  /** Sums of the shares up to and with each balancer. */
  #bounds: readonly number[] = [];

  constructor({ port, subset, policy }: ClusterOptions) {
    this.#port = port;
    this.#policy = policy ?? {};
    this.#outlier = policy?.outlier && new OutlierDetector(policy.outlier);
    this.#members = subset && new Set(subset.workloads);
  }

  /** All endpoints, whether fit for traffic or not. */
  get states(): Iterable<EndpointState> {
    return this.#states.values();
  }

  /** The subset's workloads changed; its policy did not. In force with the next `update`. */
  setSubset(subset: Subset | undefined): void {
    this.#members = subset && new Set(subset.workloads);
    this.#endpoints = undefined;
  }

  /**
   * Takes what the registry says now: `registry.endpoints(key)` and the Service. Almost free when neither changed. `source` is the waypoint's own
   * workload, from where localities are seen.
   */
  update(service: Service, endpoints: readonly Endpoint[], source: Workload | undefined, now: number): void {
    if (this.#endpoints === endpoints && this.#service === service && this.#source === source) return;
    // What is there from the start is not new: only what comes later warms up.
    const since = this.#service === undefined ? Number.NEGATIVE_INFINITY : now;
    this.#service = service;
    this.#endpoints = endpoints;
    this.#source = source;
    const present = new Set<string>();
    for (const endpoint of endpoints) {
      const { workload } = endpoint;
      if (this.#members !== undefined && !this.#members.has(workload.uid)) continue;
      const target = targetPort(service, endpoint, this.#port);
      if (target === undefined || !isReachable(workload, source)) continue;
      const key = endpointKey(workload.uid, target);
      present.add(key);
      const known = this.#states.get(key);
      if (known === undefined) this.#states.set(key, new EndpointState(endpoint, target, since));
      else known.endpoint = endpoint;
    }
    for (const [key, state] of this.#states) {
      if (present.has(key)) continue;
      state.isGone = true;
      this.#states.delete(key);
    }
    this.#groups = groupEndpoints([...this.#states.values()], this.#policy, service, source);
    this.#balancers = undefined;
  }

  /** Undefined: there is no endpoint, or none that may take traffic. */
  pick(context: PickContext): EndpointState | undefined {
    this.#advance(context.now);
    const balancers = this.#balancers ?? this.#rebuild();
    if (balancers.length === 0) return undefined;
    if (balancers.length === 1) return balancers[0]!.pick(context);
    const endpoint = balancers[this.#choose(context)]!.pick(context);
    const { exclude } = context;
    if (exclude === undefined || !exclude.has(endpoint)) return endpoint;
    // All of the chosen share were tried: rather one of another share than again.
    for (const balancer of balancers) {
      const other = balancer.pick(context);
      if (!exclude.has(other)) return other;
    }
    return endpoint;
  }

  /** The endpoint a session names (`EndpointState.key`), if it is still one and fit for traffic. */
  find(key: string, now: number): EndpointState | undefined {
    this.#advance(now);
    const state = this.#states.get(key);
    if (state === undefined || state.isEjected) return undefined;
    return this.#groups.some(({ endpoints }) => endpoints.includes(state)) ? state : undefined;
  }

  /** What came of a request to an endpoint that was picked here; once per request. */
  report(endpoint: EndpointState, outcome: Outcome, now: number): void {
    if (this.#outlier?.report(endpoint, outcome, now, this.#states.size)) this.#balancers = undefined;
  }

  #advance(now: number): void {
    if (this.#outlier?.advance(now)) this.#balancers = undefined;
  }

  #rebuild(): readonly Balancer[] {
    const allowsUnhealthy = this.#service?.loadBalancing?.healthPolicy === 'ALLOW_ALL';
    const shares = loadShares(this.#groups, allowsUnhealthy ? 0 : (this.#policy.outlier?.minHealthPercent ?? 0));
    let bound = 0;
    this.#bounds = shares.map(({ share }) => (bound += share));
    this.#balancers = shares.map(({ endpoints }) => new Balancer(endpoints, this.#policy));
    return this.#balancers;
  }

  /** By the hash where there is one, so that what is pinned to an endpoint stays there. */
  #choose({ random, hash }: PickContext): number {
    const point = hash === undefined ? random() : rehash(hash, -1) / 2 ** 32;
    const last = this.#bounds.length - 1;
    for (let i = 0; i < last; i++) if (point < this.#bounds[i]!) return i;
    return last;
  }
}
