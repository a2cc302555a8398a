/** Revocation lists signed by a lab's authority, and what is revoked. */
import 'reflect-metadata';
import fs from 'node:fs';
import * as x509 from '@peculiar/x509';
import { dial, type Peer } from './apps.ts';
import type { Pod } from './network.ts';

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

/** As a mounted ConfigMap is exchanged: a new file in the place of the old one. */
export function exchangeFile(file: string, text: string): void {
  fs.writeFileSync(`${file}.new`, text);
  fs.renameSync(`${file}.new`, file);
}

/** A connection to an echo that has answered once. */
export async function connectTo(server: Pod, from: Pod): Promise<Peer> {
  const peer = dial(from, server.ip, 8080);
  await peer.connected.promise;
  peer.send('hello');
  await peer.bytes(5);
  return peer;
}
