/** The one rule of a TCPRoute or TLSRoute. Connections for a backend that does not resolve are refused by weight. */
import type { RouteFragment } from './compiled-route.ts';
import { compileWeighted } from './http-route.ts';
import type { L4RouteRule } from './objects.ts';
import { type RouteScope, ruleScope } from './rule-scope.ts';

const SNI_HOST = /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

const compileRule = (rules: readonly L4RouteRule[] | undefined, scope: RouteScope) => {
  const [rule = {}, ...rest] = rules ?? [];
  if (rest.length > 0) scope.problems.refuse('spec.rules[1]', `a ${scope.kind} has one rule`);
  const inRule = ruleScope(scope, 0, rule.name);
  const backends = (rule.backendRefs ?? []).map((reference, i) => compileWeighted(reference, `${inRule.field}.backendRefs[${i}]`, inRule));
  return { name: inRule.title, backends };
};

export const compileTcpRules = (rules: readonly L4RouteRule[] | undefined, scope: RouteScope): RouteFragment => ({
  kind: 'tcp',
  ...compileRule(rules, scope),
});

/** Unlike those of other routes, the hostnames of a TLSRoute count with a Service parent: without them it would be a TCPRoute. */
export const compileTlsRules = (
  rules: readonly L4RouteRule[] | undefined,
  hostnames: readonly string[] | undefined,
  scope: RouteScope,
): RouteFragment => {
  const hosts = (hostnames ?? []).map((host) => host.toLowerCase());
  hosts.forEach((host, i) => {
    if (!SNI_HOST.test(host)) scope.problems.refuse(`spec.hostnames[${i}]`, `"${host}" is not a host name`);
  });
  if (hosts.length === 0) scope.problems.refuse('spec.hostnames', 'is required');
  return { kind: 'tls', ...compileRule(rules, scope), hosts };
};
