import 'reflect-metadata';
import { expect, test } from 'bun:test';
import * as x509 from '@peculiar/x509';
import { joinCertificate, readCertificate, splitCertificate } from './certificate.ts';
import { createSigningRequest } from './csr.ts';

const ID = 'spiffe://cluster.local/ns/default/sa/app';
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
const validity = { notBefore: new Date(Date.now() - 1000), notAfter: new Date(Date.now() + 60_000) };
const root = await x509.X509CertificateGenerator.createSelfSigned({ name: 'O=root', ...validity, keys, signingAlgorithm: algorithm });
const rootPem = root.toString('pem');

async function leafFor(name: string): Promise<{ leaf: string; key: string }> {
  const { csrPem, keyPem } = await createSigningRequest(name);
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: root.subject,
    ...validity,
    publicKey: new x509.Pkcs10CertificateRequest(csrPem).publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: name }])],
  });
  return { leaf: certificate.toString('pem'), key: keyPem };
}

test('a request has a good signature, no subject, and the identity as its one critical name', async () => {
  for (let i = 0; i < 20; i++) {
    // Signatures differ: short integers and leading zeros must all be written right.
    const request = new x509.Pkcs10CertificateRequest((await createSigningRequest(ID)).csrPem);
    expect(await request.verify()).toBe(true);
    expect(request.subject).toBe('');
    const extension = request.getExtension('2.5.29.17')!;
    expect(extension.critical).toBe(true);
    expect(new x509.SubjectAlternativeNameExtension(extension.rawData).names.items.map(({ value }) => value)).toEqual([ID]);
  }
});

test('an answer of leaf and root is ready for TLS on both sides', async () => {
  const { leaf, key } = await leafFor(ID);
  const certificate = readCertificate([leaf, rootPem], key, ID);
  expect(certificate.identity).toBe(ID);
  expect(certificate.chain).toHaveLength(1);
  expect(certificate.roots).toHaveLength(1);
  expect(certificate.serverTls).toMatchObject({ requestCert: true, rejectUnauthorized: true });
  expect(certificate.notAfter).toBeGreaterThan(Date.now());
});

test('several roots in the last entry are all trusted, which is how roots rotate', async () => {
  const { leaf, key } = await leafFor(ID);
  expect(readCertificate([leaf, `${rootPem}\n${rootPem}`], key, ID).roots).toHaveLength(2);
});

test('answers that cannot be used say why', async () => {
  const { leaf, key } = await leafFor(ID);
  const other = await leafFor('spiffe://cluster.local/ns/default/sa/other');
  const foreign = await leafFor('https://example.com/');
  expect(() => readCertificate([leaf], key, ID)).toThrow('no root certificate');
  expect(() => readCertificate([other.leaf, rootPem], other.key, ID)).toThrow(
    'signed spiffe://cluster.local/ns/default/sa/other instead of',
  );
  expect(() => readCertificate([foreign.leaf, rootPem], foreign.key, undefined)).toThrow('no SPIFFE identity');
  expect(() => readCertificate(['garbage', rootPem], key, ID)).toThrow('not a PEM certificate');
});

test('a certificate in parts is the same certificate in another process, and of no other identity', async () => {
  const { leaf, key } = await leafFor(ID);
  const certificate = readCertificate([leaf, rootPem, `${rootPem}\n${rootPem}`], key, ID);
  const parts = structuredClone(splitCertificate(certificate));
  const joined = joinCertificate(ID, parts);
  expect({ ...joined, serverTls: {}, clientTls: {} }).toEqual({ ...certificate, serverTls: {}, clientTls: {} });
  expect(joined.chain).toHaveLength(2);
  expect(joined.roots).toHaveLength(2);
  expect(joined.serverTls.key).toBe(key);
  expect(() => joinCertificate('spiffe://cluster.local/ns/default/sa/other', parts)).toThrow(`signed ${ID} instead of`);
});
