import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { fail, ok, type Result } from '../wire.ts';

/** A request is a few hundred bytes; RSA-8192 stays under this. */
export const CSR_LIMIT = 16 * 1024;
const RSA_MIN_BITS = 2048;
const RSA_MAX_BITS = 8192;

/** The public key of a PKCS#10 request whose own signature holds; nothing else in it is believed. */
export async function publicKeyOfRequest(pem: string): Promise<Result<ArrayBuffer, string>> {
  if (pem.length > CSR_LIMIT) return fail(`the CSR is longer than ${CSR_LIMIT} characters`);
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
  } catch (error) {
    return fail(`the CSR is not a PKCS#10 request in PEM: ${(error as Error).message}`);
  }
  const algorithm = request.publicKey.algorithm as { name: string; namedCurve?: string; modulusLength?: number };
  const problem = keyProblem(algorithm);
  if (problem !== undefined) return fail(problem);
  let isSigned = false;
  try {
    isSigned = await request.verify();
  } catch (error) {
    return fail(`the CSR's signature cannot be checked: ${(error as Error).message}`);
  }
  return isSigned ? ok(request.publicKey.rawData) : fail("the CSR's signature does not match its key");
}

function keyProblem(algorithm: { name: string; namedCurve?: string; modulusLength?: number }): string | undefined {
  if (algorithm.name === 'ECDSA' || algorithm.name === 'ECDH')
    return algorithm.namedCurve === 'P-256' ? undefined : `the CSR's key is on curve ${algorithm.namedCurve}; use P-256`;
  if (algorithm.name.startsWith('RSA')) {
    const bits = algorithm.modulusLength ?? 0;
    return bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS
      ? undefined
      : `the CSR's RSA key has ${bits} bits; use ${RSA_MIN_BITS} to ${RSA_MAX_BITS}`;
  }
  return `the CSR's key is of type ${algorithm.name}; use ECDSA P-256 or RSA`;
}
