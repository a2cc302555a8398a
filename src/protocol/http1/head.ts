import { latin1 } from '../bytes.ts';
import type { HeaderList } from '../http2/types.ts';
import { isAuthority, targetProblem } from './authority.ts';
import { type ConnectionOptions, readConnection } from './connection.ts';
import type { FieldLines } from './field-lines.ts';
import { Field, NAMES } from './names.ts';
import { HTAB, SP } from './octets.ts';
import type { StartLine } from './start-line.ts';
import type { BodyFraming, Http1Head } from './types.ts';
import { Violation } from './violation.ts';

type MutableHeaders = (readonly [name: string, value: string])[];

const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT'];

/**
 * Turns the octets of a head into its meaning. `asked` is the method of the request a response belongs to, and '' for a request. `start` and `fields`
 * hold where things are, from `base`; `end` is behind the head.
 */
export function readHead(
  bytes: Uint8Array,
  base: number,
  end: number,
  asked: string,
  start: StartLine,
  fields: FieldLines,
): Http1Head | Violation {
  const text = latin1(bytes, base, end);
  const isRequest = asked === '';
  const method = isRequest ? methodOf(bytes, base, start.methodEnd, text) : '';
  const status = start.status;
  const isConnect = isRequest && method === 'CONNECT';
  const isTunnel = !isRequest && (status === 101 || (asked === 'CONNECT' && status >= 200 && status < 300));
  const isBodiless = !isRequest && (status < 200 || status === 204 || isTunnel);
  // Whoever speaks HTTP/1.0 may take it for the final one.
  if (!isRequest && status < 200 && start.minorVersion === 0) return new Violation('bad-start-line', 'an interim response in HTTP/1.0');

  const headers: MutableHeaders = [];
  let connection: string | undefined;
  let te: string | undefined;
  let upgrade: string | undefined;
  let coding: string | undefined;
  let host: string | undefined;
  let contentLength = -1;
  let expectsContinue = false;
  const count = fields.count;
  for (let field = 0; field < count; field++) {
    const id = fields.idOf(field);
    const value = text.substring(fields.valueStartOf(field), fields.valueEndOf(field));
    if (id >= Field.FIRST_PLAIN) {
      headers.push([NAMES[id]!, value]);
      continue;
    }
    switch (id) {
      case -1:
        headers.push([text.substring(fields.nameStartOf(field), fields.nameEndOf(field)).toLowerCase(), value]);
        break;
      case Field.HOST: {
        if (!isRequest) {
          headers.push([NAMES[id]!, value]);
          break;
        }
        if (host !== undefined) return new Violation('bad-host', 'host comes twice');
        const from = base + fields.valueStartOf(field);
        const to = base + fields.valueEndOf(field);
        if (from !== to && !isAuthority(bytes, from, to)) return new Violation('bad-host', 'host is not a host with or without port');
        host = value;
        headers.push([NAMES[id]!, value]);
        break;
      }
      case Field.CONTENT_LENGTH: {
        if (contentLength >= 0) return new Violation('conflicting-length', 'content-length comes twice');
        contentLength = lengthOf(bytes, base + fields.valueStartOf(field), base + fields.valueEndOf(field));
        if (contentLength < 0 || hasTabBehind(bytes, base + fields.valueEndOf(field)))
          return new Violation('bad-content-length', 'content-length is not a length');
        if (!isBodiless && !isConnect) headers.push([NAMES[id]!, String(contentLength)]);
        break;
      }
      case Field.TRANSFER_ENCODING:
        if (hasTabBehind(bytes, base + fields.valueEndOf(field))) return new Violation('bad-transfer-encoding', 'a tab behind the coding');
        coding = joined(coding, value);
        break;
      case Field.CONNECTION:
        connection = joined(connection, value);
        break;
      case Field.UPGRADE:
        upgrade = joined(upgrade, value);
        break;
      case Field.TE:
        te = joined(te, value);
        break;
      case Field.EXPECT:
        if (start.minorVersion === 1 && value.toLowerCase() === '100-continue') expectsContinue = true;
        headers.push([NAMES[id]!, value]);
        break;
      default: // keep-alive and proxy-connection say nothing that `connection` does not
        break;
    }
  }

  const options = readConnection(connection);
  if (typeof options === 'string') return new Violation('bad-header-value', options);
  if (isRequest) {
    if (host === undefined && start.minorVersion === 1) return new Violation('bad-host', 'a request without host');
    const problem = targetProblem(bytes, base + start.methodEnd + 1, base + start.targetEnd, method, host);
    if (problem !== '') return new Violation(problem.startsWith('host') ? 'bad-host' : 'bad-target', problem);
  }
  if (!isTunnel || status === 101) {
    const problem = lengthProblem(start.minorVersion, coding, contentLength, isConnect || isBodiless);
    if (problem !== undefined) return problem;
  }
  const framing = isRequest
    ? requestFraming(isConnect, coding, contentLength)
    : isBodiless || status === 304 || asked === 'HEAD'
      ? 'none'
      : coding !== undefined
        ? 'chunked'
        : contentLength >= 0
          ? 'length'
          : 'until-close';
  const isUpgrade = options.isUpgrade && start.minorVersion === 1 && (isRequest || status === 101);
  return {
    minorVersion: start.minorVersion,
    method,
    target: isRequest ? text.substring(start.methodEnd + 1, start.targetEnd) : '',
    status,
    reason: isRequest ? '' : text.substring(start.reasonStart, start.reasonEnd),
    headers: options.named === undefined ? headers : without(headers, options.named),
    framing,
    contentLength: framing === 'length' ? contentLength : -1,
    isKeptAlive: !isTunnel && framing !== 'until-close' && isKept(start.minorVersion, options),
    upgrade: isUpgrade && upgrade !== undefined ? upgrade : '',
    acceptsTrailers: te !== undefined && hasTrailers(te),
    expectsContinue,
  };
}

function requestFraming(isConnect: boolean, coding: string | undefined, contentLength: number): BodyFraming {
  if (coding !== undefined) return 'chunked';
  return contentLength >= 0 && !isConnect ? 'length' : 'none';
}

/** RFC 9112 sections 6.1 to 6.3. `isBodiless`: the message can have no body whatever its fields say (1xx, 204, a CONNECT request). */
function lengthProblem(minor: 0 | 1, coding: string | undefined, contentLength: number, isBodiless: boolean): Violation | undefined {
  if (coding !== undefined) {
    if (contentLength >= 0) return new Violation('conflicting-length', 'transfer-encoding with content-length');
    if (minor === 0) return new Violation('bad-transfer-encoding', 'transfer-encoding in HTTP/1.0');
    if (isBodiless) return new Violation('bad-transfer-encoding', 'transfer-encoding where there can be no body');
    return codingProblem(coding);
  }
  if (isBodiless && contentLength > 0) return new Violation('bad-content-length', 'content-length where there can be no body');
  return undefined;
}

/** Only `chunked`, once and alone. A coding this codec does not undo is 501 (RFC 9112 section 6.1); chunked in the wrong place is malformed. */
function codingProblem(coding: string): Violation | undefined {
  const codings = coding.toLowerCase();
  if (codings === 'chunked') return undefined;
  const list = codings.split(',').map((element) => element.trim());
  const chunkedAt = list.findIndex((element) => element.startsWith('chunked'));
  const isMisplaced = chunkedAt >= 0 && chunkedAt < list.length - 1;
  if (isMisplaced || list.includes('') || list.some((element) => element.startsWith('chunked') && element !== 'chunked'))
    return new Violation('bad-transfer-encoding', 'chunked is not the last coding, once and without parameters');
  return new Violation('bad-transfer-encoding', 'a transfer coding other than chunked', 501);
}

/** Digits only, up to 2^53 - 1; -1 for all else. A list of equal lengths (RFC 9110 section 8.6) is no length either. */
function lengthOf(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return -1;
  let length = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
    if (length > Number.MAX_SAFE_INTEGER) return -1;
  }
  return length;
}

/**
 * Whether there is a tab in the white space behind a value. It is legal there, but llhttp, and so every program on Node, does not take it off these two
 * fields and finds another end of the body.
 */
function hasTabBehind(bytes: Uint8Array, valueEnd: number): boolean {
  let at = valueEnd;
  while (bytes[at] === SP) at++;
  return bytes[at] === HTAB;
}

function methodOf(bytes: Uint8Array, base: number, length: number, text: string): string {
  const first = bytes[base];
  for (const method of METHODS) if (method.length === length && method.charCodeAt(0) === first && text.startsWith(method)) return method;
  return text.substring(0, length);
}

const joined = (before: string | undefined, value: string): string => (before === undefined ? value : `${before}, ${value}`);

const isKept = (minor: 0 | 1, options: ConnectionOptions): boolean => !options.isClose && (minor === 1 || options.isKeepAlive);

const hasTrailers = (te: string): boolean =>
  te === 'trailers' || te.split(',').some((element) => element.trim().toLowerCase() === 'trailers');

const without = (headers: MutableHeaders, named: ReadonlySet<string>): HeaderList => headers.filter(([name]) => !named.has(name));

/** Framing and routing in trailers is somebody's attempt to change a message behind who has read its head: refused. */
const REFUSED_TRAILERS: ReadonlySet<string> = new Set(['content-length', 'host', 'transfer-encoding']);
/** What RFC 9110 section 6.5.1 forbids else, and what concerns one connection: dropped, as that section allows. */
const DROPPED_TRAILERS: ReadonlySet<string> = new Set(
  `age authorization cache-control connection content-encoding content-range content-type cookie date expect expires if-match if-modified-since
   if-none-match if-range if-unmodified-since keep-alive location max-forwards pragma proxy-authenticate proxy-authorization proxy-connection range
   retry-after set-cookie te trailer upgrade vary www-authenticate`.split(/\s+/),
);

/** The trailers at `base`, without those that may not be there. */
export function readTrailers(bytes: Uint8Array, base: number, end: number, fields: FieldLines): HeaderList | Violation {
  const text = latin1(bytes, base, end);
  const trailers: MutableHeaders = [];
  for (let field = 0; field < fields.count; field++) {
    const id = fields.idOf(field);
    const name = id >= 0 ? NAMES[id]! : text.substring(fields.nameStartOf(field), fields.nameEndOf(field)).toLowerCase();
    if (REFUSED_TRAILERS.has(name)) return new Violation('bad-trailer', `${name} in trailers`);
    if (!DROPPED_TRAILERS.has(name)) trailers.push([name, text.substring(fields.valueStartOf(field), fields.valueEndOf(field))]);
  }
  return trailers;
}
