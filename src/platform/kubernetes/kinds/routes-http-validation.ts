import {
  backendProblems,
  broken,
  gatewayDurationMilliseconds,
  mirrorProblems,
  pairingProblems,
  parentProblems,
  repetitionProblems,
  ruleListProblems,
  sessionProblems,
} from './gateway-rules.ts';
import { type FieldProblem, invalid } from './kind.ts';
import type { HttpCorsFilter, HttpPathMatch, HttpPathModifier, HttpRoute, HttpRouteFilter, HttpRouteRule } from './routes-http.ts';

const FIELD_OF_TYPE = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestMirror: 'requestMirror',
  RequestRedirect: 'requestRedirect',
  URLRewrite: 'urlRewrite',
  CORS: 'cors',
  ExternalAuth: 'externalAuth',
  ExtensionRef: 'extensionRef',
} as const;
const ONCE = ['CORS', 'RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestRedirect', 'URLRewrite'];

/** The rules of the HTTPRoute definition beyond its schema. */
export function validateHttpRoute(route: HttpRoute): FieldProblem[] {
  const spec = route.spec ?? {};
  const rules = spec.rules ?? [];
  return [
    ...parentProblems(spec.parentRefs, 'spec.parentRefs'),
    ...ruleListProblems(rules, 'spec.rules'),
    ...rules.flatMap((rule, index) => ruleProblems(rule, `spec.rules[${index}]`)),
  ];
}

function ruleProblems(rule: HttpRouteRule, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const filters = rule.filters ?? [];
  const backends = rule.backendRefs ?? [];
  if (backends.length > 0 && filters.some((filter) => filter.requestRedirect !== undefined))
    problems.push(broken(field, rule, 'a RequestRedirect filter must not be used together with backendRefs'));
  const isPrefixRule = rule.matches?.length === 1 && rule.matches[0]?.path?.type === 'PathPrefix';
  if (!isPrefixRule) {
    if (filters.some(replacesPrefix))
      problems.push(broken(field, rule, 'replacePrefixMatch needs exactly one match, and that of type PathPrefix'));
    if (backends.some((backend) => (backend.filters ?? []).some(replacesPrefix)))
      problems.push(broken(field, rule, 'replacePrefixMatch within backendRefs needs exactly one match, and that of type PathPrefix'));
  }
  rule.matches?.forEach((match, index) => {
    problems.push(...pathProblems(match.path, `${field}.matches[${index}].path`));
  });
  problems.push(...filterListProblems(filters, `${field}.filters`));
  backends.forEach((backend, index) => {
    const at = `${field}.backendRefs[${index}]`;
    problems.push(...backendProblems(backend, at), ...filterListProblems(backend.filters ?? [], `${at}.filters`));
  });
  const { request, backendRequest } = rule.timeouts ?? {};
  const whole = request === undefined ? 0 : (gatewayDurationMilliseconds(request) ?? 0);
  if (whole > 0 && backendRequest !== undefined && (gatewayDurationMilliseconds(backendRequest) ?? 0) > whole)
    problems.push(broken(`${field}.timeouts`, rule.timeouts, 'backendRequest timeout cannot be longer than request timeout'));
  problems.push(...sessionProblems(rule.sessionPersistence, `${field}.sessionPersistence`));
  return problems;
}

const replacesPrefix = (filter: HttpRouteFilter): boolean =>
  [filter.requestRedirect?.path, filter.urlRewrite?.path].some(
    (path) => path?.type === 'ReplacePrefixMatch' && path.replacePrefixMatch !== undefined,
  );

const FORBIDDEN_PARTS = ['//', '/./', '/../', '%2f', '%2F', '#'];
const FORBIDDEN_ENDS = ['/..', '/.'];
const PATH = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$/;

/** Exact and prefix paths are absolute, in normal form, and of RFC 3986's characters. Regular expressions may be anything. */
function pathProblems(path: HttpPathMatch | undefined, field: string): FieldProblem[] {
  if (path === undefined || (path.type !== 'Exact' && path.type !== 'PathPrefix')) return [];
  const value = path.value ?? '/';
  const types = 'when type is Exact or PathPrefix';
  const problems: FieldProblem[] = [];
  if (!value.startsWith('/')) problems.push(invalid(field, 'object', `value must be an absolute path and start with '/' ${types}`));
  for (const part of FORBIDDEN_PARTS)
    if (value.includes(part)) problems.push(invalid(field, 'object', `value must not contain '${part}' ${types}`));
  for (const end of FORBIDDEN_ENDS)
    if (value.endsWith(end)) problems.push(invalid(field, 'object', `value must not end with '${end}' ${types}`));
  if (!PATH.test(value)) problems.push(invalid(field, 'object', `value must only contain characters that match ${PATH.source} ${types}`));
  return problems;
}

function filterListProblems(filters: readonly HttpRouteFilter[], field: string): FieldProblem[] {
  const problems = repetitionProblems(filters, field, ONCE);
  const has = (type: string) => filters.some((filter) => filter.type === type);
  if (has('RequestRedirect') && has('URLRewrite'))
    problems.push(broken(field, filters, 'RequestRedirect and URLRewrite filters exclude each other'));
  filters.forEach((filter, index) => {
    const at = `${field}[${index}]`;
    problems.push(
      ...pairingProblems(filter, at, FIELD_OF_TYPE),
      ...mirrorProblems(filter.requestMirror, `${at}.requestMirror`),
      ...modifierProblems(filter.requestRedirect?.path, `${at}.requestRedirect.path`),
      ...modifierProblems(filter.urlRewrite?.path, `${at}.urlRewrite.path`),
      ...corsProblems(filter.cors, `${at}.cors`),
      ...authorizerProblems(filter, `${at}.externalAuth`),
    );
  });
  return problems;
}

function modifierProblems(path: HttpPathModifier | undefined, field: string): FieldProblem[] {
  if (path === undefined) return [];
  const problems: FieldProblem[] = [];
  for (const [type, name] of [
    ['ReplaceFullPath', 'replaceFullPath'],
    ['ReplacePrefixMatch', 'replacePrefixMatch'],
  ] as const) {
    if (path.type === type && path[name] === undefined) problems.push(broken(field, path, `${name} must be given when type is ${type}`));
    if (path.type !== type && path[name] !== undefined) problems.push(broken(field, path, `type must be ${type} when ${name} is given`));
  }
  return problems;
}

function corsProblems(cors: HttpCorsFilter | undefined, field: string): FieldProblem[] {
  return (['allowOrigins', 'allowMethods', 'allowHeaders'] as const).flatMap((name) => {
    const values = cors?.[name] ?? [];
    return values.length > 1 && values.includes('*')
      ? [broken(`${field}.${name}`, values, `${name} cannot hold '*' beside other values`)]
      : [];
  });
}

function authorizerProblems({ externalAuth }: HttpRouteFilter, field: string): FieldProblem[] {
  if (externalAuth === undefined) return [];
  const problems = backendProblems(externalAuth.backendRef, `${field}.backendRef`);
  for (const [protocol, name] of [
    ['GRPC', 'grpc'],
    ['HTTP', 'http'],
  ] as const) {
    if ((externalAuth.protocol === protocol) !== (externalAuth[name] !== undefined))
      problems.push(broken(field, externalAuth, `${name} must be given when protocol is ${protocol}, and only then`));
  }
  return problems;
}
