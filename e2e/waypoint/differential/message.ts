/**
 * Reads the HTTP/1.x messages the proxies write. Written for this test alone and strict to the letter, so that it shares no mistake with the codec under
 * test: what it cannot read is `malformed`, and that is an outcome like any other.
 */
export interface Message {
  readonly startLine: string;
  /** Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly framing: 'none' | 'length' | 'chunked' | 'until-close';
  readonly body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  /** Not all of the body came. */
  readonly isPartial: boolean;
  /** Behind the message. */
  readonly end: number;
}

export type Reading = Message | 'more' | { readonly malformed: string };

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.[01]$/;
const STATUS_LINE = /^HTTP\/1\.[01] [1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

type Fields = (readonly [name: string, value: string])[];

function readFields(lines: readonly string[]): Fields | string {
  const fields: Fields = [];
  for (const line of lines) {
    const match = FIELD.exec(line);
    if (match === null) return line;
    fields.push([match[1]!.toLowerCase(), match[2]!]);
  }
  return fields;
}

const valuesOf = (fields: Fields, name: string): string[] => fields.filter(([other]) => other === name).map(([, value]) => value);

/** `bytes` is one character per octet. `asked`: the method a response answers; undefined: it is a request. `isClosed`: nothing more will come. */
export function readMessage(bytes: string, from: number, asked: string | undefined, isClosed: boolean): Reading {
  const headEnd = bytes.indexOf('\r\n\r\n', from);
  if (headEnd < 0) return isClosed && bytes.length > from ? { malformed: bytes.slice(from, from + 200) } : 'more';
  const [startLine = '', ...lines] = bytes.slice(from, headEnd).split('\r\n');
  if (!(asked === undefined ? REQUEST_LINE : STATUS_LINE).test(startLine)) return { malformed: startLine.slice(0, 200) };
  const headers = readFields(lines);
  if (typeof headers === 'string') return { malformed: `field line ${headers.slice(0, 200)}` };
  const lengths = valuesOf(headers, 'content-length');
  const codings = valuesOf(headers, 'transfer-encoding');
  if (lengths.length + codings.length > 1) return { malformed: `framing by ${lengths.length} lengths and ${codings.length} codings` };
  if (codings.length === 1 && codings[0] !== 'chunked') return { malformed: `transfer-encoding ${codings[0]}` };
  if (lengths.length === 1 && !/^[0-9]+$/.test(lengths[0]!)) return { malformed: `content-length ${lengths[0]}` };

  const start = headEnd + 4;
  const status = asked === undefined ? 0 : Number(startLine.slice(9, 12));
  const isTunnel = status === 101 || (asked === 'CONNECT' && status >= 200 && status < 300);
  const isBodiless = asked === 'HEAD' || (status > 0 && status < 200) || status === 204 || status === 304;
  const base = { startLine, headers, trailers: [], isPartial: false };
  if (isTunnel) return { ...base, framing: 'none', body: '', end: start };
  if (isBodiless) return { ...base, framing: 'none', body: '', end: start };
  if (codings.length === 1) return readChunks(bytes, start, base, isClosed);
  if (lengths.length === 1) {
    const end = start + Number(lengths[0]);
    if (bytes.length >= end) return { ...base, framing: 'length', body: bytes.slice(start, end), end };
    return isClosed ? { ...base, framing: 'length', body: bytes.slice(start), isPartial: true, end: bytes.length } : 'more';
  }
  if (asked === undefined) return { ...base, framing: 'none', body: '', end: start };
  return isClosed ? { ...base, framing: 'until-close', body: bytes.slice(start), end: bytes.length } : 'more';
}

type Base = Pick<Message, 'startLine' | 'headers' | 'trailers' | 'isPartial'>;

function readChunks(bytes: string, start: number, base: Base, isClosed: boolean): Reading {
  let body = '';
  let at = start;
  const cut = (): Reading => (isClosed ? { ...base, framing: 'chunked', body, isPartial: true, end: bytes.length } : 'more');
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return cut();
    const size = bytes.slice(at, lineEnd);
    if (!/^[0-9a-fA-F]+$/.test(size)) return { malformed: `chunk size ${JSON.stringify(size.slice(0, 100))}` };
    const length = Number.parseInt(size, 16);
    at = lineEnd + 2;
    if (length === 0) break;
    if (bytes.length < at + length + 2) return cut();
    if (bytes.slice(at + length, at + length + 2) !== '\r\n') return { malformed: 'no line end behind a chunk' };
    body += bytes.slice(at, at + length);
    at += length + 2;
  }
  if (bytes.startsWith('\r\n', at)) return { ...base, framing: 'chunked', body, end: at + 2 };
  const end = bytes.indexOf('\r\n\r\n', at);
  if (end < 0) return cut();
  const trailers = readFields(bytes.slice(at, end).split('\r\n'));
  if (typeof trailers === 'string') return { malformed: `trailer line ${trailers.slice(0, 200)}` };
  return { ...base, framing: 'chunked', body, trailers, end: end + 4 };
}
