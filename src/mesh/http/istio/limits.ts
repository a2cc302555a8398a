import { PLAN_LIMITS } from '../plan-schema.ts';
import type { Problems } from './problem.ts';

/** Characters of a name in a plan. */
export const MAX_NAME_LENGTH = 1024;
/** Fields whose texts are values, and maps of such; everything else is a name. */
const VALUES = new Set(['exact', 'prefix', 'regex', 'uri', 'match', 'rewrite', 'prefixRewrite']);
const MAPS = new Set(['set', 'add']);
const BODIES = new Set(['string', 'bytes']);
/** Each entry makes rules of its own, not entries of one list. */
const RULES = new Set(['http', 'tls', 'tcp', 'match', 'subsets', 'portLevelSettings']);

/**
 * Refuses what a waypoint would not take: it would refuse the whole plan of the service, with what other objects say in it. A response's body has a limit
 * of its own.
 */
export const checkLimits = (problems: Problems, path: string, value: unknown, field = '', isInMap = false): void => {
  if (typeof value === 'string') {
    const most = BODIES.has(field) ? Number.POSITIVE_INFINITY : isInMap || VALUES.has(field) ? PLAN_LIMITS.text : MAX_NAME_LENGTH;
    if (value.length > most) problems.invalid(path, `is ${value.length} characters long, the limit is ${most}`);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const entries = Object.entries(value);
  const most = RULES.has(field) ? PLAN_LIMITS.rules : PLAN_LIMITS.list;
  if (entries.length > most) {
    problems.invalid(path, `has ${entries.length} entries, the limit is ${most}`);
    return;
  }
  for (const [key, entry] of entries) {
    if (key.length > MAX_NAME_LENGTH) problems.invalid(path, `has a name of ${key.length} characters, the limit is ${MAX_NAME_LENGTH}`);
    const at = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
    checkLimits(problems, at, entry, Array.isArray(value) ? field : key, MAPS.has(key));
  }
};
