/** What this mesh asks of an X.509 certificate (RFC 5280), read from DER. Nothing is verified here: signatures and chains are the TLS library's. */
import { latin1 } from '../bytes.ts';
import type { Result } from '../result.ts';

export interface Certificate {
  readonly serialNumber: bigint;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Subject alternative names, as they stand there. */
  readonly dnsNames: readonly string[];
  readonly uris: readonly string[];
  /** Four octets each, or sixteen. */
  readonly addresses: readonly Uint8Array[];
}

/** A certificate larger than this is refused. */
export const CERTIFICATE_LIMIT = 64 * 1024;

const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
} as const;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const URI = 0x86;
const ADDRESS = 0x87;
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = '\x55\x1d\x11';

class DerError extends Error {}

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** The elements of a constructed value, one after the other. */
class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(): Element {
    const tag = this.#octet();
    if ((tag & 0x1f) === 0x1f) throw new DerError('a tag has more than one octet');
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) throw new DerError('an element is longer than what holds it');
    this.#at += length;
    return { tag, content: this.#bytes.subarray(this.#at - length, this.#at) };
  }

  expect(tag: number, what: string): Uint8Array {
    const element = this.next();
    if (element.tag !== tag) throw new DerError(`${what} is missing`);
    return element.content;
  }

  /** The next element when it has this tag. */
  optional(tag: number): Uint8Array | undefined {
    return this.#bytes[this.#at] === tag ? this.next().content : undefined;
  }

  #length(): number {
    const first = this.#octet();
    if (first < 0x80) return first;
    const octets = first & 0x7f;
    if (octets === 0 || octets > 3) throw new DerError('a length has no proper form');
    let length = 0;
    for (let i = 0; i < octets; i++) length = length * 256 + this.#octet();
    return length;
  }

  #octet(): number {
    const octet = this.#bytes[this.#at++];
    if (octet === undefined) throw new DerError('it ends too early');
    return octet;
  }
}

/** The error says what is wrong with the bytes. */
export function readCertificateDer(der: Uint8Array): Result<Certificate, string> {
  if (der.length > CERTIFICATE_LIMIT) return { ok: false, error: `a certificate has more than ${CERTIFICATE_LIMIT} bytes` };
  try {
    return { ok: true, value: read(der) };
  } catch (error) {
    if (error instanceof DerError) return { ok: false, error: `not an X.509 certificate: ${error.message}` };
    throw error;
  }
}

function read(der: Uint8Array): Certificate {
  const outer = new DerReader(der);
  const certificate = new DerReader(outer.expect(Tag.SEQUENCE, 'the certificate'));
  if (!outer.isAtEnd) throw new DerError('something follows it');
  const signed = new DerReader(certificate.expect(Tag.SEQUENCE, 'its signed part'));
  signed.optional(VERSION);
  const serialNumber = integer(signed.expect(Tag.INTEGER, 'the serial number'));
  signed.expect(Tag.SEQUENCE, 'the signature algorithm');
  signed.expect(Tag.SEQUENCE, 'the issuer');
  const validity = new DerReader(signed.expect(Tag.SEQUENCE, 'the validity'));
  const notBefore = time(validity.next());
  const notAfter = time(validity.next());
  signed.expect(Tag.SEQUENCE, 'the subject');
  signed.expect(Tag.SEQUENCE, 'the public key');
  const names = { dnsNames: [] as string[], uris: [] as string[], addresses: [] as Uint8Array[] };
  while (!signed.isAtEnd) {
    const { tag, content } = signed.next();
    if (tag === EXTENSIONS) readNames(content, names);
  }
  return { serialNumber, notBefore, notAfter, ...names };
}

/** Two's complement. */
function integer(content: Uint8Array): bigint {
  if (content.length === 0 || content.length > 32) throw new DerError('the serial number has no proper length');
  let value = 0n;
  for (const octet of content) value = value * 256n + BigInt(octet);
  return BigInt.asIntN(content.length * 8, value);
}

const TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** RFC 5280 section 4.1.2.5: in UTC, with seconds; two digits of a year are of 1950 to 2049. */
function time({ tag, content }: Element): number {
  if (tag !== Tag.UTC_TIME && tag !== Tag.GENERALIZED_TIME) throw new DerError('a time is missing');
  const text = ascii(content);
  const full = tag === Tag.GENERALIZED_TIME ? text : `${Number(text.slice(0, 2)) < 50 ? 20 : 19}${text}`;
  const parts = TIME.exec(full);
  if (parts === null) throw new DerError('a time has no proper form');
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number) as [number, number, number, number, number, number];
  const milliseconds = Date.UTC(year, month - 1, day, hour, minute, second);
  // The 31st of February is no time.
  if (new Date(milliseconds).toISOString().replace(/[-:T]|\.000/g, '') !== full) throw new DerError('a time has no proper form');
  return milliseconds;
}

function readNames(content: Uint8Array, names: { dnsNames: string[]; uris: string[]; addresses: Uint8Array[] }): void {
  const extensions = new DerReader(new DerReader(content).expect(Tag.SEQUENCE, 'the list of extensions'));
  while (!extensions.isAtEnd) {
    const extension = new DerReader(extensions.expect(Tag.SEQUENCE, 'an extension'));
    const id = ascii(extension.expect(Tag.OID, 'the name of an extension'));
    extension.optional(Tag.BOOLEAN);
    const value = extension.expect(Tag.OCTET_STRING, 'the value of an extension');
    if (id !== SUBJECT_ALT_NAME) continue;
    const list = new DerReader(new DerReader(value).expect(Tag.SEQUENCE, 'the list of names'));
    while (!list.isAtEnd) {
      const name = list.next();
      if (name.tag === DNS_NAME) names.dnsNames.push(ascii(name.content));
      else if (name.tag === URI) names.uris.push(ascii(name.content));
      else if (name.tag === ADDRESS) names.addresses.push(name.content);
    }
  }
}

/** One character per octet: what is no ASCII matches no name. */
const ascii = (bytes: Uint8Array): string => latin1(bytes, 0, bytes.length);

/**
 * Whether a certificate is for a DNS name (RFC 9525 section 6.3: case does not matter, `*` stands for one whole leftmost label), or for an address given as
 * its octets. Subject alternative names only.
 */
export function isCertificateFor({ dnsNames, addresses }: Certificate, name: string | Uint8Array): boolean {
  if (typeof name !== 'string')
    return addresses.some((address) => address.length === name.length && address.every((octet, i) => octet === name[i]));
  const wanted = name.toLowerCase().replace(/\.$/, '');
  if (wanted === '') return false;
  const dot = wanted.indexOf('.');
  const parent = dot > 0 ? wanted.slice(dot) : undefined;
  return dnsNames.some((one) => {
    const presented = one.toLowerCase().replace(/\.$/, '');
    if (presented === wanted) return true;
    // `*.com` and the like are for nobody.
    return parent !== undefined && presented === `*${parent}` && parent.indexOf('.', 1) > 0;
  });
}
