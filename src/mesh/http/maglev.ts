/** Maglev hashing (Eisenbud and others, NSDI 2016, section 3.4): a table of prime size in which each endpoint owns its share of the slots, found in one look. */
import type { EndpointState } from './endpoint-state.ts';
import { hashText, rehash } from './hash.ts';

/** Slots; 4 octets each. Envoy's own bound is about 5 million. */
const MAX_SIZE = 1_048_573;
/** Envoy's and Istio's default. */
const DEFAULT_SIZE = 65_537;
/** Second choices tried before every endpoint is looked at. */
const TRIES = 16;

const isPrime = (n: number): boolean => {
  if (n < 2 || (n % 2 === 0 && n !== 2)) return false;
  for (let divisor = 3; divisor * divisor <= n; divisor += 2) if (n % divisor === 0) return false;
  return true;
};

/** The smallest prime that is at least the wanted size and the number of endpoints, within the bound. */
const sizeFor = (wanted: number, endpoints: number): number => {
  let size = Math.min(Math.max(wanted || DEFAULT_SIZE, endpoints, 2), MAX_SIZE);
  while (!isPrime(size)) size++;
  return size;
};

export class MaglevTable {
  readonly #endpoints: readonly EndpointState[];
  readonly #slots: Int32Array;

  /** At least one endpoint, none of weight 0. */
  constructor(endpoints: readonly EndpointState[], tableSize: number) {
    const size = sizeFor(tableSize, endpoints.length);
    this.#endpoints = endpoints.slice(0, size);
    this.#slots = new Int32Array(size).fill(-1);
    this.#fill(size);
  }

  pick(hash: number, exclude: ReadonlySet<EndpointState> | undefined): EndpointState {
    const first = this.#at(hash);
    if (exclude === undefined || !exclude.has(first)) return first;
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const endpoint = this.#at(rehash(hash, attempt));
      if (!exclude.has(endpoint)) return endpoint;
    }
    for (const endpoint of this.#endpoints) if (!exclude.has(endpoint)) return endpoint;
    return first;
  }

  #at(hash: number): EndpointState {
    return this.#endpoints[this.#slots[hash % this.#slots.length]!]!;
  }

  /** Endpoints take turns, each its next free slot in an order of its own; a lighter one sits out turns in proportion. */
  #fill(size: number): void {
    const offsets = this.#endpoints.map(({ key }) => hashText(key, 0) % size);
    const skips = this.#endpoints.map(({ key }) => (hashText(key, 1) % (size - 1)) + 1);
    const heaviest = this.#endpoints.reduce((most, { weight }) => Math.max(most, weight), 0);
    const shares = this.#endpoints.map(({ weight }) => weight / heaviest);
    const credits = new Float64Array(this.#endpoints.length);
    for (let filled = 0; filled < size; ) {
      for (let i = 0; i < this.#endpoints.length && filled < size; i++) {
        credits[i]! += shares[i]!;
        if (credits[i]! < 1) continue;
        credits[i]! -= 1;
        let slot = offsets[i]!;
        while (this.#slots[slot]! >= 0) slot = (slot + skips[i]!) % size;
        this.#slots[slot] = i;
        offsets[i] = (slot + skips[i]!) % size;
        filled++;
      }
    }
  }
}
