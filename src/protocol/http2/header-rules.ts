import type { HeaderList } from './types.ts';

export type HeaderKind = 'request' | 'response' | 'trailers';

/** What the connection itself needs from a header list. */
export interface HeaderFacts {
  readonly method: string;
  /** 0 when there is none. */
  readonly status: number;
  /** -1 when there is none. */
  readonly contentLength: number;
}

/** Token characters of RFC 9110 section 5.6.2, without upper case (RFC 9113 section 8.2.1). */
const NAME_CHARACTERS = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") NAME_CHARACTERS[character.charCodeAt(0)] = 1;

/** RFC 9113 section 8.2.2. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']);

const REQUEST_PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path']);
const RESPONSE_PSEUDO: ReadonlySet<string> = new Set([':status']);
const NO_PSEUDO: ReadonlySet<string> = new Set();

/**
 * Checks a received header list against RFC 9113 section 8 and returns its facts, or the problem as text.
 * A CONNECT without `:authority` passes: whoever speaks HBONE answers it with 400 (ambient-wire 1.4).
 */
export function inspectHeaders(kind: HeaderKind, headers: HeaderList): HeaderFacts | string {
  const allowed = kind === 'request' ? REQUEST_PSEUDO : kind === 'response' ? RESPONSE_PSEUDO : NO_PSEUDO;
  const pseudo = new Map<string, string>();
  let host: string | undefined;
  let contentLength = -1;
  let isPastPseudo = false;
  for (const [name, value] of headers) {
    const problem = valueProblem(value);
    if (problem !== undefined) return `header ${JSON.stringify(name)}: ${problem}`;
    if (name.charCodeAt(0) === 0x3a) {
      if (isPastPseudo) return `${name} comes after an ordinary header`;
      if (!allowed.has(name)) return `${JSON.stringify(name)} is not a pseudo-header of ${kind === 'trailers' ? 'trailers' : `a ${kind}`}`;
      if (pseudo.has(name)) return `${name} comes twice`;
      pseudo.set(name, value);
      continue;
    }
    isPastPseudo = true;
    if (!isName(name)) return `header name ${JSON.stringify(name)} is not a lower-case token`;
    if (CONNECTION_SPECIFIC.has(name)) return `header ${name} is specific to one HTTP/1 connection`;
    if (name === 'te' && value !== 'trailers') return 'header te may only say trailers';
    if (name === 'content-length') {
      if (!/^[0-9]{1,15}$/.test(value)) return `content-length ${JSON.stringify(value)} is not a length`;
      if (contentLength >= 0) return 'content-length comes twice';
      contentLength = Number(value);
    } else if (name === 'host') {
      if (host !== undefined) return 'host comes twice';
      host = value;
    }
  }
  if (kind === 'trailers') return { method: '', status: 0, contentLength: -1 };
  if (kind === 'response') return responseFacts(pseudo.get(':status'), contentLength);
  const problem = requestProblem(pseudo, host);
  return problem ?? { method: pseudo.get(':method')!, status: 0, contentLength };
}

function responseFacts(status: string | undefined, contentLength: number): HeaderFacts | string {
  if (status === undefined) return 'a response without :status';
  if (!/^[1-9][0-9]{2}$/.test(status)) return `:status ${JSON.stringify(status)} is not a status code`;
  if (status === '101') return ':status 101 does not exist in HTTP/2';
  return { method: '', status: Number(status), contentLength };
}

function requestProblem(pseudo: ReadonlyMap<string, string>, host: string | undefined): string | undefined {
  const method = pseudo.get(':method');
  const scheme = pseudo.get(':scheme');
  const authority = pseudo.get(':authority');
  const path = pseudo.get(':path');
  if (method === undefined || method === '') return 'a request without :method';
  if (host !== undefined && authority !== undefined && host.toLowerCase() !== authority.toLowerCase()) return ':authority and host differ';
  if (method === 'CONNECT') return scheme === undefined && path === undefined ? undefined : 'CONNECT with :scheme or :path';
  if (scheme === undefined || scheme === '') return 'a request without :scheme';
  if (path === undefined || path === '') return 'a request without :path';
  if (scheme !== 'http' && scheme !== 'https') return undefined;
  if (authority?.includes('@')) return ':authority holds user information';
  if (!path.startsWith('/') && !(path === '*' && method === 'OPTIONS')) return `:path ${JSON.stringify(path)} is not a path`;
  return undefined;
}

function isName(name: string): boolean {
  if (name === '') return false;
  for (let at = 0; at < name.length; at++) if (NAME_CHARACTERS[name.charCodeAt(at)] !== 1) return false;
  return true;
}

function valueProblem(value: string): string | undefined {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === 0 || code === 10 || code === 13) return 'its value holds NUL, CR or LF';
  }
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  return first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09 ? 'its value begins or ends with white space' : undefined;
}
