/** Why a request takes the rule it takes, rule by rule, for people. The same answer as `RouteTable.match`, at a cost that grows with the table. */
import type { Trace } from '../trace.ts';
import { FieldCheck, type RouteMatch } from './compiled-rule.ts';
import { TextCondition } from './condition.ts';
import type { FieldCondition, HttpMatch, HttpTable, PathMatch, RequestView, StringCondition } from './plan.ts';
import { headerValue, hostMatches, hostOf, pathEnd, queryValue } from './request-field.ts';

/** Rules passed over that get a line of their own. */
const MOST_LINES = 100;

const RULE = 'route';

const WORDS = { exact: 'is', prefix: 'begins with', suffix: 'ends with', regex: 'matches', present: 'is present' } as const;

const conditionText = ({ kind, value, ignoreCase }: StringCondition): string =>
  kind === 'present' ? WORDS.present : `${WORDS[kind]} "${value}"${ignoreCase ? ' in any case' : ''}`;

const fieldText = ({ name, condition, isInverted }: FieldCondition): string =>
  `"${name}" ${isInverted ? 'not: ' : ''}${conditionText(condition)}`;

const pathText = ({ kind, value, ignoreCase }: PathMatch): string =>
  kind === 'segments'
    ? `lies under "${value}"${ignoreCase ? ' in any case' : ''}`
    : conditionText({ kind, value, ...(ignoreCase && { ignoreCase }) });

const pathHolds = ({ kind, value, ignoreCase }: PathMatch, path: string): boolean => {
  const test = (as: 'exact' | 'prefix' | 'regex', text: string): boolean =>
    new TextCondition({ kind: as, value: text, ...(ignoreCase && { ignoreCase }) }).test(path);
  if (kind !== 'segments') return test(kind, value);
  const base = value.endsWith('/') ? value.slice(0, -1) : value;
  return test('exact', base) || test('prefix', `${base}/`);
};

const given = (value: string | undefined): string => (value === undefined ? 'absent' : `"${value}"`);

/** What a match asks for, in words. */
export const matchText = (match: HttpMatch): string => {
  const parts = [
    match.path && `path ${pathText(match.path)}`,
    match.method && `method ${conditionText(match.method)}`,
    match.hosts?.length ? `host is one of ${match.hosts.join(', ')}` : undefined,
    match.authority && `authority ${conditionText(match.authority)}`,
    match.scheme && `scheme ${conditionText(match.scheme)}`,
    ...(match.headers ?? []).map((field) => `header ${fieldText(field)}`),
    ...(match.query ?? []).map((field) => `query parameter ${fieldText(field)}`),
    match.sourceNamespace === undefined ? undefined : `client is in namespace ${match.sourceNamespace}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? 'every request' : parts.join(' and ');
};

/** The first condition that does not hold, and what was there instead. */
const failure = (match: HttpMatch, request: RequestView, sourceNamespace: string | undefined): string | undefined => {
  const path = request.path.slice(0, pathEnd(request.path));
  if (match.path !== undefined && !pathHolds(match.path, path)) return `path ${pathText(match.path)}: "${path}"`;
  const host = hostOf(request.authority);
  if (match.hosts?.length && !match.hosts.some((pattern) => hostMatches(pattern, host)))
    return `host is one of ${match.hosts.join(', ')}: "${host}"`;
  for (const part of ['method', 'authority', 'scheme'] as const) {
    const condition = match[part];
    if (condition !== undefined && !new TextCondition(condition).test(request[part]))
      return `${part} ${conditionText(condition)}: "${request[part]}"`;
  }
  for (const field of match.headers ?? []) {
    if (!new FieldCheck(field).holdsAmong(request.headers))
      return `header ${fieldText(field)}: ${given(headerValue(request.headers, field.name))}`;
  }
  for (const field of match.query ?? []) {
    const value = queryValue(request.path, field.name);
    if (!new FieldCheck(field).holds(value)) return `query parameter ${fieldText(field)}: ${given(value)}`;
  }
  if (match.sourceNamespace !== undefined && match.sourceNamespace !== sourceNamespace)
    return `client is in namespace ${match.sourceNamespace}: ${given(sourceNamespace)}`;
  return undefined;
};

/** Puts into `trace` why each rule before the taken one was passed over, and why that one was taken. */
export const explainMatch = (
  table: HttpTable,
  request: RequestView,
  sourceNamespace: string | undefined,
  trace: Trace,
): RouteMatch | undefined => {
  for (const [index, { match, action: actionIndex }] of table.rules.entries()) {
    const action = table.actions[actionIndex];
    if (action === undefined) continue;
    const failed = failure(match, request, sourceNamespace);
    if (failed === undefined) {
      if (index > MOST_LINES) trace.push({ rule: RULE, text: `${index - MOST_LINES} more rules are passed over` });
      trace.push({ rule: RULE, text: `rule ${index} (${action.name}) is taken: ${matchText(match)}` });
      return { action, rule: index, path: match.path };
    }
    if (index < MOST_LINES) trace.push({ rule: RULE, text: `rule ${index} (${action.name}) is passed over, as not: ${failed}` });
  }
  trace.push({ rule: RULE, text: `none of ${table.rules.length} rules takes the request` });
  return undefined;
};
