/** The rules of an HTTPRoute or GRPCRoute, as a fragment of a plan. */
import type { HttpAction, WeightedBackend } from '../plan.ts';
import { resolveBackend } from './backend-ref.ts';
import type { RankedRule, RouteFragment } from './compiled-route.ts';
import { type CompiledFilters, compileFilters, type FilterScope, replacesPrefix } from './filters.ts';
import { compileGrpcMatch } from './grpc-match.ts';
import { type CompiledMatch, compileHttpMatch } from './http-match.ts';
import type { GrpcRouteRule, HttpRouteRule, WeightedBackendReference } from './objects.ts';
import { compileRetry, compileSession, compileTimeouts } from './resilience.ts';
import { type RouteScope, type RuleScope, ruleScope } from './rule-scope.ts';

/** What both kinds of rule do; a GRPCRoute's has no timeouts and retries. */
type RuleBody = Omit<HttpRouteRule, 'matches'>;

const MAX_WEIGHT = 1_000_000;

/** With the weight; `filters` are compiled by whoever knows what they mean there. */
export const compileWeighted = (reference: WeightedBackendReference, field: string, scope: RuleScope): WeightedBackend => {
  const { weight = 1 } = reference;
  if (!Number.isInteger(weight) || weight < 0 || weight > MAX_WEIGHT)
    scope.problems.refuse(`${field}.weight`, `${weight} is not between 0 and ${MAX_WEIGHT}`);
  return { ...resolveBackend(reference, field, scope), weight };
};

const compileBackend = (
  reference: WeightedBackendReference,
  field: string,
  scope: FilterScope,
): { backend: WeightedBackend; filters: CompiledFilters } => {
  const filters = compileFilters(reference.filters, `${field}.filters`, scope);
  const { requestHeaders, responseHeaders, rewrite, redirect, mirrors, broken } = filters;
  const backend = compileWeighted(reference, field, scope);
  return {
    backend: {
      ...backend,
      ...(broken !== undefined && { invalid: broken }),
      ...(requestHeaders && { requestHeaders }),
      ...(responseHeaders && { responseHeaders }),
      ...(rewrite && { rewrite }),
      ...(redirect && { redirect }),
      ...(mirrors && { mirrors }),
    },
    filters,
  };
};

/** CORS answers before a backend is chosen. Of a rule's only backend it can be the rule's; else it would answer for the others, too. */
const corsOfBackends = (
  references: readonly WeightedBackendReference[],
  compiled: readonly { filters: CompiledFilters }[],
  scope: RuleScope,
) => {
  const index = compiled.findIndex(({ filters }) => filters.cors !== undefined);
  if (index < 0) return undefined;
  if (references.length > 1) {
    scope.problems.refuse(
      `${scope.field}.backendRefs[${index}].filters`,
      'CORS of one of several backends is not supported; give it to the rule',
    );
  }
  return compiled[index]?.filters.cors;
};

const compileAction = (rule: RuleBody, scope: FilterScope): HttpAction => {
  const references = rule.backendRefs ?? [];
  const { broken, ...filters } = compileFilters(rule.filters, `${scope.field}.filters`, scope);
  const compiled = references.map((reference, i) => compileBackend(reference, `${scope.field}.backendRefs[${i}]`, scope));
  const cors = filters.cors ?? corsOfBackends(references, compiled, scope);
  if (filters.redirect !== undefined && references.length > 0) {
    scope.problems.refuse(`${scope.field}.backendRefs`, 'a rule that redirects has no backends', 'IncompatibleFilters');
  }
  if (broken !== undefined) return { name: scope.title, backends: [], respond: { status: 500, body: '' } };
  const timeouts = compileTimeouts(rule.timeouts, `${scope.field}.timeouts`, scope.problems);
  const retry = compileRetry(rule.retry, `${scope.field}.retry`, scope.problems);
  const session = compileSession(rule.sessionPersistence, scope);
  return {
    name: scope.title,
    ...filters,
    ...(cors && { cors }),
    backends: compiled.map(({ backend }) => backend),
    ...(timeouts && { timeouts }),
    ...(retry && { retry }),
    ...(session && { session }),
  };
};

/** One action for the rule, or one for each prefix its matches take when what it does depends on that. */
const compileRule = (
  rule: RuleBody,
  matches: readonly CompiledMatch[],
  scope: RuleScope,
  rules: RankedRule[],
  actions: HttpAction[],
): void => {
  const dependsOnPrefix = replacesPrefix(rule);
  const made = new Map<string | undefined, number>();
  for (const { match, rank, prefix } of matches) {
    const key = dependsOnPrefix ? prefix : undefined;
    let action = made.get(key);
    if (action === undefined) {
      action = actions.push(compileAction(rule, key === undefined ? scope : { ...scope, prefix: key })) - 1;
      made.set(key, action);
    }
    rules.push({ match, rank, action });
  }
};

const orDefault = <T>(list: readonly T[] | undefined, fallback: T): readonly T[] =>
  list === undefined || list.length === 0 ? [fallback] : list;

/** A rule without matches, and a route without rules, match everything. */
export const compileHttpRules = (rules: readonly HttpRouteRule[] | undefined, scope: RouteScope): RouteFragment => {
  const [ranked, actions]: [RankedRule[], HttpAction[]] = [[], []];
  orDefault(rules, {}).forEach((rule, i) => {
    const inRule = ruleScope(scope, i, rule.name);
    const matches = orDefault(rule.matches, {}).map((match, j) => compileHttpMatch(match, `${inRule.field}.matches[${j}]`, scope));
    compileRule(rule, matches, inRule, ranked, actions);
  });
  return { kind: 'http', rules: ranked, actions };
};

/** A rule without matches matches every call; a route without rules none. */
export const compileGrpcRules = (rules: readonly GrpcRouteRule[] | undefined, scope: RouteScope): RouteFragment => {
  const [ranked, actions]: [RankedRule[], HttpAction[]] = [[], []];
  (rules ?? []).forEach((rule, i) => {
    const inRule = ruleScope(scope, i, rule.name);
    const matches = orDefault(rule.matches, {}).map((match, j) => compileGrpcMatch(match, `${inRule.field}.matches[${j}]`, scope));
    compileRule(rule, matches, inRule, ranked, actions);
  });
  return { kind: 'http', rules: ranked, actions };
};
