import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/** How a key signs, in WebCrypto's terms. */
export type SigningAlgorithm =
  | { readonly name: 'ECDSA'; readonly namedCurve: 'P-256' | 'P-384'; readonly hash: 'SHA-256' | 'SHA-384' }
  | { readonly name: 'RSASSA-PKCS1-v1_5'; readonly hash: 'SHA-256' };

export const P256: SigningAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const P384: SigningAlgorithm = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
const RSA: SigningAlgorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

export interface SigningKey {
  readonly key: CryptoKey;
  readonly algorithm: SigningAlgorithm;
  readonly keyObject: KeyObject;
}

/** A private key from PEM in any usual form (PKCS#8, PKCS#1, SEC1). */
export async function importSigningKey(pem: string): Promise<SigningKey> {
  const keyObject = createPrivateKey(pem);
  const algorithm = algorithmOf(keyObject);
  const der = keyObject.export({ type: 'pkcs8', format: 'der' });
  const key = await crypto.subtle.importKey('pkcs8', new Uint8Array(der), algorithm, false, ['sign']);
  return { key, algorithm, keyObject };
}

function algorithmOf(key: KeyObject): SigningAlgorithm {
  if (key.asymmetricKeyType === 'rsa') return RSA;
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType === 'ec' && (curve === 'prime256v1' || curve === 'P-256')) return P256;
  if (key.asymmetricKeyType === 'ec' && (curve === 'secp384r1' || curve === 'P-384')) return P384;
  throw new Error(`keys of type ${key.asymmetricKeyType} ${curve ?? ''} cannot sign certificates here; use RSA, P-256 or P-384`);
}

/** A fresh P-256 pair whose private key can be exported. */
export async function generateKeyPair(): Promise<CryptoKeyPair> {
  return (await crypto.subtle.generateKey(P256, true, ['sign', 'verify'])) as CryptoKeyPair; // an asymmetric algorithm gives a pair
}

export function toPem(label: string, der: ArrayBuffer | Uint8Array): string {
  const base64 = Buffer.from(der instanceof Uint8Array ? der : new Uint8Array(der)).toString('base64');
  return `-----BEGIN ${label}-----\n${base64.replace(/.{64}(?!$)/g, '$&\n')}\n-----END ${label}-----\n`;
}

/** Each certificate of a bundle as its own PEM text. */
export function splitCertificates(bundle: string): string[] {
  return [...bundle.matchAll(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g)].map((match) => `${match[0]}\n`);
}

/** Whether the private key belongs to the certificate. */
export const matchesCertificate = (key: KeyObject, certPem: string): boolean => new X509Certificate(certPem).checkPrivateKey(key);
