import 'reflect-metadata';
import { describe, expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { CERTIFICATE_LIMIT, type Certificate, isCertificateFor, readCertificateDer } from './certificate.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

interface Wanted {
  readonly serialNumber?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly names?: x509.JsonGeneralNames;
}
async function make({ serialNumber = '01', notBefore = new Date(0), notAfter = new Date(1e12), names }: Wanted): Promise<Uint8Array> {
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: 'O=Somebody, CN=only.in.the.subject',
    notBefore,
    notAfter,
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 3, true),
      ...(names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(names, true)]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return new Uint8Array(made.rawData);
}
const read = (der: Uint8Array): Certificate => {
  const result = readCertificateDer(der);
  if (!result.ok) throw new Error(result.error);
  return result.value;
};

test('serial number, times and names are read as the library wrote them', async () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  const time = fc
    .date({ min: new Date('1950-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
    .map((date) => new Date(Math.floor(date.getTime() / 1000) * 1000));
  const serial = fc.bigInt({ min: 1n, max: 2n ** 127n - 1n }).map((value) => value.toString(16).padStart(32, '0'));
  await fc.assert(
    fc.asyncProperty(
      serial,
      time,
      time,
      fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
      async (serialNumber, notBefore, notAfter, found) => {
        const uri = 'spiffe://cluster.local/ns/default/sa/app';
        const names: x509.JsonGeneralNames = [
          ...found.map((value) => ({ type: 'dns' as const, value })),
          { type: 'url', value: uri },
          { type: 'ip', value: '10.1.2.3' },
          { type: 'ip', value: 'fd00::7' },
        ];
        const der = await make({ serialNumber, notBefore, notAfter, names });
        const certificate = read(der);
        const reference = new X509Certificate(der);
        expect(certificate.serialNumber).toBe(BigInt(`0x${reference.serialNumber}`));
        expect(certificate.notBefore).toBe(notBefore.getTime());
        expect(certificate.notAfter).toBe(notAfter.getTime());
        expect(certificate.dnsNames).toEqual(found);
        expect(certificate.uris).toEqual([uri]);
        expect(certificate.addresses.map(({ length }) => length)).toEqual([4, 16]);
      },
    ),
    { numRuns: 30 },
  );
});

test('names of every kind, in any order and number, are those that Node reads', async () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const octet = fc.nat(255);
  const kinds = fc.oneof(
    label.map((value) => ({ type: 'dns' as const, value: `*.${value}.example` })),
    label.map((value) => ({ type: 'url' as const, value: `spiffe://${value}/ns/a/sa/b` })),
    label.map((value) => ({ type: 'email' as const, value: `${value}@example.org` })),
    fc.tuple(octet, octet, octet, octet).map((octets) => ({ type: 'ip' as const, value: octets.join('.') })),
    label.map((value) => ({ type: 'ip' as const, value: `fd00::${(value.length * 4099).toString(16)}` })),
    fc.constant({ type: 'id' as const, value: '1.2.3.4' }),
  );
  // From both encodings of a time, and across the year at which they change over.
  const year = fc.constantFrom(1950, 1999, 2000, 2049, 2050, 2120, 9999);
  await fc.assert(
    fc.asyncProperty(fc.array(kinds, { minLength: 1, maxLength: 8 }), year, async (names, at) => {
      const notAfter = new Date(Date.UTC(at, 11, 31, 23, 59, 59));
      const der = await make({ names, notAfter });
      const certificate = read(der);
      const reference = new X509Certificate(der);
      expect(certificate.notAfter).toBe(Date.parse(reference.validTo));
      const listed = (reference.subjectAltName ?? '').split(', ');
      const of = (kind: string): string[] =>
        listed.filter((name) => name.startsWith(`${kind}:`)).map((name) => name.slice(kind.length + 1));
      expect(certificate.dnsNames).toEqual(of('DNS'));
      expect(certificate.uris).toEqual(of('URI'));
      expect(certificate.addresses).toHaveLength(of('IP Address').length);
      for (const [i, text] of of('IP Address').entries()) if (!text.includes(':')) expect(certificate.addresses[i]!.join('.')).toBe(text);
    }),
    { numRuns: 60 },
  );
});

test('a certificate without names has none, whatever its subject says', async () => {
  const certificate = read(await make({}));
  expect(certificate).toMatchObject({ dnsNames: [], uris: [], addresses: [] });
  expect(isCertificateFor(certificate, 'only.in.the.subject')).toBe(false);
});

test('what is cut or changed anywhere never throws, and what is cut is no certificate', async () => {
  const der = await make({ names: [{ type: 'dns', value: 'a.example' }] });
  for (let length = 0; length < der.length; length++) expect(readCertificateDer(der.subarray(0, length)).ok).toBe(false);
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), (at, octet) => {
      const changed = der.slice();
      changed[at] = octet;
      readCertificateDer(changed);
    }),
    { numRuns: 1000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void readCertificateDer(bytes)));
});

test.each<[string, number[], string]>([
  ['nothing', [], 'it ends too early'],
  ['another type', [0x02, 1, 0], 'the certificate is missing'],
  ['an indefinite length', [0x30, 0x80, 0, 0], 'a length has no proper form'],
  ['a length of five octets', [0x30, 0x85, 0, 0, 0, 0, 0], 'a length has no proper form'],
  ['a long tag', [0x3f, 0x81, 0x01, 0], 'a tag has more than one octet'],
  ['an empty sequence', [0x30, 0], 'it ends too early'],
  ['too short a certificate', [0x30, 5, 0], 'an element is longer than what holds it'],
])('%s is refused', (_title, bytes, problem) => {
  expect(readCertificateDer(Uint8Array.from(bytes))).toEqual({ ok: false, error: `not an X.509 certificate: ${problem}` });
});

test('something behind the certificate, and too much of it, are refused', async () => {
  const der = await make({});
  expect(readCertificateDer(Uint8Array.of(...der, 0))).toMatchObject({
    ok: false,
    error: 'not an X.509 certificate: something follows it',
  });
  expect(readCertificateDer(new Uint8Array(CERTIFICATE_LIMIT + 1)).ok).toBe(false);
});

describe('whom a certificate is for', () => {
  const certificate: Certificate = {
    serialNumber: 1n,
    notBefore: 0,
    notAfter: 1,
    dnsNames: ['Istiod.istio-system.svc', '*.control.example', '*.com', 'a*.partial.example', '10.0.0.9'],
    uris: ['spiffe://td/ns/a/sa/b'],
    addresses: [Uint8Array.of(10, 0, 0, 1)],
  };
  test.each<[string | number[], boolean]>([
    ['istiod.istio-system.svc', true],
    ['ISTIOD.istio-system.svc.', true],
    ['istiod.istio-system', false],
    ['a.control.example', true],
    ['A.Control.example', true],
    ['control.example', false],
    ['a.b.control.example', false],
    ['.control.example', false],
    ['example.com', false],
    ['ab.partial.example', false],
    ['spiffe://td/ns/a/sa/b', false],
    ['', false],
    [[10, 0, 0, 1], true],
    [[10, 0, 0, 9], false],
    [[10, 0, 0], false],
  ])('%p: %p', (name, expected) => {
    expect(isCertificateFor(certificate, typeof name === 'string' ? name : Uint8Array.from(name))).toBe(expected);
  });
});
