/** New paths for requests, and where redirects lead: Gateway API `URLRewrite` and `RequestRedirect`, VirtualService `rewrite` and `redirect`. */
import { lowerAscii } from './condition.ts';
import type { PathMatch, PathRewrite, Redirect, RequestView } from './plan.ts';
import { compileRegex } from './regex.ts';
import { hostOf, pathEnd } from './request-field.ts';

/**
 * Gateway API's rules for whole path elements: the rest keeps its slash, two never meet, and the path is never empty.
 * `/foo/bar` with `/foo` → `/xyz/` is `/xyz/bar`; `/foo` with `/foo` → `` is `/`.
 */
const replaceSegments = (path: string, match: string, value: string): string => {
  const rest = path.slice(match.endsWith('/') ? match.length - 1 : match.length);
  if (rest === '') return value === '' ? '/' : value;
  return (value.endsWith('/') ? value.slice(0, -1) : value) + rest;
};

const rewritten = (path: string, rewrite: PathRewrite, matched: PathMatch | undefined): string => {
  switch (rewrite.kind) {
    case 'full':
      return rewrite.value;
    case 'prefix': {
      const { match, value } = rewrite;
      if (matched?.kind === 'segments') return replaceSegments(path, match, value);
      const starts = matched?.ignoreCase ? lowerAscii(path).startsWith(lowerAscii(match)) : path.startsWith(match);
      return starts ? value + path.slice(match.length) : path;
    }
    case 'regex': {
      const regex = compileRegex(rewrite.pattern);
      return regex.ok ? regex.value.replaceAll(path, rewrite.substitution) : path;
    }
  }
};

/**
 * The request's new path. The query stays as it is. `matched` is the condition of the rule that was taken: `segments` are replaced by Gateway API's rules
 * for slashes, anything else character by character as Envoy's `prefix_rewrite` does.
 */
export const rewritePath = (pathAndQuery: string, rewrite: PathRewrite, matched: PathMatch | undefined): string => {
  const end = pathEnd(pathAndQuery);
  return rewritten(pathAndQuery.slice(0, end), rewrite, matched) + pathAndQuery.slice(end);
};

const wellKnownPort = (scheme: string): number | undefined => (scheme === 'http' ? 80 : scheme === 'https' ? 443 : undefined);

/**
 * The `location` of a redirect (Gateway API HTTPRequestRedirectFilter). Port: the given one; else the well-known one of a given scheme; else
 * `listenPort`, the one the request came for. It is left out where the scheme implies it.
 */
export const redirectLocation = (redirect: Redirect, request: RequestView, matched: PathMatch | undefined, listenPort: number): string => {
  const scheme = redirect.scheme ?? request.scheme;
  const derived = redirect.scheme === undefined ? undefined : wellKnownPort(redirect.scheme);
  const port = redirect.port ?? derived ?? listenPort;
  const host = redirect.host ?? hostOf(request.authority);
  const path = redirect.path === undefined ? request.path : rewritePath(request.path, redirect.path, matched);
  return `${scheme}://${host}${port === wellKnownPort(scheme) ? '' : `:${port}`}${path.startsWith('/') ? '' : '/'}${path}`;
};
