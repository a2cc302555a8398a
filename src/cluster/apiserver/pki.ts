import 'reflect-metadata';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 24 * 60 * 60 * 1000;
const CA_LIFETIME = 3650 * DAY;
const SERVING_LIFETIME = 365 * DAY;

export interface Pki {
  readonly caCertificate: string;
  readonly servingCertificate: string;
  readonly servingKey: string;
  readonly serviceAccountKey: string;
}

/** Writes a file so that a crash leaves the old one or the new one, never half of it. */
export function writeSecret(path: string, content: string): void {
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, content, { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}

/** A random token kept in a file; made on first use. */
export function secretFile(path: string): string {
  if (existsSync(path)) {
    const token = readFileSync(path, 'utf8').trim();
    if (token !== '') return token;
  }
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url');
  writeSecret(path, `${token}\n`);
  return token;
}

/** The cluster CA and the keys of the API server, from `<stateDir>/pki`, made on first start. The serving certificate is new at each start. */
export async function loadPki(stateDir: string, names: readonly string[], now: number): Promise<Pki> {
  x509.cryptoProvider.set(crypto);
  const directory = join(stateDir, 'pki');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(directory, name);
  if (!existsSync(path('ca.crt')) || !existsSync(path('ca.key'))) {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: 'CN=lateen-cluster-ca',
      notBefore: new Date(now - 60_000),
      notAfter: new Date(now + CA_LIFETIME),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 1, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    writeSecret(path('ca.key'), await exportKey(keys.privateKey));
    writeSecret(path('ca.crt'), `${certificate.toString('pem')}\n`);
    chmodSync(path('ca.crt'), 0o644);
  }
  if (!existsSync(path('sa.key'))) {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    writeSecret(path('sa.key'), await exportKey(keys.privateKey));
  }
  const caCertificate = readFileSync(path('ca.crt'), 'utf8');
  const caKey = await importKey(readFileSync(path('ca.key'), 'utf8'));
  const serving = await issueServing(caCertificate, caKey, names, now);
  return { caCertificate, ...serving, serviceAccountKey: readFileSync(path('sa.key'), 'utf8') };
}

async function issueServing(caCertificate: string, caKey: CryptoKey, names: readonly string[], now: number) {
  const ca = new x509.X509Certificate(caCertificate);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=kube-apiserver',
    issuer: ca.subject,
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + SERVING_LIFETIME),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: caKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((name) => ({ type: /^[\d.]+$|:/.test(name) ? ('ip' as const) : ('dns' as const), value: name })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
    ],
  });
  return { servingCertificate: `${certificate.toString('pem')}\n`, servingKey: await exportKey(keys.privateKey) };
}

const serial = (): string => `01${Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString('hex')}`;

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

function importKey(pem: string): Promise<CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return crypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}
