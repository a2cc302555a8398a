/** Chances taken per request: which backend, which mirrors. Randomness is an argument. */
import type { Random } from '../load-balance.ts';
import type { Mirror } from './plan.ts';

/** By weight; undefined when there is none or all have weight 0. A backend that is `invalid` keeps its share: those requests fail. */
export const chooseBackend = <B extends { readonly weight: number }>(backends: readonly B[], random: Random): B | undefined => {
  const first = backends[0];
  if (backends.length === 1) return first!.weight > 0 ? first : undefined;
  let total = 0;
  for (let i = 0; i < backends.length; i++) total += backends[i]!.weight;
  if (total <= 0) return undefined;
  let point = random() * total;
  let chosen: B | undefined;
  for (let i = 0; i < backends.length; i++) {
    const backend = backends[i]!;
    if (backend.weight <= 0) continue;
    chosen = backend;
    point -= backend.weight;
    if (point < 0) break;
  }
  return chosen;
};

/** Whether this request is copied to the mirror. */
export const isMirrored = ({ numerator, denominator, invalid }: Mirror, random: Random): boolean => {
  if (invalid !== undefined || numerator <= 0 || denominator <= 0) return false;
  return numerator >= denominator || random() * denominator < numerator;
};
