/** A workload's certificate as the CA gave it, checked and ready for TLS. */
import type { TLSOptions } from 'bun';
import { formatIdentity, parseIdentity } from '../../mesh/index.ts';
import { meshTls, type TlsLimits } from '../../platform/net/index.ts';
import { type Certificate, readCertificateDer } from '../../protocol/index.ts';

/** What `/config_dump` shows of one certificate. */
export interface CertificateSummary {
  readonly pem: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

export interface WorkloadCertificate {
  readonly identity: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly chain: readonly CertificateSummary[];
  readonly roots: readonly CertificateSummary[];
  /** For the server side of tunnels: client certificates are required and verified. */
  readonly serverTls: TLSOptions;
  /** For the client side. The name is checked by hand against the SPIFFE identities expected. */
  readonly clientTls: TLSOptions;
}

export const ALPN_H2 = 'h2';
/** In the form of a TLS extension. */
export const ALPN_PROTOCOLS = Buffer.from(`\x02${ALPN_H2}`);
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A certificate as it travels between processes of one proxy: leaf, intermediates and last the roots, as the CA gave them, and the key. */
export interface CertificateParts {
  readonly chain: readonly string[];
  readonly key: string;
}

const seconds = (time: number): string => new Date(time).toISOString().replace('.000Z', 'Z');

/** Throws with what is wrong with it. */
function parse(pem: string): Certificate {
  const parsed = readCertificateDer(Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64'));
  if (!parsed.ok) throw new Error(`the CA sent a certificate that cannot be read: ${parsed.error}`);
  return parsed.value;
}

const summarize = (pem: string): CertificateSummary => {
  const { serialNumber, notBefore, notAfter } = parse(pem);
  return {
    pem: Buffer.from(`${pem}\n`).toString('base64'),
    serialNumber: serialNumber.toString(),
    validFrom: seconds(notBefore),
    expirationTime: seconds(notAfter),
  };
};

/**
 * Checks a CA's answer: leaf first, then intermediates, last the roots (which may be several). Throws with the reason when it cannot be used.
 * `expectedIdentity` undefined accepts the identity the CA chose (dedicated mode). `limits`: what TLS may be spoken with it.
 */
export function readCertificate(
  chain: readonly string[],
  keyPem: string,
  expectedIdentity: string | undefined,
  limits: TlsLimits = meshTls('none'),
): WorkloadCertificate {
  if (chain.length < 2) throw new Error('the CA sent no root certificate: cert_chain needs the leaf first and the root last');
  const leafPem = chain[0]!.match(PEM_BLOCK)?.[0];
  if (leafPem === undefined) throw new Error('the CA sent a leaf that is not a PEM certificate');
  const leaf = parse(leafPem);
  const identity = leaf.uris.map(parseIdentity).find((one) => one !== undefined);
  if (identity === undefined) throw new Error('the certificate of the CA has no SPIFFE identity');
  const uri = formatIdentity(identity);
  if (expectedIdentity !== undefined && uri !== expectedIdentity) throw new Error(`the CA signed ${uri} instead of ${expectedIdentity}`);
  const intermediates = chain.slice(1, -1).flatMap((text) => text.match(PEM_BLOCK) ?? []);
  const roots = chain[chain.length - 1]!.match(PEM_BLOCK) ?? [];
  if (roots.length === 0) throw new Error('the CA sent a root that is not a PEM certificate');
  const common: TLSOptions = {
    cert: [leafPem, ...intermediates].join('\n'),
    key: keyPem,
    ca: roots.join('\n'),
    ...limits,
    ALPNProtocols: ALPN_PROTOCOLS,
  };
  return {
    identity: uri,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    chain: [leafPem, ...intermediates].map(summarize),
    roots: [...roots].map(summarize),
    serverTls: { ...common, requestCert: true, rejectUnauthorized: true },
    clientTls: { ...common, rejectUnauthorized: false },
  };
}

const pemOf = ({ pem }: CertificateSummary): string => Buffer.from(pem, 'base64').toString();

export const splitCertificate = ({ chain, roots, serverTls }: WorkloadCertificate): CertificateParts => ({
  chain: [...chain.map(pemOf), roots.map(pemOf).join('')],
  // `readCertificate` put it there as the text it was given.
  key: serverTls.key as string,
});

/** The same certificate in another process. Throws when it is none for `identity`. */
export const joinCertificate = (identity: string, { chain, key }: CertificateParts, limits?: TlsLimits): WorkloadCertificate =>
  readCertificate(chain, key, identity, limits);
