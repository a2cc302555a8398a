/**
 * Certificate revocation lists (RFC 5280 section 5) and chains held against them, as the ambient contract (1.2) asks: the whole chain is checked, what no list
 * speaks of is good, a list does not expire. A list speaks only of certificates of the issuer that signed it.
 */
import 'reflect-metadata';
import { createPublicKey, X509Certificate as NodeCertificate, verify } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A larger file is refused. */
export const CRL_LIMIT = 32 * 1024 * 1024;
/** Issuers a list was held against; a mesh has a handful. */
const MAX_KNOWN_ISSUERS = 256;

const ISSUING_DISTRIBUTION_POINT = '2.5.29.28';
/** `indirectCRL [4] BOOLEAN` of it. */
const INDIRECT = 0x84;
/** Older ones can be forged. */
const HASHES: Readonly<Record<string, string>> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' };

/** What of a certificate is compared. */
export interface CertificateFacts {
  readonly der: Uint8Array;
  readonly issuer: string;
  readonly subject: string;
  readonly serial: string;
}

const hexSerial = (text: string): string => text.toLowerCase().replace(/^0+(?=.)/, '');

export function factsOf(der: Uint8Array): CertificateFacts {
  const certificate = new x509.X509Certificate(der as Uint8Array<ArrayBuffer>);
  return { der, issuer: certificate.issuer, subject: certificate.subject, serial: hexSerial(certificate.serialNumber) };
}

export class RevocationList {
  readonly issuer: string;
  readonly #serials = new Set<string>();
  readonly #signed: Uint8Array;
  readonly #signature: Uint8Array;
  readonly #hash: string;
  /** By the issuer's certificate. */
  readonly #verified = new Map<string, boolean>();

  /** Throws with what is wrong with it. */
  constructor(der: Uint8Array) {
    const list = new x509.X509Crl(der as Uint8Array<ArrayBuffer>);
    const { name, hash } = list.signatureAlgorithm as { name: string; hash?: { name: string } };
    const known = HASHES[hash?.name ?? ''];
    if (known === undefined || name === 'RSA-PSS')
      throw new Error(
        `its signature algorithm ${name}${hash ? ` with ${hash.name}` : ''} is not supported: sign it with ECDSA or RSA and SHA-256 or better`,
      );
    for (const extension of list.extensions) {
      if (!extension.critical) continue;
      if (extension.type !== ISSUING_DISTRIBUTION_POINT) throw new Error(`its critical extension ${extension.type} is not supported`);
      if (isIndirect(new Uint8Array(extension.value)))
        throw new Error('it is an indirect list, which speaks of several issuers: not supported');
    }
    this.issuer = list.issuer;
    this.#hash = known;
    // Not in the library's types, though its own `verify` is made of them.
    const { tbs, signature } = list as unknown as { tbs: ArrayBuffer; signature: ArrayBuffer };
    this.#signed = new Uint8Array(tbs);
    this.#signature = new Uint8Array(signature);
    for (const { serialNumber } of list.entries) this.#serials.add(hexSerial(serialNumber));
  }

  get size(): number {
    return this.#serials.size;
  }

  /** Whether it says that `issuer` has taken `certificate` back. */
  revokes(certificate: CertificateFacts, issuer: CertificateFacts): boolean {
    return this.issuer === certificate.issuer && this.#serials.has(certificate.serial) && this.#isSignedBy(issuer);
  }

  #isSignedBy({ der }: CertificateFacts): boolean {
    const key = Buffer.from(der).toString('base64');
    const known = this.#verified.get(key);
    if (known !== undefined) return known;
    let isSigned = false;
    try {
      isSigned = verify(
        this.#hash,
        this.#signed,
        createPublicKey(new NodeCertificate(der).publicKey.export({ type: 'spki', format: 'pem' })),
        this.#signature,
      );
    } catch {
      // A key of another kind than the signature: not this issuer's list.
    }
    if (this.#verified.size >= MAX_KNOWN_ISSUERS) this.#verified.clear();
    this.#verified.set(key, isSigned);
    return isSigned;
  }
}

function isIndirect(value: Uint8Array): boolean {
  // SEQUENCE of short elements; the flag is one of them.
  for (let at = 2; at + 2 < value.length; at += 2 + value[at + 1]!) if (value[at] === INDIRECT) return value[at + 2] !== 0;
  return false;
}

const PEM_LIST = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g;

/** The lists of a file in PEM (other blocks are passed over) or DER. An empty file revokes nobody. Throws with which of them is wrong, and why. */
export function readRevocationLists(data: Uint8Array): RevocationList[] {
  if (data.length > CRL_LIMIT) throw new Error(`it has more than ${CRL_LIMIT} bytes`);
  const text = Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1');
  if (text.trim() === '') return [];
  const isPem = text.trimStart().startsWith('-----BEGIN');
  const ders = isPem ? [...text.matchAll(PEM_LIST)].map(([, base64]) => new Uint8Array(Buffer.from(base64!, 'base64'))) : [data];
  if (isPem && ders.length < (text.match(/-----BEGIN X509 CRL-----/g)?.length ?? 0)) throw new Error('a PEM block of it has no end');
  return ders.map((der, index) => {
    try {
      return new RevocationList(der);
    } catch (error) {
      throw new Error(`list ${index + 1} of ${ders.length}: ${(error as Error).message}`);
    }
  });
}

/** Which certificate of a verified chain (leaf first, root last) was revoked; undefined when none was. */
export function revokedIn(chain: readonly CertificateFacts[], lists: readonly RevocationList[]): CertificateFacts | undefined {
  for (let i = 0; i + 1 < chain.length; i++) {
    const certificate = chain[i]!;
    for (const list of lists) if (list.revokes(certificate, chain[i + 1]!)) return certificate;
  }
  return undefined;
}
