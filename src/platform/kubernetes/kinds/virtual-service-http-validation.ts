import {
  authorityProblems,
  destinationProblems,
  durationMilliseconds,
  durationProblems,
  headersProblems,
  integerPercentProblems,
  l4MatchProblems,
  notNegative,
  percentProblems,
  portProblems,
  regexProblems,
  stringMatchProblems,
  weightProblems,
} from './istio-rules.ts';
import { type FieldProblem, forbidden, invalid, notSupported, required } from './kind.ts';
import type {
  HttpMatchRequest,
  VirtualServiceCors,
  VirtualServiceFault,
  VirtualServiceHttpRoute,
  VirtualServiceRetry,
} from './virtual-service.ts';

/** What Istio's webhook refuses in one entry of `spec.http`. */
export function httpRouteProblems(
  route: VirtualServiceHttpRoute,
  field: string,
  context: { readonly isDelegate: boolean },
): FieldProblem[] {
  const destinations = route.route ?? [];
  const mirrors = route.mirrors ?? [];
  return [
    ...actionProblems(route, field, context.isDelegate),
    ...(route.match ?? []).flatMap((match, index) => matchProblems(match, `${field}.match[${index}]`)),
    ...headersProblems(route.headers, `${field}.headers`),
    ...corsProblems(route.corsPolicy, `${field}.corsPolicy`),
    ...faultProblems(route.fault, `${field}.fault`),
    ...integerPercentProblems(route.mirrorPercent ?? undefined, `${field}.mirrorPercent`),
    ...integerPercentProblems(route.mirror_percent ?? undefined, `${field}.mirror_percent`),
    ...percentProblems(route.mirrorPercentage, `${field}.mirrorPercentage`),
    ...destinationProblems(route.mirror, `${field}.mirror`),
    ...mirrors.flatMap((mirror, index) => [
      ...destinationProblems(mirror.destination, `${field}.mirrors[${index}].destination`),
      ...percentProblems(mirror.percentage, `${field}.mirrors[${index}].percentage`),
    ]),
    ...redirectProblems(route, `${field}.redirect`),
    ...directResponseProblems(route.directResponse, `${field}.directResponse`),
    ...retryProblems(route.retries, `${field}.retries`),
    ...rewriteProblems(route.rewrite, `${field}.rewrite`),
    ...authorityProblems(route.rewrite?.authority, route.headers, field),
    ...destinations.flatMap((entry, index) => [
      ...destinationProblems(entry.destination, `${field}.route[${index}].destination`),
      ...headersProblems(entry.headers, `${field}.route[${index}].headers`),
    ]),
    ...weightProblems(destinations, `${field}.route`),
    ...durationProblems(route.timeout, `${field}.timeout`),
  ];
}

/** One of route, redirect, directResponse and delegate, and what cannot stand beside it. */
function actionProblems(route: VirtualServiceHttpRoute, field: string, isDelegate: boolean): FieldProblem[] {
  const beside = (action: string, others: readonly (keyof VirtualServiceHttpRoute)[]) =>
    others.flatMap((other) => {
      const value = route[other];
      const isGiven = Array.isArray(value) ? value.length > 0 : value !== undefined;
      return isGiven ? [forbidden(`${field}.${other}`, `cannot be given together with ${action}`)] : [];
    });
  if (route.delegate !== undefined) {
    if (isDelegate) return [forbidden(`${field}.delegate`, 'a delegate cannot delegate further')];
    return beside('delegate', ['redirect', 'route']);
  }
  const problems: FieldProblem[] = [];
  if (route.redirect !== undefined) problems.push(...beside('redirect', ['route', 'fault', 'rewrite', 'directResponse']));
  else if (route.directResponse !== undefined) problems.push(...beside('directResponse', ['route', 'fault', 'rewrite']));
  else if ((route.route ?? []).length === 0)
    problems.push(required(field, 'one of route, redirect, directResponse or delegate must be given'));
  if (route.mirror !== undefined) problems.push(...beside('mirror', ['mirrors']));
  return problems;
}

/** A token of RFC 9110 5.6.2. */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;
const PSEUDO_HEADERS = new Set([':method', ':scheme', ':authority', ':path', ':status']);
/** Claims of a verified token are matched as if they were headers. */
const CLAIM = /^@request\.auth\.claims(\.|\[)/;

function matchProblems(match: HttpMatchRequest, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const list of ['headers', 'withoutHeaders'] as const) {
    for (const [name, value] of Object.entries(match[list] ?? {})) {
      const at = `${field}.${list}[${name}]`;
      if (!HEADER_NAME.test(name) && !PSEUDO_HEADERS.has(name) && !CLAIM.test(name))
        problems.push(invalid(`${field}.${list}`, name, 'must be the name of a header'));
      // as the regular expression of a header that must be absent, `*` means any value
      if (list !== 'withoutHeaders' || value.regex !== '*') problems.push(...stringMatchProblems(value, at));
    }
  }
  problems.push(...stringMatchProblems(match.uri, `${field}.uri`, { emptyPrefix: true }));
  for (const part of ['scheme', 'method', 'authority'] as const) problems.push(...stringMatchProblems(match[part], `${field}.${part}`));
  for (const [name, value] of Object.entries(match.queryParams ?? {}))
    problems.push(...stringMatchProblems(value, `${field}.queryParams[${name}]`));
  return [...problems, ...l4MatchProblems(match, field)];
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', '*'];

function corsProblems(cors: VirtualServiceCors | undefined, field: string): FieldProblem[] {
  if (cors === undefined) return [];
  const problems: FieldProblem[] = [];
  cors.allowOrigins?.forEach((origin, index) => {
    const at = `${field}.allowOrigins[${index}]`;
    if ((origin.exact ?? origin.prefix ?? origin.regex ?? '') === '') problems.push(invalid(at, 'object', 'must match something'));
    else problems.push(...regexProblems(origin.regex, `${at}.regex`));
  });
  cors.allowMethods?.forEach((method, index) => {
    if (!METHODS.includes(method)) problems.push(notSupported(`${field}.allowMethods[${index}]`, method, METHODS));
  });
  for (const list of ['allowHeaders', 'exposeHeaders'] as const)
    cors[list]?.forEach((name, index) => {
      if (name !== '*' && !HEADER_NAME.test(name))
        problems.push(invalid(`${field}.${list}[${index}]`, name, 'must be the name of a header'));
    });
  problems.push(...durationProblems(cors.maxAge, `${field}.maxAge`));
  if (cors.maxAge !== undefined && (durationMilliseconds(cors.maxAge) ?? 0) % 1000 !== 0)
    problems.push(invalid(`${field}.maxAge`, cors.maxAge, 'must be a whole number of seconds'));
  return problems;
}

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md, in the spelling that a fault takes. */
const GRPC_CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

function faultProblems(fault: VirtualServiceFault | undefined, field: string): FieldProblem[] {
  if (fault === undefined) return [];
  const { abort, delay } = fault;
  const problems: FieldProblem[] = [];
  if (abort === undefined && delay === undefined) problems.push(required(field, 'an abort or a delay must be given'));
  problems.push(...percentProblems(abort?.percentage, `${field}.abort.percentage`));
  if (abort?.httpStatus !== undefined) problems.push(...httpStatusProblems(abort.httpStatus, `${field}.abort.httpStatus`));
  if (abort?.grpcStatus !== undefined && !GRPC_CODES.includes(abort.grpcStatus))
    problems.push(notSupported(`${field}.abort.grpcStatus`, abort.grpcStatus, GRPC_CODES));
  if (abort?.http2Error !== undefined) problems.push(forbidden(`${field}.abort.http2Error`, 'HTTP/2 errors are not supported'));
  problems.push(...percentProblems(delay?.percentage, `${field}.delay.percentage`));
  problems.push(...integerPercentProblems(delay?.percent, `${field}.delay.percent`));
  problems.push(...durationProblems(delay?.fixedDelay, `${field}.delay.fixedDelay`));
  if (delay?.exponentialDelay !== undefined) problems.push(forbidden(`${field}.delay.exponentialDelay`, 'is not supported'));
  return problems;
}

const httpStatusProblems = (status: number, field: string): FieldProblem[] =>
  status >= 200 && status <= 599 ? [] : [invalid(field, status, 'must be between 200 and 599')];

function redirectProblems({ redirect, match }: VirtualServiceHttpRoute, field: string): FieldProblem[] {
  if (redirect === undefined) return [];
  const problems: FieldProblem[] = [];
  const { uri = '', prefixRewrite = '', authority = '', scheme = '', redirectCode = 0, port, derivePort } = redirect;
  if (uri !== '' && prefixRewrite !== '') problems.push(invalid(field, 'object', 'only one of uri and prefixRewrite may be given'));
  if (prefixRewrite !== '' && (match ?? []).some((entry) => entry.uri !== undefined && entry.uri.prefix === undefined))
    problems.push(invalid(`${field}.prefixRewrite`, prefixRewrite, 'every match of the URI must be a prefix'));
  if (uri === '' && prefixRewrite === '' && authority === '' && scheme === '' && port === undefined && derivePort === undefined)
    problems.push(required(field, 'uri, authority, scheme or port must be given'));
  if (redirectCode !== 0 && (redirectCode < 300 || redirectCode > 399))
    problems.push(invalid(`${field}.redirectCode`, redirectCode, 'must be between 300 and 399'));
  if (scheme !== '' && scheme !== 'http' && scheme !== 'https') problems.push(notSupported(`${field}.scheme`, scheme, ['http', 'https']));
  return [...problems, ...(port === undefined || port === 0 ? [] : portProblems(port, `${field}.port`))];
}

/** Largest body of a direct response, in bytes. */
const BODY_BYTES = 1024 * 1024;

function directResponseProblems(response: VirtualServiceHttpRoute['directResponse'], field: string): FieldProblem[] {
  if (response === undefined) return [];
  const { string, bytes } = response.body ?? {};
  const size = string === undefined ? Math.floor(((bytes ?? '').length * 3) / 4) : new TextEncoder().encode(string).length;
  return [
    ...httpStatusProblems(response.status ?? 0, `${field}.status`),
    ...(size > BODY_BYTES ? [invalid(`${field}.body`, 'object', `must be no more than ${BODY_BYTES} bytes`)] : []),
  ];
}

const RETRY_ON = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'envoy-ratelimited',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

function retryProblems(retries: VirtualServiceRetry | undefined, field: string): FieldProblem[] {
  if (retries === undefined) return [];
  const { attempts = 0, retryOn = '', perTryTimeout, retryRemoteLocalities } = retries;
  const problems = notNegative(attempts, `${field}.attempts`);
  if (attempts === 0 && (perTryTimeout !== undefined || retryOn !== '' || (retryRemoteLocalities ?? undefined) !== undefined))
    problems.push(invalid(field, 'object', 'attempts of 0 disable retries, so nothing else may be given'));
  for (const condition of retryOn === '' ? [] : retryOn.split(',')) {
    const status = /^\d{3}$/.test(condition) ? Number(condition) : 0;
    if (!RETRY_ON.has(condition) && (status < 100 || status > 599))
      problems.push(invalid(`${field}.retryOn`, retryOn, `${JSON.stringify(condition)} is no condition for retries`));
  }
  problems.push(...durationProblems(perTryTimeout, `${field}.perTryTimeout`), ...durationProblems(retries.backoff, `${field}.backoff`));
  return problems;
}

function rewriteProblems(rewrite: VirtualServiceHttpRoute['rewrite'], field: string): FieldProblem[] {
  if (rewrite === undefined) return [];
  const { uri = '', authority = '', uriRegexRewrite } = rewrite;
  const problems: FieldProblem[] = [];
  if (uri !== '' && uriRegexRewrite !== undefined)
    problems.push(invalid(field, 'object', 'only one of uri and uriRegexRewrite may be given'));
  if (uri === '' && authority === '' && uriRegexRewrite === undefined)
    problems.push(required(field, 'uri, uriRegexRewrite or authority must be given'));
  if (uriRegexRewrite !== undefined) {
    if ((uriRegexRewrite.match ?? '') === '' || (uriRegexRewrite.rewrite ?? '') === '')
      problems.push(required(`${field}.uriRegexRewrite`, 'match and rewrite must both be given'));
    else problems.push(...regexProblems(uriRegexRewrite.match, `${field}.uriRegexRewrite.match`));
  }
  return problems;
}
