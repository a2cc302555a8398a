import { isPort, parsePort } from '../../ip.ts';
import type { HttpAction, HttpMatch, PathRewrite, Redirect, Rewrite } from '../plan.ts';
import { checkRegexSubstitution } from '../regex.ts';
import type { IstioLookup } from './lookup.ts';
import type { Problems } from './problem.ts';
import { regexAt } from './string-match.ts';
import type { IstioDirectResponse, IstioRedirect, IstioRewrite } from './virtual-service-object.ts';

/** The codes Envoy can send. */
const REDIRECT_CODES = [301, 302, 303, 307, 308];
/** Istio's limit; more is no answer but a file. */
const MAX_DIRECT_BODY_BYTES = 1024 * 1024;

/** What is wrong with a redirect, whatever it is applied to. */
export const checkRedirect = (problems: Problems, path: string, written: IstioRedirect): void => {
  const { redirectCode = 0, port, derivePort, uri, prefixRewrite } = written;
  if (redirectCode !== 0 && !REDIRECT_CODES.includes(redirectCode)) {
    problems.invalid(`${path}.redirectCode`, `${redirectCode} is not ${REDIRECT_CODES.join(', ')}`);
  }
  if (port && !isPort(port)) problems.invalid(`${path}.port`, `${port} is not a port`);
  if (port !== undefined && derivePort !== undefined) problems.invalid(path, 'has both port and derivePort');
  if (uri && prefixRewrite) problems.invalid(path, 'has both uri and prefixRewrite');
  const isEmpty = ['uri', 'authority', 'scheme', 'prefixRewrite', 'port', 'derivePort', 'redirectCode'].every(
    (field) => !written[field as keyof IstioRedirect], // the list holds its fields only
  );
  if (isEmpty) problems.invalid(path, 'leads to where it came from', 'set uri, authority, scheme or port');
};

/** `match` is what the request matched, `listenPort` the service port it came for. */
export const redirectOf = (problems: Problems, path: string, written: IstioRedirect, match: HttpMatch, listenPort: number): Redirect => {
  const { host, port: authorityPort } = splitAuthority(written.authority);
  const port = authorityPort ?? redirectPort(written, listenPort);
  const rewritten = written.prefixRewrite
    ? prefixRewriteOf(problems, `${path}.prefixRewrite`, written.prefixRewrite, match)
    : written.uri
      ? ({ kind: 'full', value: written.uri } as const)
      : undefined;
  return {
    status: written.redirectCode || 301,
    ...(written.scheme && { scheme: written.scheme }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(rewritten !== undefined && { path: rewritten }),
  };
};

const splitAuthority = (authority: string | undefined): { host?: string; port?: number } => {
  if (!authority) return {};
  const colon = authority.lastIndexOf(':');
  const [host, port] = [authority.slice(0, colon), parsePort(authority.slice(colon + 1))];
  const isBareIpv6 = host.includes(':') && !host.startsWith('[');
  return colon <= 0 || port === undefined || isBareIpv6 ? { host: authority } : { host, port };
};

/** Without a port of its own Envoy keeps the one in the authority, which went away if that was replaced: then the scheme's own is meant. */
const redirectPort = ({ port, derivePort, scheme, authority }: IstioRedirect, listenPort: number): number | undefined => {
  if (port) return port;
  const ofScheme = scheme === 'https' ? 443 : 80;
  if (derivePort === 'FROM_REQUEST_PORT') return listenPort;
  if (derivePort === 'FROM_PROTOCOL_DEFAULT' || authority) return ofScheme;
  // The plan derives the port from a scheme that is set; Envoy leaves out only the default one of the scheme it replaces.
  const isDefaultOfOther = (scheme === 'https' && listenPort === 80) || (scheme === 'http' && listenPort === 443);
  return scheme && !isDefaultOfOther ? listenPort : undefined;
};

/** HTTPDirectResponse; a body of bytes must be text, which is what a plan carries. */
export const respondOf = (problems: Problems, path: string, { status, body }: IstioDirectResponse): HttpAction['respond'] => {
  if (!Number.isInteger(status) || status < 200 || status > 599) return problems.invalid(`${path}.status`, `${status} is not 200 to 599`);
  if (body?.string !== undefined && body.bytes !== undefined) return problems.invalid(`${path}.body`, 'has both string and bytes');
  const text = body?.bytes === undefined ? (body?.string ?? '') : textOfBase64(problems, `${path}.body.bytes`, body.bytes);
  if (text === undefined) return undefined;
  const size = new TextEncoder().encode(text).length;
  if (size > MAX_DIRECT_BODY_BYTES) return problems.invalid(`${path}.body`, `is ${size} bytes long, the limit is ${MAX_DIRECT_BODY_BYTES}`);
  return { status, body: text, ...(text !== '' && { contentType: 'text/plain' }) };
};

const textOfBase64 = (problems: Problems, path: string, base64: string): string | undefined => {
  const digits = base64.replace(/={1,2}$/, '');
  // A last digit alone holds six bits, which are no byte.
  if (!/^[A-Za-z0-9+/_-]*$/.test(digits) || digits.length % 4 === 1) return problems.invalid(path, 'is not base64');
  const binary = atob(digits.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  // Decoding replaces what is not UTF-8, so the way back shows whether it was.
  if (new TextEncoder().encode(text).join() === bytes.join()) return text;
  return problems.invalid(path, 'is not UTF-8 text, and only text is answered with');
};

/** What is wrong with a rewrite, whatever it is applied to. */
export const checkRewrite = (
  problems: Problems,
  path: string,
  { uri, authority, uriRegexRewrite }: IstioRewrite,
  lookup: IstioLookup,
): void => {
  if (!uri && !authority && uriRegexRewrite === undefined) problems.invalid(path, 'is empty');
  if (uriRegexRewrite === undefined) return;
  if (uri) problems.invalid(path, 'has both uri and uriRegexRewrite');
  const { match = '', rewrite = '' } = uriRegexRewrite;
  if (!regexAt(problems, `${path}.uriRegexRewrite.match`, match, lookup)) return;
  const fault = checkRegexSubstitution(match, rewrite);
  if (fault !== undefined) problems.invalid(`${path}.uriRegexRewrite.rewrite`, fault);
};

/** `host` is what headers set the authority to, when the rewrite says nothing about it. */
export const rewriteOf = (written: IstioRewrite | undefined, match: HttpMatch, host: string | undefined): Rewrite | undefined => {
  const path = rewrittenPath(written, match);
  const authority = written?.authority || host;
  if (path === undefined && authority === undefined) return undefined;
  return { ...(path !== undefined && { path }), ...(authority !== undefined && { host: authority }) };
};

const rewrittenPath = (written: IstioRewrite | undefined, match: HttpMatch): PathRewrite | undefined => {
  const regex = written?.uriRegexRewrite;
  if (regex !== undefined) return { kind: 'regex', pattern: regex.match ?? '', substitution: regex.rewrite ?? '' };
  if (!written?.uri) return undefined;
  // Envoy's prefix_rewrite replaces what was matched: a prefix (`/` where no path is asked for), or the whole of an exact path or pattern.
  const { kind, value } = match.path ?? { kind: 'prefix', value: '/' };
  return kind === 'prefix' ? { kind, match: value, value: written.uri } : { kind: 'full', value: written.uri };
};

const prefixRewriteOf = (problems: Problems, path: string, value: string, match: HttpMatch): PathRewrite | undefined =>
  match.path?.kind === 'prefix'
    ? { kind: 'prefix', match: match.path.value, value }
    : problems.invalid(path, 'needs a match of the uri by prefix');
