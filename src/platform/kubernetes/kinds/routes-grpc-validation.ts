import {
  backendProblems,
  broken,
  mirrorProblems,
  pairingProblems,
  parentProblems,
  repetitionProblems,
  ruleListProblems,
  sessionProblems,
} from './gateway-rules.ts';
import type { FieldProblem } from './kind.ts';
import type { GrpcMethodMatch, GrpcRoute, GrpcRouteFilter, GrpcRouteRule } from './routes-grpc.ts';

const FIELD_OF_TYPE = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestMirror: 'requestMirror',
  ExtensionRef: 'extensionRef',
} as const;
const ONCE = ['RequestHeaderModifier', 'ResponseHeaderModifier'];

/** The rules of the GRPCRoute definition beyond its schema. */
export function validateGrpcRoute(route: GrpcRoute): FieldProblem[] {
  const spec = route.spec ?? {};
  const rules = spec.rules ?? [];
  return [
    ...parentProblems(spec.parentRefs, 'spec.parentRefs'),
    ...ruleListProblems(rules, 'spec.rules'),
    ...rules.flatMap((rule, index) => ruleProblems(rule, `spec.rules[${index}]`)),
  ];
}

function ruleProblems(rule: GrpcRouteRule, field: string): FieldProblem[] {
  const problems = filterListProblems(rule.filters ?? [], `${field}.filters`);
  rule.matches?.forEach((match, index) => {
    problems.push(...methodProblems(match.method, `${field}.matches[${index}].method`));
  });
  rule.backendRefs?.forEach((backend, index) => {
    const at = `${field}.backendRefs[${index}]`;
    problems.push(...backendProblems(backend, at), ...filterListProblems(backend.filters ?? [], `${at}.filters`));
  });
  problems.push(...sessionProblems(rule.sessionPersistence, `${field}.sessionPersistence`));
  return problems;
}

const SERVICE = /^\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$/i;
const METHOD = /^[A-Za-z_][A-Za-z_0-9]*$/;

function methodProblems(match: GrpcMethodMatch | undefined, field: string): FieldProblem[] {
  if (match === undefined) return [];
  const { type, service, method } = match;
  if (service === undefined && method === undefined) return [broken(field, match, 'one or both of service and method must be given')];
  if (type === 'RegularExpression') return [];
  const problems: FieldProblem[] = [];
  if (service !== undefined && !SERVICE.test(service))
    problems.push(broken(field, match, `service must only contain characters that match ${SERVICE.source}, whatever their case`));
  if (method !== undefined && !METHOD.test(method))
    problems.push(broken(field, match, `method must only contain characters that match ${METHOD.source}`));
  return problems;
}

function filterListProblems(filters: readonly GrpcRouteFilter[], field: string): FieldProblem[] {
  const problems = repetitionProblems(filters, field, ONCE);
  filters.forEach((filter, index) => {
    const at = `${field}[${index}]`;
    problems.push(...pairingProblems(filter, at, FIELD_OF_TYPE), ...mirrorProblems(filter.requestMirror, `${at}.requestMirror`));
  });
  return problems;
}
