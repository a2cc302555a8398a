/** What an HTTP/2 request's fields say to the middle of the waypoint, and whether HTTP/1 could say it too: behind it somebody may read that. */
import { type HeaderList, HTTP1_LIMITS } from '../../protocol/index.ts';
import { isSendable } from './header-fields.ts';
import type { RequestHead } from './messages.ts';

/** The request is answered with `status`. */
export interface RefusedHead {
  readonly status: 400 | 414;
  readonly problem: string;
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What a request line takes: no white space, no control characters, no fragment. */
const PATH = /^[\x21\x22\x24-\x7e]+$/;
const AUTHORITY = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]{1,5})?$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;

/** Pseudo-headers become fields of the head; cookies sent in pieces become one (RFC 9113 section 8.2.3). */
export function requestOf(headers: HeaderList, endStream: boolean): RequestHead | RefusedHead {
  let method = '';
  let path = '';
  let authority = '';
  let host = '';
  let scheme = 'http';
  let cookie = '';
  let contentLength = endStream ? 0 : -1;
  let acceptsTrailers = false;
  const rest: HeaderList[number][] = [];
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    const name = field[0];
    const value = field[1];
    if (name.charCodeAt(0) === 0x3a) {
      if (name === ':method') method = value;
      else if (name === ':path') path = value;
      else if (name === ':authority') authority = value;
      else scheme = value;
      continue;
    }
    if (!isSendable(value)) return { status: 400, problem: `the value of ${name} holds control characters` };
    if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`;
    else if (name === 'host') host = value;
    else if (name === 'te') acceptsTrailers = true;
    else {
      if (name === 'content-length' && !endStream) contentLength = Number(value);
      rest.push(field);
    }
  }
  if (cookie !== '') rest.push(['cookie', cookie]);
  authority ||= host;
  const problem = problemOf(method, path, authority, scheme);
  if (problem !== '') return { status: 400, problem };
  if (path.length > HTTP1_LIMITS.targetBytes) return { status: 414, problem: `a path over ${HTTP1_LIMITS.targetBytes} octets` };
  return {
    method,
    path,
    authority,
    scheme,
    headers: rest,
    version: 'HTTP/2',
    contentLength,
    upgrade: '',
    acceptsTrailers,
  };
}

function problemOf(method: string, path: string, authority: string, scheme: string): string {
  if (!METHOD.test(method)) return 'the method is not a token';
  if (method !== 'CONNECT' && !PATH.test(path)) return 'the path holds characters that are none of a URI';
  if (authority !== '' && !AUTHORITY.test(authority)) return 'the authority is not a host with or without port';
  return SCHEME.test(scheme) ? '' : 'the scheme is none';
}
