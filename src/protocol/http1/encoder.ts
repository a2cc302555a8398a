import type { HeaderList } from '../http2/types.ts';
import { LOWER_TOKEN, TARGET, TOKEN, VALUE } from './octets.ts';
import type { BodyFraming } from './types.ts';

/** What a head says about its connection and its body, in either direction. */
export interface Http1HeadOptions {
  /**
   * End-to-end fields, names in lower case. Fields that concern one connection are left out here as the parser leaves them out, so that none of them gets
   * through from another protocol or a filter: connection, keep-alive, proxy-connection, transfer-encoding, upgrade, te.
   */
  readonly headers: HeaderList;
  /**
   * `length`: content-length is written with `contentLength`, in place of one in `headers` if there is one. `chunked`, and `until-close` (responses only):
   * a content-length in `headers` is left out. `none`: the same in a request, while a response keeps it, since it says what a GET would have had (HEAD, 304).
   * A response that is not without body by its nature (HEAD, 1xx, 204, 304) must not say `none`.
   */
  readonly framing: BodyFraming;
  /** Octets of the body with framing `length`, else not read. */
  readonly contentLength: number;
  /** `until-close` always closes. */
  readonly connection: 'keep-alive' | 'close' | 'upgrade';
  /** Value of the upgrade field with `upgrade`, else not read. */
  readonly upgrade: string;
  /** Of the message: in HTTP/1.0 there is no chunked coding and no upgrade, and a connection closes unless it says `keep-alive`. */
  readonly minorVersion: 0 | 1;
}

export interface Http1RequestOptions extends Http1HeadOptions {
  readonly method: string;
  readonly target: string;
  /** Says `te: trailers`. */
  readonly acceptsTrailers: boolean;
}

export interface Http1ResponseOptions extends Http1HeadOptions {
  readonly status: number;
  /** May be empty. `STATUS_REASONS` has the registered ones. */
  readonly reason: string;
}

const FIRST_SCRATCH = 16 * 1024;
let scratch = new Uint8Array(FIRST_SCRATCH);
/** Where the next octet goes. Kept beside `scratch`, since only one head is written at a time. */
let filled = 0;

/**
 * Writes a request head. The answer is valid until the next head or trailers are encoded. Throws a TypeError for what cannot be sent, so that nothing in
 * a name or a value can begin another line: names that are not lower-case tokens, control characters and characters above U+00FF in values, targets
 * with white space, controls or `#`, none or several `host` (HTTP/1.0 may do without), a body that lasts until the end.
 */
export function encodeRequestHead(head: Http1RequestOptions): Uint8Array {
  if (head.framing === 'until-close') throw new TypeError('a request cannot last until its connection closes');
  filled = 0;
  token(head.method, 'method');
  literal(' ');
  if (head.target === '') throw new TypeError('the request target is empty');
  checked(head.target, TARGET, 'request target');
  literal(head.minorVersion === 1 ? ' HTTP/1.1\r\n' : ' HTTP/1.0\r\n');
  const hosts = fields(head, false);
  if (hosts > 1 || (hosts === 0 && head.minorVersion === 1)) throw new TypeError(`a request with ${hosts} host fields`);
  connectionLines(head, head.acceptsTrailers);
  literal('\r\n');
  return scratch.subarray(0, filled);
}

/** Writes a response head, final or interim. The answer is valid until the next head or trailers are encoded. Throws as `encodeRequestHead` does. */
export function encodeResponseHead(head: Http1ResponseOptions): Uint8Array {
  const status = head.status;
  if (!Number.isInteger(status) || status < 100 || status > 999) throw new TypeError(`${status} is not a status code`);
  filled = 0;
  literal(head.minorVersion === 1 ? 'HTTP/1.1 ' : 'HTTP/1.0 ');
  literal(String(status));
  literal(' ');
  checked(head.reason, VALUE, 'reason phrase');
  literal('\r\n');
  fields(head, head.framing === 'none' && status >= 200 && status !== 204);
  connectionLines(head, false);
  literal('\r\n');
  return scratch.subarray(0, filled);
}

const chunkHead = new Uint8Array(16);

/** The size line in front of a chunk's data; `CHUNK_END` follows the data. Valid until the next chunk head. Throws a RangeError for 0, which would end the body. */
export function encodeChunkHead(length: number): Uint8Array {
  if (!Number.isSafeInteger(length) || length <= 0) throw new RangeError(`a chunk of ${length} octets`);
  let at = chunkHead.length;
  chunkHead[--at] = 0x0a;
  chunkHead[--at] = 0x0d;
  for (let left = length; left > 0; left = Math.floor(left / 16)) {
    const digit = left % 16;
    chunkHead[--at] = digit < 10 ? 0x30 + digit : 0x57 + digit;
  }
  return chunkHead.subarray(at);
}

/** Behind the data of each chunk. */
export const CHUNK_END: Uint8Array = Uint8Array.of(0x0d, 0x0a);

const LAST_CHUNK = Uint8Array.of(0x30, 0x0d, 0x0a, 0x0d, 0x0a);

/** The last chunk and the trailers, which end a chunked body. Valid until the next head or trailers are encoded. Throws a TypeError as heads do. */
export function encodeLastChunk(trailers: HeaderList): Uint8Array {
  if (trailers.length === 0) return LAST_CHUNK;
  filled = 0;
  literal('0\r\n');
  for (const [name, value] of trailers) {
    const kind = kindOf(name);
    if (kind === Kind.PLAIN) field(name, value);
    else if (kind !== Kind.CONNECTION) throw new TypeError(`${name} in trailers`);
  }
  literal('\r\n');
  return scratch.subarray(0, filled);
}

/** Writes `headers`; returns how often `host` came. */
function fields(head: Http1HeadOptions, keepsLength: boolean): number {
  const headers = head.headers;
  let hosts = 0;
  let hasLength = false;
  for (let at = 0; at < headers.length; at++) {
    const header = headers[at]!;
    const name = header[0];
    const kind = kindOf(name);
    if (kind === Kind.CONNECTION) continue;
    if (kind === Kind.HOST) hosts++;
    else if (kind === Kind.LENGTH) {
      if (hasLength || (head.framing !== 'length' && !keepsLength)) continue;
      hasLength = true;
      if (head.framing === 'length') {
        lengthField(head.contentLength);
        continue;
      }
    }
    field(name, header[1]);
  }
  if (head.framing === 'length' && !hasLength) lengthField(head.contentLength);
  return hosts;
}

function lengthField(length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) throw new TypeError(`a body of ${length} octets`);
  literal('content-length: ');
  literal(String(length));
  literal('\r\n');
}

function connectionLines(head: Http1HeadOptions, acceptsTrailers: boolean): void {
  const isModern = head.minorVersion === 1;
  if (head.framing === 'chunked') {
    if (!isModern) throw new TypeError('there is no chunked coding in HTTP/1.0');
    literal('transfer-encoding: chunked\r\n');
  }
  const te = acceptsTrailers ? ', te' : '';
  if (acceptsTrailers) literal('te: trailers\r\n');
  if (head.connection === 'upgrade' && head.framing !== 'until-close') {
    if (!isModern || head.upgrade === '') throw new TypeError('an upgrade needs HTTP/1.1 and a protocol');
    literal(`connection: upgrade${te}\r\n`);
    field('upgrade', head.upgrade);
  } else if (head.connection === 'close' || head.framing === 'until-close') {
    if (isModern) literal(`connection: close${te}\r\n`);
    else if (acceptsTrailers) literal('connection: te\r\n');
  } else if (!isModern) literal(`connection: keep-alive${te}\r\n`);
  else if (acceptsTrailers) literal('connection: te\r\n');
}

const Kind = { PLAIN: 0, CONNECTION: 1, LENGTH: 2, HOST: 3 } as const;

/** By length first: nearly every name differs from these in it, or in its first character. */
function kindOf(name: string): number {
  switch (name.length) {
    case 2:
      return name === 'te' ? Kind.CONNECTION : Kind.PLAIN;
    case 4:
      return name === 'host' ? Kind.HOST : Kind.PLAIN;
    case 7:
      return name === 'upgrade' ? Kind.CONNECTION : Kind.PLAIN;
    case 10:
      return name === 'connection' || name === 'keep-alive' ? Kind.CONNECTION : Kind.PLAIN;
    case 14:
      return name === 'content-length' ? Kind.LENGTH : Kind.PLAIN;
    case 16:
      return name === 'proxy-connection' ? Kind.CONNECTION : Kind.PLAIN;
    case 17:
      return name === 'transfer-encoding' ? Kind.CONNECTION : Kind.PLAIN;
    default:
      return Kind.PLAIN;
  }
}

function reserve(octets: number): void {
  if (filled + octets <= scratch.length) return;
  const larger = new Uint8Array(Math.max(scratch.length * 2, filled + octets));
  larger.set(scratch.subarray(0, filled));
  scratch = larger;
}

function field(name: string, value: string): void {
  reserve(name.length + value.length + 4);
  const bytes = scratch;
  let at = filled;
  if (name === '') throw new TypeError('an empty field name');
  for (let from = 0; from < name.length; from++) {
    const code = name.charCodeAt(from);
    // Upper case is refused with the rest: `kindOf` would not know such a name.
    if (code > 0xff || LOWER_TOKEN[code] === 0) throw new TypeError(`${JSON.stringify(name)} is not a lower-case field name`);
    bytes[at++] = code;
  }
  bytes[at] = 0x3a;
  bytes[at + 1] = 0x20;
  at += 2;
  for (let from = 0; from < value.length; from++) {
    const code = value.charCodeAt(from);
    if (code > 0xff || VALUE[code] === 0) throw new TypeError(`the value of ${name} holds a character that cannot be sent`);
    bytes[at++] = code;
  }
  bytes[at] = 0x0d;
  bytes[at + 1] = 0x0a;
  filled = at + 2;
}

function token(text: string, what: string): void {
  if (text === '') throw new TypeError(`an empty ${what}`);
  checked(text, TOKEN, what);
}

function checked(text: string, allowed: Uint8Array, what: string): void {
  reserve(text.length);
  const bytes = scratch;
  let at = filled;
  for (let from = 0; from < text.length; from++) {
    const code = text.charCodeAt(from);
    if (code > 0xff || allowed[code] === 0) throw new TypeError(`the ${what} holds a character that cannot be sent`);
    bytes[at++] = code;
  }
  filled = at;
}

/** Text of this file's own. */
function literal(text: string): void {
  reserve(text.length);
  for (let from = 0; from < text.length; from++) scratch[filled++] = text.charCodeAt(from);
}
