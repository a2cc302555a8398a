/** The filters of a rule or of one of its backends. */
import type { Cors, HeaderEdit, Mirror, PathRewrite, Redirect, Rewrite } from '../plan.ts';
import { resolveBackend } from './backend-ref.ts';
import { compileCors } from './cors.ts';
import { compileHeaderFilter } from './header-filter.ts';
import { withoutSlashAtEnd } from './http-match.ts';
import type { HttpRouteRule, PathModifier, RequestMirrorFilter, RequestRedirectFilter, RouteFilter, UrlRewriteFilter } from './objects.ts';
import type { RuleScope } from './rule-scope.ts';

export interface CompiledFilters {
  readonly requestHeaders?: HeaderEdit;
  readonly responseHeaders?: HeaderEdit;
  readonly redirect?: Redirect;
  readonly rewrite?: Rewrite;
  readonly mirrors?: readonly Mirror[];
  readonly cors?: Cors;
  /** Why requests that pass here must fail: a filter nobody can run must not be skipped. */
  readonly broken?: string;
}

/** Where the filters stand: the rule they belong to, and what its path match took (undefined: nothing that could be replaced). */
export interface FilterScope extends RuleScope {
  readonly prefix?: string;
}

const HTTP_FILTERS: ReadonlySet<string> = new Set([
  'RequestHeaderModifier',
  'ResponseHeaderModifier',
  'RequestMirror',
  'RequestRedirect',
  'URLRewrite',
  'CORS',
  'ExternalAuth',
  'ExtensionRef',
]);
const GRPC_FILTERS: ReadonlySet<string> = new Set(['RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestMirror', 'ExtensionRef']);
const REPEATABLE: ReadonlySet<string> = new Set(['RequestMirror', 'ExtensionRef']);
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const HOSTNAME = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const NOT_IN_PATH = /[\u0000-\u0020\u007f-\uffff?#]/;

const pathsOf = (filters: readonly RouteFilter[] | undefined): readonly (PathModifier | undefined)[] =>
  (filters ?? []).flatMap(({ urlRewrite, requestRedirect }) => [urlRewrite?.path, requestRedirect?.path]);

/** Whether what the rule does depends on the prefix that matched. */
export const replacesPrefix = ({ filters, backendRefs }: Pick<HttpRouteRule, 'filters' | 'backendRefs'>): boolean =>
  [filters, ...(backendRefs ?? []).map((backend) => backend.filters)].flatMap(pathsOf).some((path) => path?.type === 'ReplacePrefixMatch');

/**
 * Both sides of a prefix replacement lose the slash at their end, so that replacing characters gives what the definition's table says; `/` becomes ''.
 * The path that remains when everything is taken away is `/`.
 */
const compilePath = (path: PathModifier, field: string, { problems, prefix }: FilterScope): PathRewrite | undefined => {
  const isFull = path.type === 'ReplaceFullPath';
  if (!isFull && path.type !== 'ReplacePrefixMatch') {
    problems.refuse(`${field}.type`, `"${path.type}" is not ReplaceFullPath or ReplacePrefixMatch`);
    return undefined;
  }
  const [name, value] = isFull
    ? (['replaceFullPath', path.replaceFullPath] as const)
    : (['replacePrefixMatch', path.replacePrefixMatch] as const);
  if (value === undefined) {
    problems.refuse(`${field}.${name}`, `is required for ${path.type}`);
    return undefined;
  }
  if (NOT_IN_PATH.test(value)) problems.refuse(`${field}.${name}`, 'has characters that a path cannot have');
  if (value !== '' && !value.startsWith('/')) problems.refuse(`${field}.${name}`, 'must begin with "/"');
  if (isFull) return { kind: 'full', value: value === '' ? '/' : value };
  if (prefix === undefined) {
    problems.refuse(field, 'ReplacePrefixMatch needs a PathPrefix in every match of the rule');
    return undefined;
  }
  return { kind: 'prefix', match: prefix, value: withoutSlashAtEnd(value) };
};

const checkHostname = (hostname: string | undefined, field: string, { problems }: FilterScope): void => {
  if (hostname !== undefined && !HOSTNAME.test(hostname)) problems.refuse(field, `"${hostname}" is not a host name`);
};

const compileRedirect = (filter: RequestRedirectFilter, field: string, scope: FilterScope): Redirect => {
  const { scheme, hostname, port, statusCode = 302 } = filter;
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https')
    scope.problems.refuse(`${field}.scheme`, `"${scheme}" is not http or https`);
  if (!REDIRECT_STATUSES.has(statusCode)) scope.problems.refuse(`${field}.statusCode`, `${statusCode} is not 301, 302, 303, 307 or 308`);
  if (port !== undefined && !(port >= 1 && port <= 65_535)) scope.problems.refuse(`${field}.port`, `${port} is not a port`);
  checkHostname(hostname, `${field}.hostname`, scope);
  const path = filter.path && compilePath(filter.path, `${field}.path`, scope);
  return {
    status: statusCode,
    ...(scheme !== undefined && { scheme }),
    ...(hostname !== undefined && { host: hostname }),
    ...(port !== undefined && { port }),
    ...(path !== undefined && { path }),
  };
};

const compileRewrite = (filter: UrlRewriteFilter, field: string, scope: FilterScope): Rewrite => {
  checkHostname(filter.hostname, `${field}.hostname`, scope);
  const path = filter.path && compilePath(filter.path, `${field}.path`, scope);
  return { ...(path !== undefined && { path }), ...(filter.hostname !== undefined && { host: filter.hostname }) };
};

/** None when its share is nothing. */
const compileMirror = ({ backendRef, percent, fraction }: RequestMirrorFilter, field: string, scope: FilterScope): readonly Mirror[] => {
  if (percent !== undefined && fraction !== undefined) scope.problems.refuse(field, 'has both percent and fraction');
  const numerator = fraction?.numerator ?? percent ?? 100;
  const denominator = fraction === undefined ? 100 : (fraction.denominator ?? 100);
  if (!(numerator >= 0 && denominator >= 1 && numerator <= denominator)) {
    scope.problems.refuse(`${field}.${fraction === undefined ? 'percent' : 'fraction'}`, `${numerator} of ${denominator} is no share`);
  }
  const { invalid, ...backend } = resolveBackend(backendRef, `${field}.backendRef`, scope);
  if (numerator === 0) return [];
  return [{ backend, numerator, denominator, ...(invalid !== undefined && { invalid }) }];
};

interface Writable {
  requestHeaders?: HeaderEdit;
  responseHeaders?: HeaderEdit;
  redirect?: Redirect;
  rewrite?: Rewrite;
  mirrors?: readonly Mirror[];
  cors?: Cors;
  broken?: string;
}

const compileFilter = (filter: RouteFilter, field: string, scope: FilterScope, into: Writable): void => {
  const { problems } = scope;
  const part = <T>(value: T | undefined, name: string): value is T => {
    if (value === undefined) problems.refuse(`${field}.${name}`, `is required for ${filter.type}`);
    return value !== undefined;
  };
  switch (filter.type) {
    case 'RequestHeaderModifier': {
      if (!part(filter.requestHeaderModifier, 'requestHeaderModifier')) return;
      const { edit, host } = compileHeaderFilter(filter.requestHeaderModifier, `${field}.requestHeaderModifier`, 'request', problems);
      if (edit !== undefined) into.requestHeaders = edit;
      // A rewrite says the host more plainly than a header does: it stays.
      if (host !== undefined) into.rewrite = { host, ...into.rewrite };
      return;
    }
    case 'ResponseHeaderModifier': {
      if (!part(filter.responseHeaderModifier, 'responseHeaderModifier')) return;
      const { edit } = compileHeaderFilter(filter.responseHeaderModifier, `${field}.responseHeaderModifier`, 'response', problems);
      if (edit !== undefined) into.responseHeaders = edit;
      return;
    }
    case 'RequestMirror':
      if (!part(filter.requestMirror, 'requestMirror')) return;
      into.mirrors = [...(into.mirrors ?? []), ...compileMirror(filter.requestMirror, `${field}.requestMirror`, scope)];
      return;
    case 'RequestRedirect':
      if (part(filter.requestRedirect, 'requestRedirect'))
        into.redirect = compileRedirect(filter.requestRedirect, `${field}.requestRedirect`, scope);
      return;
    case 'URLRewrite':
      if (part(filter.urlRewrite, 'urlRewrite'))
        into.rewrite = { ...into.rewrite, ...compileRewrite(filter.urlRewrite, `${field}.urlRewrite`, scope) };
      return;
    case 'CORS':
      if (part(filter.cors, 'cors')) into.cors = compileCors(filter.cors, `${field}.cors`, problems);
      return;
    case 'ExternalAuth':
      into.broken = 'ExternalAuth is not supported';
      problems.breakRule(scope.index, field, `${into.broken}; requests are answered with 500`);
      return;
    case 'ExtensionRef': {
      const { group = '', kind = '?', name = '?' } = filter.extensionRef ?? {};
      into.broken = `${group}/${kind} ${name} is no filter this mesh knows`;
      problems.unresolved(field, 'InvalidKind', `${into.broken}; requests are answered with 500`);
    }
  }
};

export const compileFilters = (filters: readonly RouteFilter[] | undefined, field: string, scope: FilterScope): CompiledFilters => {
  const compiled: Writable = {};
  const known = scope.kind === 'GRPCRoute' ? GRPC_FILTERS : HTTP_FILTERS;
  const seen = new Set<string>();
  (filters ?? []).forEach((filter, i) => {
    const at = `${field}[${i}]`;
    if (!known.has(filter.type)) scope.problems.refuse(`${at}.type`, `"${filter.type}" is no filter of a ${scope.kind}`);
    else if (seen.has(filter.type) && !REPEATABLE.has(filter.type))
      scope.problems.refuse(at, `${filter.type} cannot be repeated`, 'IncompatibleFilters');
    else compileFilter(filter, at, scope, compiled);
    seen.add(filter.type);
  });
  if (seen.has('URLRewrite') && seen.has('RequestRedirect')) {
    scope.problems.refuse(field, 'URLRewrite and RequestRedirect exclude each other', 'IncompatibleFilters');
  }
  return compiled;
};
