/** A throw-away mesh PKI for measurements: one root, leaf certificates with SPIFFE names, P-256 throughout. */
import 'reflect-metadata';
import fs from 'node:fs';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import type { Credentials } from './envoy.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 86_400_000;

export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

export async function makeAuthority(): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=cluster.local',
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + DAY),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return { certificate, keys };
}

/** Writes the root certificate and its key, for the authority's own process. */
export async function writeAuthority(authority: Authority, folder: string): Promise<void> {
  fs.writeFileSync(path.join(folder, 'root.crt'), authority.certificate.toString('pem'));
  fs.writeFileSync(
    path.join(folder, 'root.key'),
    x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', authority.keys.privateKey), 'PRIVATE KEY'),
    { mode: 0o600 },
  );
}

export async function readAuthority(folder: string): Promise<Authority> {
  const certificate = new x509.X509Certificate(fs.readFileSync(path.join(folder, 'root.crt'), 'utf8'));
  const der = x509.PemConverter.decodeFirst(fs.readFileSync(path.join(folder, 'root.key'), 'utf8'));
  const privateKey = await crypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  return { certificate, keys: { privateKey, publicKey: await certificate.publicKey.export() } };
}

/** Signs a leaf for the given key: client and server use, the names given. */
export function sign(
  authority: Authority,
  publicKey: x509.PublicKeyType,
  names: readonly { readonly type: 'url' | 'dns' | 'ip'; readonly value: string }[],
): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.create({
    issuer: authority.certificate.subject,
    publicKey,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + DAY),
    extensions: [
      new x509.SubjectAlternativeNameExtension([...names], true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
}

/** Writes certificate, key and root of one identity as PEM files readable by any user (they live for one measurement). */
export async function writeCredentials(
  authority: Authority,
  folder: string,
  name: string,
  names: Parameters<typeof sign>[2],
): Promise<Credentials> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const leaf = await sign(authority, keys.publicKey, names);
  const files = { cert: path.join(folder, `${name}.crt`), key: path.join(folder, `${name}.key`), root: path.join(folder, 'root.crt') };
  fs.writeFileSync(files.cert, leaf.toString('pem'));
  fs.writeFileSync(files.key, x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY'));
  fs.writeFileSync(files.root, authority.certificate.toString('pem'));
  return files;
}
