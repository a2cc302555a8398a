/** A PKCS#10 request for one SPIFFE identity with a fresh P-256 key. Written out in DER by hand: a full X.509 library would cost each node more memory than this proxy's state. */

const concat = (parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** Tag, length, value (X.690). */
function der(tag: number, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const value = concat(content);
  const length =
    value.length < 0x80 ? [value.length] : value.length < 0x100 ? [0x81, value.length] : [0x82, value.length >> 8, value.length & 0xff];
  return concat([Uint8Array.of(tag, ...length), value]);
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const SEQUENCE = 0x30;
const SET = 0x31;
const OID_EXTENSION_REQUEST = bytes(0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e);
const OID_SUBJECT_ALT_NAME = bytes(0x06, 0x03, 0x55, 0x1d, 0x11);
const OID_ECDSA_WITH_SHA256 = bytes(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);
const CRITICAL = bytes(0x01, 0x01, 0xff);
const VERSION_1 = bytes(0x02, 0x01, 0x00);

/** A positive INTEGER from big-endian bytes. */
function integer(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const trimmed = value.subarray(start);
  return trimmed[0]! & 0x80 ? der(0x02, bytes(0), trimmed) : der(0x02, trimmed);
}

const pem = (label: string, content: Uint8Array): string => {
  const lines =
    Buffer.from(content)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
};

export interface SigningRequest {
  readonly csrPem: string;
  /** PKCS#8. Never logged, never written anywhere. */
  readonly keyPem: string;
}

/** Empty subject, and the identity as the one critical subject alternative name (ambient contract 5.1). */
export async function createSigningRequest(spiffeId: string): Promise<SigningRequest> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('spki', pair.publicKey));
  const privateKey = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey));
  const names = der(SEQUENCE, der(0x86, new TextEncoder().encode(spiffeId)));
  const extension = der(SEQUENCE, OID_SUBJECT_ALT_NAME, CRITICAL, der(0x04, names));
  const attributes = der(0xa0, der(SEQUENCE, OID_EXTENSION_REQUEST, der(SET, der(SEQUENCE, extension))));
  const info = der(SEQUENCE, VERSION_1, der(SEQUENCE), publicKey, attributes);
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, pair.privateKey, info));
  const derSignature = der(SEQUENCE, integer(signature.subarray(0, 32)), integer(signature.subarray(32)));
  const request = der(SEQUENCE, info, der(SEQUENCE, OID_ECDSA_WITH_SHA256), der(0x03, bytes(0), derSignature));
  return { csrPem: pem('CERTIFICATE REQUEST', request), keyPem: pem('PRIVATE KEY', privateKey) };
}
