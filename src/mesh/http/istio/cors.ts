import type { Cors, StringCondition } from '../plan.ts';
import { durationAt } from './duration.ts';
import type { IstioLookup } from './lookup.ts';
import type { Problems } from './problem.ts';
import { stringCondition } from './string-match.ts';
import type { IstioCorsPolicy } from './virtual-service-object.ts';

/** CorsPolicy. Preflights of other origins go on to the backend unless `unmatchedPreflights` is IGNORE, as in Istio. */
export const corsOf = (problems: Problems, path: string, written: IstioCorsPolicy | undefined, lookup: IstioLookup): Cors | undefined => {
  if (written === undefined) return undefined;
  const maxAge = durationAt(problems, `${path}.maxAge`, written.maxAge, 0);
  for (const field of ['allowMethods', 'allowHeaders', 'exposeHeaders'] as const) {
    if (written[field]?.includes('')) problems.invalid(`${path}.${field}`, 'has an empty entry');
  }
  return {
    allowOrigins: origins(problems, path, written, lookup),
    allowMethods: written.allowMethods ?? [],
    allowHeaders: written.allowHeaders ?? [],
    exposeHeaders: written.exposeHeaders ?? [],
    allowCredentials: written.allowCredentials ?? false,
    ...(maxAge !== undefined && { maxAgeSeconds: Math.trunc(maxAge / 1000) }),
    forwardsUnmatchedPreflights: written.unmatchedPreflights !== 'IGNORE',
  };
};

/** The older `allowOrigin` holds exact origins and is heeded only without `allowOrigins`. */
const origins = (problems: Problems, path: string, written: IstioCorsPolicy, lookup: IstioLookup): StringCondition[] => {
  if (written.allowOrigins === undefined) return (written.allowOrigin ?? []).map((value) => ({ kind: 'exact', value }));
  return written.allowOrigins.flatMap((match, i) => {
    const condition = stringCondition(problems, `${path}.allowOrigins[${i}]`, match, lookup);
    if (condition?.kind !== 'present') return condition === undefined ? [] : [condition];
    problems.invalid(`${path}.allowOrigins[${i}]`, 'needs exact, prefix or regex', 'exact: "*" stands for every origin');
    return [];
  });
};
