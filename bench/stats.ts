/** Statistics of a measurement: medians over blocks, and ratios with a bootstrap confidence interval over paired blocks. */

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

/** Quantiles in microseconds of latencies in tenths of a microsecond; the array is sorted in place. */
export function quantiles(tenths: Uint32Array): Quantiles {
  const sorted = tenths.sort();
  const at = (q: number) => (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0) / 10;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) };
}

/** Sums of `calls` neighbours each: how long chains of calls took that were made one after the other. What does not fill a chain is left out. */
export function chains(latencies: Uint32Array, calls: number): Uint32Array {
  if (calls === 1) return latencies;
  return Uint32Array.from({ length: Math.floor(latencies.length / calls) }, (_, chain) => {
    let sum = 0;
    for (let call = 0; call < calls; call++) sum += latencies[chain * calls + call]!;
    return sum;
  });
}

export interface Ratio {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** xorshift, so that a table can be recomputed from its blocks with the same interval. */
function randomSource(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

/** Median of `ours[i] / theirs[i]` and its 95 % interval from 10 000 resamples of blocks (requests inside a block are correlated, blocks are not). */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): Ratio {
  const ratios = ours.map((value, index) => value / theirs[index]!).filter((value) => Number.isFinite(value) && value > 0);
  if (ratios.length === 0) return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
  const random = randomSource(20_261);
  const medians = Array.from({ length: 10_000 }, () => median(ratios.map(() => ratios[Math.floor(random() * ratios.length)]!))).sort(
    (a, b) => a - b,
  );
  return { value: median(ratios), low: medians[250]!, high: medians[9_749]! };
}

export function ratioText(ratio: Ratio): string {
  return Number.isNaN(ratio.value) ? '–' : `${ratio.value.toFixed(2)}× (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})`;
}
