import 'reflect-metadata';
import { expect, test } from 'bun:test';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { type CertificateFacts, factsOf, readRevocationLists, revokedIn } from './crl.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const LONG_AGO = new Date('2020-01-01');
const validity = { notBefore: LONG_AGO, notAfter: new Date('2040-01-01') };
const newKeys = (): Promise<CryptoKeyPair> => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<CryptoKeyPair>;

interface Issuer {
  readonly name: string;
  readonly keys: CryptoKeyPair;
  readonly facts: CertificateFacts;
}

const facts = (certificate: x509.X509Certificate): CertificateFacts => factsOf(new Uint8Array(certificate.rawData));
async function authority(name: string, serialNumber: string, issuer?: Issuer): Promise<Issuer> {
  const keys = await newKeys();
  const extensions = [new x509.BasicConstraintsExtension(true, undefined, true)];
  const subject = { serialNumber, ...validity, signingAlgorithm: algorithm, extensions };
  const certificate =
    issuer === undefined
      ? await x509.X509CertificateGenerator.createSelfSigned({ ...subject, name, keys })
      : await x509.X509CertificateGenerator.create({
          ...subject,
          subject: name,
          issuer: issuer.name,
          publicKey: keys.publicKey,
          signingKey: issuer.keys.privateKey,
        });
  return { name, keys, facts: facts(certificate) };
}
async function leafOf(issuer: Issuer, serialNumber: string): Promise<CertificateFacts> {
  const { publicKey } = await newKeys();
  return facts(
    await x509.X509CertificateGenerator.create({
      serialNumber,
      ...validity,
      issuer: issuer.name,
      publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: algorithm,
    }),
  );
}
interface ListInit {
  readonly extensions?: x509.Extension[];
  readonly signer?: Issuer;
}
const listOf = async (
  issuer: Issuer,
  serials: readonly string[],
  { extensions = [], signer = issuer }: ListInit = {},
): Promise<x509.X509Crl> =>
  x509.X509CrlGenerator.create({
    issuer: issuer.name,
    thisUpdate: LONG_AGO,
    nextUpdate: new Date('2020-02-01'),
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: LONG_AGO })),
    signingKey: signer.keys.privateKey,
    signingAlgorithm: algorithm,
    extensions,
  });
// The library writes another label than RFC 7468 section 6.
const pemText = (list: x509.X509Crl): string => list.toString('pem').replaceAll(' CRL-', ' X509 CRL-');
const pem = (list: x509.X509Crl): Uint8Array => Buffer.from(pemText(list));

const root = await authority('O=mesh', '01');
const middle = await authority('O=middle', '02', root);
const leaf = await leafOf(middle, '0a');
const chain = [leaf, middle.facts, root.facts];
const revoked = (files: readonly Uint8Array[], of: readonly CertificateFacts[] = chain): string | undefined =>
  revokedIn(
    of,
    files.flatMap((file) => readRevocationLists(file)),
  )?.serial;

test('a list in PEM or DER revokes the certificate it names, though the list is past its date', async () => {
  const list = await listOf(middle, ['0b', '0a']);
  expect(revoked([pem(list)])).toBe('a');
  expect(revoked([new Uint8Array(list.rawData)])).toBe('a');
});

test('serial numbers are compared as numbers', async () => {
  const large = await leafOf(middle, '00f0000000000000000000000000000001');
  const list = await listOf(middle, ['00f0000000000000000000000000000001']);
  expect(revoked([pem(list)], [large, middle.facts, root.facts])).toBe('f0000000000000000000000000000001');
});

test('an authority in the middle of the chain can be revoked, the root cannot', async () => {
  expect(revoked([pem(await listOf(root, ['02']))])).toBe('2');
  expect(revoked([pem(await listOf(root, ['01']))])).toBeUndefined();
});

test('several lists of one file count, and other blocks of it do not', async () => {
  const lists = [await listOf(root, ['05']), await listOf(middle, ['0a'])];
  const certificate = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  expect(revoked([Buffer.from(`${certificate}${lists.map(pemText).join('\n')}`)])).toBe('a');
});

test('what no list of its issuer names is good', async () => {
  expect(revoked([pem(await listOf(middle, ['0b']))])).toBeUndefined();
  // The same number, of another issuer.
  expect(revoked([pem(await listOf(root, ['0a']))])).toBeUndefined();
  expect(revoked([new Uint8Array(0), Buffer.from('\n')])).toBeUndefined();
});

test('a list that another key has signed says nothing, though it has the issuer’s name', async () => {
  const impostor = await authority('O=middle', '66');
  expect(revoked([pem(await listOf(middle, ['0a'], { signer: impostor }))])).toBeUndefined();
  // Two roots of one name, while the root is exchanged: each list is about its own.
  const next = await authority('O=mesh', '01');
  const old = await leafOf(root, '0c');
  const fresh = await leafOf(next, '0c');
  const lists = [pem(await listOf(next, ['0c']))];
  expect(revoked(lists, [old, root.facts])).toBeUndefined();
  expect(revoked(lists, [fresh, next.facts])).toBe('c');
});

test('a file with one list that cannot be understood is refused as a whole, with the reason', async () => {
  const good = pemText(await listOf(middle, ['0a']));
  const broken = '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n';
  expect(() => readRevocationLists(Buffer.from(`${good}\n${broken}`))).toThrow('list 2 of 2: ');
  expect(() => readRevocationLists(Buffer.from('nonsense'))).toThrow('list 1 of 1: ');
  expect(() => readRevocationLists(Buffer.from(good.slice(0, -30)))).toThrow('has no end');
  const delta = await listOf(middle, [], { extensions: [new x509.Extension('2.5.29.27', true, new Uint8Array([2, 1, 1]))] });
  expect(() => readRevocationLists(pem(delta))).toThrow('critical extension 2.5.29.27');
});

test('a list for a part of what an issuer issues counts, one that speaks of several issuers is refused', async () => {
  const part = (flag: number): x509.Extension[] => [new x509.Extension('2.5.29.28', true, new Uint8Array([0x30, 3, flag, 1, 0xff]))];
  expect(revoked([pem(await listOf(middle, ['0a'], { extensions: part(0x81) }))])).toBe('a');
  const indirect = pem(await listOf(middle, ['0a'], { extensions: part(0x84) }));
  expect(() => readRevocationLists(indirect)).toThrow('indirect');
});

test('whatever stands in the file, reading it ends with lists or a reason', async () => {
  const good = new Uint8Array((await listOf(middle, ['0a', '0b'])).rawData);
  const damaged = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, value]) => good.map((octet, i) => (i === at ? value : octet)));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
      try {
        readRevocationLists(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect((error as Error).message).not.toBe('');
      }
    }),
    { numRuns: 500 },
  );
});
