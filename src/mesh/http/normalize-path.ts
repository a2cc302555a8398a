/**
 * One spelling for every path (RFC 3986 section 6.2.2; Istio's `pathNormalization` BASE, which Envoy calls `normalize_path`): who checks a request and who
 * answers it must not read it differently. Slashes are not merged and encoded slashes stay, since to some servers these are other paths.
 */
import { pathEnd } from './request-field.ts';

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const PERCENT = 0x25;
const DOT = 0x2e;
const QUESTION = 0x3f;

/** Characters of clients that do not encode what RFC 3986 wants encoded. */
const ENCODED: Readonly<Record<string, string>> = {
  '"': '%22',
  '<': '%3C',
  '>': '%3E',
  '^': '%5E',
  '`': '%60',
  '{': '%7B',
  '|': '%7C',
  '}': '%7D',
};
const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
const CHANGEABLE = /%[0-9A-Fa-f]{2}|["<>^`{|}\\]/g;

/** Percent codes that need not be, to what they stand for. */
const DECODED: ReadonlyMap<string, string> = new Map(
  Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
    .filter((character) => UNRESERVED.test(character))
    .flatMap((character) => {
      const code = character.charCodeAt(0).toString(16).padStart(2, '0');
      return [...new Set([code, code.toUpperCase(), `${code[0]!}${code[1]!.toUpperCase()}`])].map(
        (digits) => [`%${digits}`, character] as const,
      );
    }),
);

/** Most paths need nothing; telling so is all they cost. */
const isPlain = (path: string): boolean => {
  for (let at = 0; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === QUESTION) return true;
    if (code === PERCENT || code === BACKSLASH || (code === SLASH && path.charCodeAt(at + 1) === DOT)) return false;
    // The encoded ones lie among these.
    if (code === 0x22 || code === 0x3c || code === 0x3e || code === 0x5e || code === 0x60 || (code >= 0x7b && code <= 0x7d)) return false;
  }
  return true;
};

const respelled = (found: string): string => (found === '\\' ? '/' : (ENCODED[found] ?? DECODED.get(found) ?? found));

/** Resolves dot segments (RFC 3986 section 5.2.4). Parameters behind one (`..;x`) do not make it another: some servers take them off first. */
const withoutDots = (path: string): string => {
  if (!path.includes('/.')) return path;
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const [at, segment] of segments.entries()) {
    const semicolon = segment.indexOf(';');
    const name = semicolon < 0 ? segment : segment.slice(0, semicolon);
    const isDots = name === '.' || name === '..';
    if (name === '..') kept.pop();
    if (!isDots) kept.push(segment);
    else if (at === segments.length - 1) kept.push('');
  }
  return `/${kept.join('/')}`;
};

/**
 * The path in its normal form, the query as it was: dot segments resolved, backslashes turned, percent codes of unreserved characters decoded, once. What
 * does not begin with a slash (`*`) stays. Undefined: the path holds an encoded NUL, at which many programs stop reading.
 */
export const normalizePath = (pathAndQuery: string): string | undefined => {
  if (isPlain(pathAndQuery) || !pathAndQuery.startsWith('/')) return pathAndQuery;
  const end = pathEnd(pathAndQuery);
  const path = pathAndQuery.slice(0, end);
  if (path.includes('%00')) return undefined;
  return withoutDots(path.replace(CHANGEABLE, respelled)) + pathAndQuery.slice(end);
};
