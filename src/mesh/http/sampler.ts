/** Weighted draws from a fixed list of endpoints, without allocation; rebuilt when the list changes. */
import type { Random } from '../load-balance.ts';
import type { EndpointState } from './endpoint-state.ts';

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** About 0.618 of `total` and coprime to it: consecutive positions lie far apart, and each comes once in `total` steps. */
const strideFor = (total: number): number => {
  let stride = Math.max(1, Math.floor(total * 0.618));
  while (gcd(total, stride) !== 1) stride++;
  return stride;
};

export class Sampler {
  readonly endpoints: readonly EndpointState[];
  readonly total: number;
  /** Sums of the weights up to and with each endpoint; absent when all weigh the same. */
  readonly #sums: Float64Array | undefined;
  readonly #stride: number;
  #position = -1;

  /** Endpoints of weight 0 take no traffic and are left out. */
  constructor(endpoints: readonly EndpointState[]) {
    this.endpoints = endpoints.filter((endpoint) => endpoint.weight > 0);
    const first = this.endpoints[0]?.weight ?? 0;
    const isEven = this.endpoints.every((endpoint) => endpoint.weight === first);
    let total = 0;
    this.#sums = isEven ? undefined : Float64Array.from(this.endpoints, (endpoint) => (total += endpoint.weight));
    this.total = isEven ? first * this.endpoints.length : total;
    this.#stride = isEven ? 1 : strideFor(total);
  }

  random(random: Random): EndpointState {
    return this.#sums === undefined ? this.endpoints[Math.floor(random() * this.endpoints.length)]! : this.#at(random() * this.total);
  }

  /** Each endpoint as often as its weight says, in turn. The first turn begins anywhere, so that waypoints do not march in step. */
  next(random: Random): EndpointState {
    const length = this.#sums === undefined ? this.endpoints.length : this.total;
    this.#position = this.#position < 0 ? Math.floor(random() * length) : (this.#position + this.#stride) % length;
    return this.#sums === undefined ? this.endpoints[this.#position]! : this.#at(this.#position);
  }

  #at(point: number): EndpointState {
    const sums = this.#sums!;
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! <= point) low = middle + 1;
      else high = middle;
    }
    return this.endpoints[low]!;
  }
}
