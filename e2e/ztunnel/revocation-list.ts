/** Revocation lists signed by a lab's authority. */
import 'reflect-metadata';
import fs from 'node:fs';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** In PEM. `serials` are decimal, as `/config_dump` shows them. */
export async function revocationList(lab: { readonly directory: string }, serials: readonly string[]): Promise<string> {
  const saved = JSON.parse(fs.readFileSync(`${lab.directory}/root.json`, 'utf8')) as { certificate: string; key: string };
  const signingKey = await crypto.subtle.importKey('pkcs8', Buffer.from(saved.key, 'base64'), algorithm, false, ['sign']);
  const list = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(saved.certificate).subject,
    thisUpdate: new Date(),
    nextUpdate: new Date(Date.now() + 60_000),
    entries: serials.map((serial) => ({ serialNumber: BigInt(serial).toString(16).padStart(2, '0'), revocationDate: new Date() })),
    signingKey,
    signingAlgorithm: algorithm,
  });
  return list.toString('pem').replaceAll(' CRL-', ' X509 CRL-');
}
