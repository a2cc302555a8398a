import { REG_NAME, TOKEN } from './octets.ts';

/** Longest method detection knows; the longest registered one is UPDATEREDIRECTREF with 17 octets. */
const METHOD_BYTES = 24;
/** With this many octets `detectProtocol` never answers `more`: a method, a space and `https://`. */
export const DETECTION_BYTES = METHOD_BYTES + 1 + 'https://'.length;

export type DetectedProtocol = 'http1' | 'http2' | 'tls' | 'other' | 'more';

/** No HTTP/1 request says this; RFC 9113 section 3.4 keeps the method for it. */
const PREFACE = 'PRI * ';
const SP = 0x20;
const HYPHEN = 0x2d;
const SLASH = 0x2f;
const ASTERISK = 0x2a;

/**
 * Tells what a client speaks from its first octets, on as few as possible: `more` while they fit several answers, `other` as soon as they fit none. Only
 * for ports whose protocol nobody declared: HTTP/1 with a lower-case method, or with an empty line in front, counts as `other`.
 */
export function detectProtocol(prefix: Uint8Array): DetectedProtocol {
  if (prefix.length === 0) return 'more';
  if (prefix[0] === 0x16) return detectTls(prefix);
  let at = 0;
  while (at < prefix.length && isMethodOctet(prefix[at]!, at)) {
    if (++at > METHOD_BYTES) return 'other';
  }
  if (at === prefix.length) return 'more';
  if (at === 0 || prefix[at] !== SP) return 'other';
  if (startsWith(prefix, 0, 'PRI ') === 'yes') return detectPreface(prefix);
  return detectTarget(prefix, at + 1, startsWith(prefix, 0, 'CONNECT ') === 'yes');
}

/** Upper-case letters first, then also digits, `-` and `_`: every registered method, and no command of a protocol with lower-case commands. */
function isMethodOctet(octet: number, at: number): boolean {
  if (octet >= 0x41 && octet <= 0x5a) return true;
  return at > 0 && TOKEN[octet] === 1 && ((octet >= 0x30 && octet <= 0x39) || octet === HYPHEN || octet === 0x5f);
}

function detectPreface(prefix: Uint8Array): DetectedProtocol {
  const match = startsWith(prefix, 0, PREFACE);
  return match === 'yes' ? 'http2' : match === 'no' ? 'other' : 'more';
}

/** A record of type handshake, version 3.0 to 3.4, whose first message is a ClientHello (RFC 8446 section 5.1). */
function detectTls(prefix: Uint8Array): DetectedProtocol {
  if (prefix.length > 1 && prefix[1] !== 3) return 'other';
  if (prefix.length > 2 && prefix[2]! > 4) return 'other';
  if (prefix.length < 6) return 'more';
  return prefix[5] === 1 ? 'tls' : 'other';
}

/** A path, `*`, an http URI, or for CONNECT a host: other protocols have lines that begin with a word and a space, too. */
function detectTarget(prefix: Uint8Array, at: number, isConnect: boolean): DetectedProtocol {
  const first = prefix[at];
  if (first === undefined) return 'more';
  if (isConnect) return first === 0x5b || REG_NAME[first] === 1 ? 'http1' : 'other';
  if (first === SLASH) return 'http1';
  if (first === ASTERISK) return prefix.length === at + 1 ? 'more' : prefix[at + 1] === SP ? 'http1' : 'other';
  const http = startsWith(prefix, at, 'http://');
  const https = startsWith(prefix, at, 'https://');
  if (http === 'yes' || https === 'yes') return 'http1';
  return http === 'partly' || https === 'partly' ? 'more' : 'other';
}

function startsWith(bytes: Uint8Array, from: number, text: string): 'yes' | 'no' | 'partly' {
  const size = Math.min(bytes.length - from, text.length);
  for (let at = 0; at < size; at++) if (bytes[from + at] !== text.charCodeAt(at)) return 'no';
  return size === text.length ? 'yes' : 'partly';
}
