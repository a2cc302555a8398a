import { latin1 } from '../bytes.ts';
import { COLON, IP_LITERAL, REG_NAME } from './octets.ts';

const SLASH = 0x2f;

/** Whether the octets are `host [":" port]` as RFC 3986 writes it, without user information; the port, when there is a colon, is 0 to 65535. */
export function isAuthority(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (bytes[at] === 0x5b) {
    at++;
    while (at < end && IP_LITERAL[bytes[at]!] !== 0) at++;
    if (at - start < 3 || at === end || bytes[at] !== 0x5d) return false;
    at++;
  } else {
    while (at < end && REG_NAME[bytes[at]!] !== 0) at++;
    if (at === start) return false;
  }
  return at === end || (bytes[at] === COLON && isPort(bytes, at + 1, end));
}

function isPort(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end || end - start > 5) return false;
  let port = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

/**
 * Checks a request target against the four forms of RFC 9112 section 3.2, and `Host` against an authority in it. Returns the problem, or ''. RFC 9112
 * section 3.2.2 lets the absolute form win over a `Host` that differs; whoever reads it the other way round sees another request, so that is refused.
 * Absolute forms are http and https only. CONNECT needs a port; its `Host` may leave it out, as RFC 9110 section 9.3.6 shows.
 */
export function targetProblem(bytes: Uint8Array, start: number, end: number, method: string, host: string | undefined): string {
  if (method === 'CONNECT') return connectProblem(bytes, start, end, host);
  if (bytes[start] === SLASH) return '';
  if (bytes[start] === 0x2a && end - start === 1) return method === 'OPTIONS' ? '' : 'the target * with a method other than OPTIONS';
  const schemeEnd = absoluteStart(bytes, start, end);
  if (schemeEnd < 0) return 'the target is neither a path nor an http URI';
  let authorityEnd = schemeEnd;
  while (authorityEnd < end && bytes[authorityEnd] !== SLASH && bytes[authorityEnd] !== 0x3f) authorityEnd++;
  if (!isAuthority(bytes, schemeEnd, authorityEnd)) return 'the authority of the target is malformed';
  const authority = latin1(bytes, schemeEnd, authorityEnd).toLowerCase();
  return host === undefined || host.toLowerCase() === authority ? '' : 'host differs from the authority of the target';
}

function connectProblem(bytes: Uint8Array, start: number, end: number, host: string | undefined): string {
  if (!isAuthority(bytes, start, end)) return 'the target of CONNECT is not an authority';
  const authority = latin1(bytes, start, end).toLowerCase();
  const colon = authority.lastIndexOf(':');
  if (colon <= authority.lastIndexOf(']')) return 'the target of CONNECT has no port';
  if (host === undefined) return '';
  const wanted = host.toLowerCase();
  return wanted === authority || wanted === authority.slice(0, colon) ? '' : 'host differs from the target of CONNECT';
}

/** Behind `http://` or `https://`, or -1. */
function absoluteStart(bytes: Uint8Array, start: number, end: number): number {
  const prefix = latin1(bytes, start, Math.min(end, start + 8)).toLowerCase();
  return prefix.startsWith('http://') ? start + 7 : prefix === 'https://' ? start + 8 : -1;
}
