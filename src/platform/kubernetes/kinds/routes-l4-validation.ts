import { isIP } from 'node:net';
import { backendProblems, broken, parentProblems } from './gateway-rules.ts';
import type { FieldProblem } from './kind.ts';
import type { TcpRoute, TcpRouteRule, TlsRoute } from './routes-l4.ts';

/** The rules of the TCPRoute definition beyond its schema. */
export function validateTcpRoute({ spec }: TcpRoute): FieldProblem[] {
  return [...parentProblems(spec?.parentRefs, 'spec.parentRefs'), ...backendListProblems(spec?.rules)];
}

/** The rules of the TLSRoute definition beyond its schema. */
export function validateTlsRoute({ spec }: TlsRoute): FieldProblem[] {
  const problems = [...parentProblems(spec?.parentRefs, 'spec.parentRefs'), ...backendListProblems(spec?.rules)];
  if (spec?.hostnames?.some((hostname) => isIP(hostname) !== 0))
    problems.push(broken('spec.hostnames', spec.hostnames, 'hostnames cannot contain an IP address'));
  return problems;
}

const backendListProblems = (rules: readonly TcpRouteRule[] | undefined): FieldProblem[] =>
  (rules ?? []).flatMap((rule, index) =>
    (rule.backendRefs ?? []).flatMap((backend, at) => backendProblems(backend, `spec.rules[${index}].backendRefs[${at}]`)),
  );
