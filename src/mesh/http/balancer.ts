/** Draws from one list of endpoints by one policy. A draw allocates nothing; hash tables are built at the first draw that needs them. */
import type { Random } from '../load-balance.ts';
import type { EndpointState } from './endpoint-state.ts';
import { HashRing } from './hash-ring.ts';
import { MaglevTable } from './maglev.ts';
import type { BackendPolicy, LoadBalancerPolicy } from './plan.ts';
import { Sampler } from './sampler.ts';

export interface PickContext {
  readonly random: Random;
  /** Milliseconds, of the same clock in all calls. */
  readonly now: number;
  /** 32 bits, for ring hash and maglev (`requestHash`). Absent: any endpoint. */
  readonly hash?: number | undefined;
  /** Tried before: avoided as long as there is another. */
  readonly exclude?: ReadonlySet<EndpointState> | undefined;
}

/** Draws to get around what is excluded or still warming before every endpoint is looked at. */
const DRAWS = 8;
const DEFAULT: LoadBalancerPolicy = { kind: 'least-request' };

export class Balancer {
  readonly #policy: LoadBalancerPolicy;
  readonly #warmup: BackendPolicy['warmup'];
  readonly #sampler: Sampler;
  #table: HashRing | MaglevTable | undefined;

  /** At least one endpoint, none of weight 0. */
  constructor(endpoints: readonly EndpointState[], { loadBalancer, warmup }: BackendPolicy) {
    this.#policy = loadBalancer ?? DEFAULT;
    this.#warmup = warmup;
    this.#sampler = new Sampler(endpoints);
  }

  get endpoints(): readonly EndpointState[] {
    return this.#sampler.endpoints;
  }

  /** Gives an excluded endpoint when there is no other. */
  pick(context: PickContext): EndpointState {
    const { hash, exclude } = context;
    if (hash !== undefined) {
      this.#table ??= this.#makeTable();
      if (this.#table !== undefined) return this.#table.pick(hash, exclude);
    }
    const hasExcluded = exclude !== undefined && exclude.size > 0;
    let endpoint = this.#draw(context);
    for (let i = 1; i < DRAWS; i++) {
      if (!(hasExcluded && exclude.has(endpoint)) && this.#isWarm(endpoint, context)) return endpoint;
      endpoint = this.#draw(context);
    }
    if (!(hasExcluded && exclude.has(endpoint))) return endpoint;
    for (const other of this.endpoints) if (!exclude.has(other)) return other;
    return endpoint;
  }

  #draw({ random }: PickContext): EndpointState {
    const sampler = this.#sampler;
    switch (this.#policy.kind) {
      case 'round-robin':
        return sampler.next(random);
      case 'least-request': {
        if (sampler.endpoints.length === 1) return sampler.endpoints[0]!;
        // Weights decide who is drawn, and what a request in flight weighs: idle endpoints share by capacity, busy ones by what they have left.
        const a = sampler.random(random);
        const b = sampler.random(random);
        return b.active / b.weight < a.active / a.weight ? b : a;
      }
      default:
        return sampler.random(random);
    }
  }

  /** Slow start: a new endpoint is passed over less and less often (Envoy `SlowStartConfig`). */
  #isWarm({ since }: EndpointState, { random, now }: PickContext): boolean {
    const warmup = this.#warmup;
    if (warmup === undefined || now - since >= warmup.duration) return true;
    const progress = Math.max(0, now - since) / warmup.duration;
    const ramp = progress ** (1 / (warmup.aggression || 1));
    return random() < Math.max(warmup.minimumPercent / 100, ramp);
  }

  #makeTable(): HashRing | MaglevTable | undefined {
    switch (this.#policy.kind) {
      case 'ring-hash':
        return new HashRing(this.endpoints, this.#policy.minimumRingSize);
      case 'maglev':
        return new MaglevTable(this.endpoints, this.#policy.tableSize);
      default:
        return undefined;
    }
  }
}
