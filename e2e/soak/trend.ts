/** The trend of a series of samples, robust against the sawtooth of a garbage collector. */

export interface Point {
  /** Seconds. */
  readonly at: number;
  readonly value: number;
}

/** Enough pairs for a steady median; more only cost time. */
const MAX_POINTS = 400;

const middle = (values: number[]): number => {
  if (values.length === 0) return Number.NaN;
  values.sort((a, b) => a - b);
  const half = values.length >> 1;
  return values.length % 2 === 1 ? values[half]! : (values[half - 1]! + values[half]!) / 2;
};

/** Evenly chosen points, first and last included. */
const thinned = (points: readonly Point[]): readonly Point[] =>
  points.length <= MAX_POINTS
    ? points
    : Array.from({ length: MAX_POINTS }, (_, i) => points[Math.round((i * (points.length - 1)) / (MAX_POINTS - 1))]!);

/** Median of the slopes of all pairs (Theil and Sen), in units per second: a third of the points may lie anywhere. */
export function slope(points: readonly Point[]): number {
  const chosen = thinned(points);
  const slopes: number[] = [];
  for (let i = 0; i < chosen.length; i++)
    for (let j = i + 1; j < chosen.length; j++) {
      const span = chosen[j]!.at - chosen[i]!.at;
      if (span > 0) slopes.push((chosen[j]!.value - chosen[i]!.value) / span);
    }
  return slopes.length === 0 ? Number.NaN : middle(slopes);
}

/** What the trend adds over the whole time of the samples, in their unit. */
export const growth = (points: readonly Point[]): number =>
  points.length < 2 ? Number.NaN : slope(points) * (points.at(-1)!.at - points[0]!.at);

/** The lowest point of each stretch of `seconds`: what stays when buffers are empty and garbage is collected. */
export function floor(points: readonly Point[], seconds: number): Point[] {
  const lowest: Point[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (point.at >= end) {
      lowest.push(point);
      end = (lowest.length === 1 ? point.at : end) + seconds;
    } else if (point.value < lowest.at(-1)!.value) lowest[lowest.length - 1] = point;
  }
  return lowest;
}

export const median = (values: readonly number[]): number => middle([...values]);
