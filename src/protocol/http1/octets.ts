/** What octets may stand where, as tables: one look-up per octet, no regular expressions. */

const table = (allows: (octet: number) => boolean): Uint8Array => {
  const result = new Uint8Array(256);
  for (let octet = 0; octet < 256; octet++) if (allows(octet)) result[octet] = 1;
  return result;
};
const among = (characters: string) => (octet: number) => characters.includes(String.fromCharCode(octet));

const isAlphanumeric = among('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789');
const isToken = (octet: number): boolean => isAlphanumeric(octet) || among("!#$%&'*+-.^_`|~")(octet);

/** Token characters (RFC 9110 section 5.6.2). */
export const TOKEN = table(isToken);

/** Token characters to themselves in lower case, all else to 0. */
export const LOWER = TOKEN.map((isAllowed, octet) => (isAllowed === 0 ? 0 : String.fromCharCode(octet).toLowerCase().charCodeAt(0)));

/** Token characters without upper case. */
export const LOWER_TOKEN = TOKEN.map((isAllowed, octet) => (isAllowed === 1 && LOWER[octet] === octet ? 1 : 0));

/** Field values and reason phrases: visible ASCII, SP, HTAB and obs-text; no other control characters (RFC 9110 section 5.5). */
export const VALUE = table((octet) => octet === 0x09 || (octet >= 0x20 && octet !== 0x7f));

/**
 * Request targets: visible ASCII but `#`, since a target has no fragment. Wider than RFC 3986, which leaves out `"<>\^`{|}`: clients send them, every
 * parser reads them as themselves.
 */
export const TARGET = table((octet) => octet > 0x20 && octet < 0x7f && octet !== 0x23);

/** `reg-name` and IPv4 addresses (RFC 3986 section 3.2.2); no user information, no port, no IP literal. */
export const REG_NAME = table((octet) => isAlphanumeric(octet) || among("-._~%!$&'()*+,;=")(octet));

/** What stands between the brackets of an IP literal, IPvFuture and zones left out. */
export const IP_LITERAL = table(among('0123456789abcdefABCDEF:.'));

/** Value of a hexadecimal digit, 255 for all else. */
export const HEX = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;
