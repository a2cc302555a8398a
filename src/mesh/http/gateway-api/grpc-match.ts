/** One `matches[]` entry of a GRPCRoute: the call's path is `/service/method`. */
import type { PathMatch } from '../plan.ts';
import { type CompiledMatch, compileHeaders } from './http-match.ts';
import type { GrpcRouteMatch } from './objects.ts';
import type { RouteScope } from './rule-scope.ts';

const ANY = '[^/]+';
const escapeRegex = (text: string): string => text.replaceAll(/[\\.+*?()|[\]{}^$]/g, '\\$&');

const compileMethod = (
  { type = 'Exact', service = '', method = '' }: NonNullable<GrpcRouteMatch['method']>,
  field: string,
  { lookup, problems }: RouteScope,
): PathMatch => {
  if (service === '' && method === '') problems.refuse(field, 'names neither a service nor a method');
  if (type === 'RegularExpression') {
    for (const [part, pattern] of Object.entries({ service, method })) {
      const problem = pattern === '' ? undefined : lookup.checkRegex(pattern);
      if (problem !== undefined) problems.refuse(`${field}.${part}`, `not a regular expression of RE2: ${problem}`);
    }
    return { kind: 'regex', value: `/${service === '' ? ANY : `(?:${service})`}/${method === '' ? ANY : `(?:${method})`}` };
  }
  if (type !== 'Exact') problems.refuse(`${field}.type`, `"${type}" is not Exact or RegularExpression`);
  for (const [part, value] of Object.entries({ service, method })) {
    if (value.includes('/')) problems.refuse(`${field}.${part}`, `"${value}" must not contain "/"`);
  }
  if (service === '') return { kind: 'regex', value: `/${ANY}/${escapeRegex(method)}` };
  return method === '' ? { kind: 'prefix', value: `/${service}/` } : { kind: 'exact', value: `/${service}/${method}` };
};

/**
 * Ranked by the characters of service, then method, then by the number of headers, as the GRPCRoute definition says; exact ones before regular
 * expressions, which it leaves open.
 */
export const compileGrpcMatch = ({ method, headers }: GrpcRouteMatch, field: string, scope: RouteScope): CompiledMatch => {
  const conditions = compileHeaders(headers, `${field}.headers`, scope);
  const path = method === undefined ? undefined : compileMethod(method, `${field}.method`, scope);
  const kind = method === undefined ? 0 : method.type === 'RegularExpression' ? 1 : 2;
  return {
    match: { ...(path !== undefined && { path }), ...conditions.conditions },
    rank: [kind, method?.service?.length ?? 0, method?.method?.length ?? 0, conditions.count],
  };
};
