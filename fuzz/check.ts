/** One input of one target: what it does, or what is wrong with that. */
import type { Random } from './random.ts';
import { signature, type Target } from './target.ts';

/** A decoder that takes longer for an input of at most 16 KiB hangs for practical purposes. */
export const MAX_MILLISECONDS = 2_000;

export type Outcome = { readonly ok: true; readonly signature: string } | { readonly ok: false; readonly problem: string };

/** Ascending places to cut at. */
function cutsFor(length: number, random: Random): number[] {
  if (length < 2) return [];
  // One time in four octet by octet.
  if (random.below(4) === 0) return Array.from({ length: Math.min(length - 1, 4_096) }, (_, i) => i + 1);
  const cuts = new Set(Array.from({ length: 1 + random.below(8) }, () => 1 + random.below(length - 1)));
  return [...cuts].sort((a, b) => a - b);
}

export function check(target: Target, bytes: Uint8Array, random: Random): Outcome {
  const started = performance.now();
  try {
    const events = target.run(Uint8Array.from(bytes), []);
    const took = performance.now() - started;
    if (took > MAX_MILLISECONDS) return { ok: false, problem: `took ${took.toFixed(0)} ms` };
    if (target.isStream) {
      const cuts = cutsFor(bytes.length, random);
      const split = target.run(Uint8Array.from(bytes), cuts);
      if (split.length !== events.length || split.some((event, i) => event !== events[i])) {
        const at = split.findIndex((event, i) => event !== events[i]);
        return {
          ok: false,
          problem: `cut at ${cuts.slice(0, 20).join(', ')} it says otherwise at event ${at}:\n  whole: ${events[at]}\n  split: ${split[at]}`,
        };
      }
    }
    return { ok: true, signature: signature(events) };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
