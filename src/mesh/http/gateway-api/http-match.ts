/** One `matches[]` entry of an HTTPRoute, and its place in the order of precedence. */
import type { FieldCondition, HttpMatch, PathMatch, StringCondition } from '../plan.ts';
import type { MatchRank } from './compiled-route.ts';
import type { HttpRouteMatch, NamedMatch } from './objects.ts';
import type { RouteScope } from './rule-scope.ts';

export interface CompiledMatch {
  readonly match: HttpMatch;
  readonly rank: MatchRank;
  /** What a `PathPrefix` takes, without the slash at its end; '' for `/`. Undefined for other path matches. */
  readonly prefix?: string;
}

export const HTTP_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

/** A token of RFC 9110 section 5.6.2. */
export const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;

const PATH = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/;
const FORBIDDEN_IN_PATH = ['//', '/./', '/../', '%2f', '%2F'];
const FORBIDDEN_AT_END = ['/.', '/..'];

/** Why the value is no path for `Exact` and `PathPrefix`, after the rules of the HTTPRoute definition. */
const pathProblem = (value: string): string | undefined => {
  if (!value.startsWith('/')) return 'must begin with "/"';
  const forbidden = FORBIDDEN_IN_PATH.find((part) => value.includes(part)) ?? FORBIDDEN_AT_END.find((part) => value.endsWith(part));
  if (forbidden !== undefined) return `must not ${value.endsWith(forbidden) ? 'end with' : 'contain'} "${forbidden}"`;
  return PATH.test(value) ? undefined : 'has characters that a path cannot have';
};

export const withoutSlashAtEnd = (path: string): string => (path.endsWith('/') ? path.slice(0, -1) : path);

/** `Exact` before `PathPrefix` before `RegularExpression`, whose place the specification leaves open: as Istio has it. */
const RANKS: Readonly<Record<string, number>> = { Exact: 2, PathPrefix: 1, RegularExpression: 0 };

/** The path of every request when it is absent: the definition's default is the prefix `/`. */
const compilePath = (path: HttpRouteMatch['path'], field: string, { lookup, problems }: RouteScope) => {
  const { type = 'PathPrefix', value = '/' } = path ?? {};
  const rank = RANKS[type];
  if (rank === undefined) {
    problems.refuse(`${field}.type`, `"${type}" is not Exact, PathPrefix or RegularExpression`);
    return { rank: [0, 0] };
  }
  if (type === 'RegularExpression') {
    const problem = lookup.checkRegex(value);
    if (problem !== undefined) problems.refuse(`${field}.value`, `not a regular expression of RE2: ${problem}`);
    return { path: { kind: 'regex', value } satisfies PathMatch, rank: [rank, value.length] };
  }
  const problem = pathProblem(value);
  if (problem !== undefined) problems.refuse(`${field}.value`, `"${value}" ${problem}`);
  if (type === 'Exact') return { path: { kind: 'exact', value } satisfies PathMatch, rank: [rank, value.length] };
  const prefix = withoutSlashAtEnd(value);
  // Nothing to compare: every path has the prefix `/`, `*` of an OPTIONS request included.
  if (prefix === '') return { prefix, rank: [rank, 1] };
  return { path: { kind: 'segments', value: prefix } satisfies PathMatch, prefix, rank: [rank, prefix.length] };
};

const compileValue = ({ type = 'Exact', value }: NamedMatch, field: string, { lookup, problems }: RouteScope): StringCondition => {
  if (type === 'Exact') return { kind: 'exact', value };
  if (type !== 'RegularExpression') problems.refuse(`${field}.type`, `"${type}" is not Exact or RegularExpression`);
  const problem = lookup.checkRegex(value);
  if (problem !== undefined) problems.refuse(`${field}.value`, `not a regular expression of RE2: ${problem}`);
  return { kind: 'regex', value };
};

/** Sorted by name, so that equal matches are equal values. Of several entries for one name the first counts. */
const compileFields = (
  entries: readonly NamedMatch[],
  field: string,
  nameOf: (name: string) => string,
  scope: RouteScope,
): readonly FieldCondition[] => {
  const conditions = new Map<string, StringCondition>();
  entries.forEach((entry, i) => {
    const name = nameOf(entry.name);
    if (!TOKEN.test(name)) scope.problems.refuse(`${field}[${i}].name`, `"${entry.name}" is not a name`);
    if (!conditions.has(name)) conditions.set(name, compileValue(entry, `${field}[${i}]`, scope));
  });
  return [...conditions].map(([name, condition]) => ({ name, condition })).sort((a, b) => (a.name < b.name ? -1 : 1));
};

/** `authority` stands for the header `host`, which HTTP/2 has no field for. */
export const compileHeaders = (
  entries: readonly NamedMatch[] | undefined,
  field: string,
  scope: RouteScope,
): { readonly count: number; readonly conditions: Pick<HttpMatch, 'authority' | 'headers'> } => {
  const all = compileFields(entries ?? [], field, (name) => name.toLowerCase(), scope);
  const headers = all.filter(({ name }) => name !== 'host');
  const authority = all.find(({ name }) => name === 'host')?.condition;
  return {
    count: all.length,
    conditions: { ...(authority !== undefined && { authority }), ...(headers.length > 0 && { headers }) },
  };
};

export const compileHttpMatch = (source: HttpRouteMatch, field: string, scope: RouteScope): CompiledMatch => {
  const { path, prefix, rank } = compilePath(source.path, `${field}.path`, scope);
  const { method } = source;
  if (method !== undefined && !HTTP_METHODS.has(method))
    scope.problems.refuse(`${field}.method`, `"${method}" is not a method the definition knows`);
  const headers = compileHeaders(source.headers, `${field}.headers`, scope);
  const query = compileFields(source.queryParams ?? [], `${field}.queryParams`, (name) => name, scope);
  return {
    match: {
      ...(path !== undefined && { path }),
      ...(method !== undefined && { method: { kind: 'exact', value: method } as const }),
      ...headers.conditions,
      ...(query.length > 0 && { query }),
    },
    rank: [...rank, method === undefined ? 0 : 1, headers.count, query.length],
    ...(prefix !== undefined && { prefix }),
  };
};
