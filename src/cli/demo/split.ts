/** Requests per version, held against the shares a route gives them. */
export interface SplitReport {
  readonly requests: number;
  readonly per_version: Readonly<Record<string, number>>;
  /** Shares of 1. */
  readonly expected: Readonly<Record<string, number>>;
  /** How far the version that is farthest off is from its share, in standard deviations of a binomial draw; null: a version that must have none, or all, has not. */
  readonly deviation_sigma: number | null;
  readonly limit_sigma: number;
  readonly within_limit: boolean;
}

/** Past this a fair draw is off once in some 150 000 runs. */
export const SPLIT_LIMIT_SIGMA = 4.5;

/** Shares are binary fractions. */
const ROUNDING = 1e-9;

/** Judges an observed split. Every version must have its expected share; one that is not expected must have nothing. */
export const judgeSplit = (perVersion: Readonly<Record<string, number>>, expected: Readonly<Record<string, number>>): SplitReport => {
  const requests = Object.values(perVersion).reduce((sum, count) => sum + count, 0);
  let farthest: number | null = 0;
  for (const version of new Set([...Object.keys(expected), ...Object.keys(perVersion)])) {
    const share = expected[version] ?? 0;
    const off = Math.abs((perVersion[version] ?? 0) - requests * share);
    const sigma = Math.sqrt(requests * share * (1 - share));
    const deviation = sigma > 0 ? off / sigma : off === 0 ? 0 : null;
    farthest = farthest === null || deviation === null ? null : Math.max(farthest, deviation);
  }
  return {
    requests,
    per_version: perVersion,
    expected,
    deviation_sigma: farthest === null ? null : Math.round(farthest * 100) / 100,
    limit_sigma: SPLIT_LIMIT_SIGMA,
    within_limit: requests > 0 && farthest !== null && farthest <= SPLIT_LIMIT_SIGMA + ROUNDING,
  };
};
