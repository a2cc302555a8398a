/** The CORS filter (GEP-1767). */
import type { Cors } from '../plan.ts';
import { HTTP_METHODS, TOKEN } from './http-match.ts';
import type { CorsFilter } from './objects.ts';
import type { RouteProblems } from './problems.ts';

const ORIGIN = /^\*$|^https?:\/\/(?:(?:\*\.)?(?:[a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(?::[0-9]{1,5})?$/;
/** Seconds, when `maxAge` is absent. */
const DEFAULT_MAX_AGE = 5;

/** Browsers leave out the scheme's own port, so it is left out here. */
const withoutDefaultPort = (origin: string): string =>
  origin.startsWith('https:') ? origin.replace(/:443$/, '') : origin.replace(/:80$/, '');

export const compileCors = (filter: CorsFilter, field: string, problems: RouteProblems): Cors => {
  const {
    allowOrigins = [],
    allowMethods = [],
    allowHeaders = [],
    exposeHeaders = [],
    allowCredentials = false,
    maxAge = DEFAULT_MAX_AGE,
  } = filter;
  const check = (list: string, values: readonly string[], isValid: (value: string) => boolean, what: string): void =>
    values.forEach((value, i) => {
      if (!isValid(value)) problems.refuse(`${field}.${list}[${i}]`, `"${value}" is not ${what}`);
      else if (value === '*' && values.length > 1) problems.refuse(`${field}.${list}`, '"*" stands alone or not at all');
    });
  check('allowOrigins', allowOrigins, (value) => ORIGIN.test(value), 'an origin');
  check('allowMethods', allowMethods, (value) => value === '*' || HTTP_METHODS.has(value), 'a method the definition knows');
  check('allowHeaders', allowHeaders, (value) => TOKEN.test(value), 'a header name');
  check('exposeHeaders', exposeHeaders, (value) => TOKEN.test(value), 'a header name');
  if (!Number.isInteger(maxAge) || maxAge < 1) problems.refuse(`${field}.maxAge`, 'must be 1 or more');
  return {
    allowOrigins: allowOrigins.map((origin) => ({ kind: 'exact', value: withoutDefaultPort(origin) })),
    allowMethods: [...allowMethods],
    allowHeaders: [...allowHeaders],
    exposeHeaders: [...exposeHeaders],
    allowCredentials,
    maxAgeSeconds: maxAge,
    forwardsUnmatchedPreflights: false,
  };
};
