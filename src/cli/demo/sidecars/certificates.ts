import 'reflect-metadata';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import type { SidecarFiles } from './envoy-config.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const BACKDATE_MS = 60_000;
const LIFE_MS = 86_400_000;

const makeKeys = (): Promise<CryptoKeyPair> => crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

/** Writes a root and a certificate per identity into `folder`, as Istio's agent would hand them to each sidecar; they last a day. */
export const writeCertificates = async (folder: string, identities: readonly string[]): Promise<ReadonlyMap<string, SidecarFiles>> => {
  const validity = { notBefore: new Date(Date.now() - BACKDATE_MS), notAfter: new Date(Date.now() + LIFE_MS) };
  const rootKeys = await makeKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=cluster.local',
    keys: rootKeys,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const rootFile = join(folder, 'root.crt');
  writeFileSync(rootFile, root.toString('pem'));
  const files = new Map<string, SidecarFiles>();
  for (const [index, identity] of identities.entries()) {
    const keys = await makeKeys();
    const leaf = await x509.X509CertificateGenerator.create({
      issuer: root.subject,
      publicKey: keys.publicKey,
      signingKey: rootKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...validity,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: identity }], true),
      ],
    });
    const made = { certificate: join(folder, `${index}.crt`), key: join(folder, `${index}.key`), root: rootFile };
    writeFileSync(made.certificate, leaf.toString('pem'));
    const der = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
    writeFileSync(made.key, x509.PemConverter.encode(der, 'PRIVATE KEY'), { mode: 0o600 });
    files.set(identity, made);
  }
  return files;
};
