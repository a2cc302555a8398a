/** Timeouts, retries and session persistence of a rule. */
import type { Retry, SessionPersistence, Timeouts } from '../plan.ts';
import { parseDuration } from './duration.ts';
import { TOKEN } from './http-match.ts';
import type { HttpRouteRule, SessionPersistenceObject } from './objects.ts';
import type { RouteProblems } from './problems.ts';
import type { RuleScope } from './rule-scope.ts';

/** Attempts beyond the first when `retry.attempts` is absent: Istio's default. */
const DEFAULT_ATTEMPTS = 2;

const duration = (text: string | undefined, field: string, problems: RouteProblems): number | undefined => {
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds === undefined) problems.refuse(field, `"${text}" is not a duration such as 1h30m or 500ms`);
  return milliseconds;
};

/** 0 means no limit, as an absent one does. */
export const compileTimeouts = (timeouts: HttpRouteRule['timeouts'], field: string, problems: RouteProblems): Timeouts | undefined => {
  const request = duration(timeouts?.request, `${field}.request`, problems) ?? 0;
  const perTry = duration(timeouts?.backendRequest, `${field}.backendRequest`, problems) ?? 0;
  if (request > 0 && perTry > request) problems.refuse(`${field}.backendRequest`, 'is longer than the timeout of the whole request');
  if (request === 0 && perTry === 0) return undefined;
  return { ...(request > 0 && { request }), ...(perTry > 0 && { perTry }) };
};

/** Besides the codes, what the definition asks for: connections that fail, break or stay silent. */
export const compileRetry = (retry: HttpRouteRule['retry'], field: string, problems: RouteProblems): Retry | undefined => {
  if (retry === undefined) return undefined;
  const { codes = [], attempts = DEFAULT_ATTEMPTS } = retry;
  codes.forEach((code, i) => {
    if (!Number.isInteger(code) || code < 400 || code > 599) problems.refuse(`${field}.codes[${i}]`, `${code} is not between 400 and 599`);
  });
  if (!Number.isInteger(attempts) || attempts < 1) problems.refuse(`${field}.attempts`, 'must be 1 or more');
  const backoff = duration(retry.backoff, `${field}.backoff`, problems);
  return {
    attempts,
    statuses: [...new Set(codes)].sort((a, b) => a - b),
    on: ['connect-failure', 'refused-stream', 'reset'],
    ...(backoff !== undefined && { backoff }),
  };
};

/** Without a name, one that is the rule's own. */
const defaultName = ({ kind, namespace, name, index }: RuleScope, type: 'Cookie' | 'Header'): string => {
  const own = `lateen-${kind.toLowerCase()}-${namespace}-${name}-${index}`;
  return type === 'Header' ? `x-${own}` : own;
};

/** GEP-1619. Of a `Session` cookie `absoluteTimeout` is the longest the waypoint honours it, of a `Permanent` one also how long the client keeps it. */
export const compileSession = (session: SessionPersistenceObject | undefined, scope: RuleScope): SessionPersistence | undefined => {
  if (session === undefined) return undefined;
  const { problems } = scope;
  const field = `${scope.field}.sessionPersistence`;
  const type = session.type ?? 'Cookie';
  if (type !== 'Cookie' && type !== 'Header') {
    problems.refuse(`${field}.type`, `"${type}" is not Cookie or Header`);
    return undefined;
  }
  const isCookie = type === 'Cookie';
  const name = session.sessionName ?? (isCookie ? session.cookie?.name : session.header?.name) ?? defaultName(scope, type);
  if (!TOKEN.test(name)) problems.refuse(`${field}.sessionName`, `"${name}" is not a name`);
  const lifetime = session.cookie?.lifetimeType ?? session.cookieConfig?.lifetimeType ?? 'Session';
  const absoluteTimeout = duration(session.absoluteTimeout, `${field}.absoluteTimeout`, problems);
  const idleTimeout = duration(session.idleTimeout, `${field}.idleTimeout`, problems);
  if (isCookie && lifetime !== 'Session' && lifetime !== 'Permanent') {
    problems.refuse(`${field}.cookieConfig.lifetimeType`, `"${lifetime}" is not Session or Permanent`);
  }
  if (isCookie && lifetime === 'Permanent' && absoluteTimeout === undefined) {
    problems.refuse(`${field}.absoluteTimeout`, 'is required for a Permanent cookie');
  }
  const path = session.cookie?.path ?? '/';
  if (isCookie && !/^\/[!-:<-~]*$/.test(path)) problems.refuse(`${field}.cookie.path`, `"${path}" is not the path of a cookie`);
  return {
    kind: isCookie ? 'cookie' : 'header',
    name: isCookie ? name : name.toLowerCase(),
    ...(absoluteTimeout !== undefined && absoluteTimeout > 0 && { absoluteTimeout }),
    ...(idleTimeout !== undefined && idleTimeout > 0 && { idleTimeout }),
    ...(isCookie && { path }),
  };
};
