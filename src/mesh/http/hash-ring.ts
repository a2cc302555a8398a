/**
 * Ring hash (ketama): each endpoint stands at many points of a ring of 32-bit hashes, a request goes to the next one. The points of an endpoint depend on
 * itself alone, so that one that comes or goes moves only the requests it takes or had.
 */
import type { EndpointState } from './endpoint-state.ts';
import { hashText } from './hash.ts';

/** Points of a ring: memory is 8 octets each. Envoy allows 8 million. */
const MAX_POINTS = 1 << 18;
/** Room for the endpoint's index beside the hash in one exact number. */
const INDEX_RANGE = 1 << 20;

/** A power of two, so that it stays the same over most changes of the number of endpoints. */
const pointsPerWeight = (endpoints: readonly EndpointState[], least: number): number => {
  const total = endpoints.reduce((sum, endpoint) => sum + endpoint.weight, 0);
  const wanted = Math.min(Math.max(least, endpoints.length), MAX_POINTS) / total;
  const points = 2 ** Math.ceil(Math.log2(wanted));
  return points * total > MAX_POINTS ? points / 2 : points;
};

export class HashRing {
  readonly #endpoints: readonly EndpointState[];
  readonly #hashes: Uint32Array;
  readonly #owners: Uint32Array;

  /** At least one endpoint, none of weight 0. */
  constructor(endpoints: readonly EndpointState[], minimumSize: number) {
    this.#endpoints = endpoints.slice(0, INDEX_RANGE);
    const perWeight = pointsPerWeight(this.#endpoints, minimumSize);
    const points: number[] = [];
    for (const [index, endpoint] of this.#endpoints.entries()) {
      const count = Math.max(1, Math.round(endpoint.weight * perWeight));
      for (let i = 0; i < count; i++) points.push(hashText(endpoint.key, i) * INDEX_RANGE + index);
    }
    const sorted = Float64Array.from(points).sort();
    this.#hashes = Uint32Array.from(sorted, (point) => Math.floor(point / INDEX_RANGE));
    this.#owners = Uint32Array.from(sorted, (point) => point % INDEX_RANGE);
  }

  /** The next endpoint on the ring that is not excluded; the next one of all when all are. */
  pick(hash: number, exclude: ReadonlySet<EndpointState> | undefined): EndpointState {
    const start = this.#at(hash);
    const first = this.#endpoints[this.#owners[start]!]!;
    if (exclude === undefined || !exclude.has(first)) return first;
    for (let i = 1; i < this.#owners.length; i++) {
      const endpoint = this.#endpoints[this.#owners[(start + i) % this.#owners.length]!]!;
      if (!exclude.has(endpoint)) return endpoint;
    }
    return first;
  }

  #at(hash: number): number {
    let low = 0;
    let high = this.#hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#hashes[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === this.#hashes.length ? 0 : low;
  }
}
