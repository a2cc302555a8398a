/** A certificate authority for tests. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
const root = await x509.X509CertificateGenerator.createSelfSigned({
  name: 'O=root',
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 86_400_000),
  keys,
  signingAlgorithm: algorithm,
  extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
});

export const TEST_ROOT = root.toString('pem');

/** Signs a request for an identity, valid from now on for `lifetime` milliseconds. */
export async function signFor(csrPem: string, identity: string, lifetime: number): Promise<string> {
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: root.subject,
    // Certificates count in seconds.
    notBefore: new Date(Math.floor(Date.now() / 1000) * 1000),
    notAfter: new Date(Math.floor(Date.now() / 1000) * 1000 + lifetime),
    publicKey: new x509.Pkcs10CertificateRequest(csrPem).publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: identity }])],
  });
  return certificate.toString('pem');
}
