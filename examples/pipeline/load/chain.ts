import { percentile } from './records.ts';

/** What an agent does: calls one after another, each waiting for the answer before. */
export interface ChainReport {
  readonly calls: number;
  readonly chains: number;
  /** Calls that failed; the chain went on after them. */
  readonly errors: number;
  /** Of whole chains, in ms. */
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
}

/** Runs `chains` chains of `calls` calls. `call` gets a number that counts through. */
export const runChains = async (calls: number, chains: number, call: (index: number) => Promise<unknown>): Promise<ChainReport> => {
  const took: number[] = [];
  let errors = 0;
  for (let chain = 0; chain < chains; chain++) {
    const start = performance.now();
    for (let index = 0; index < calls; index++) {
      await call(chain * calls + index).catch(() => {
        errors++;
      });
    }
    took.push(performance.now() - start);
  }
  const sorted = Float64Array.from(took).sort();
  return { calls, chains, errors, p50_ms: percentile(sorted, 0.5), p90_ms: percentile(sorted, 0.9) };
};
