/** TLS of the waypoint's own to an endpoint outside the mesh: DestinationRule `tls`, modes SIMPLE and MUTUAL. */
import fs from 'node:fs';
import type { TLSOptions } from 'bun';
import type { BackendTls } from '../../mesh/http/index.ts';
import type { TcpSocket, TlsLimits } from '../../platform/net/index.ts';
import { isCertificateFor, parseIp, readCertificateDer } from '../../protocol/index.ts';

/** What will be spoken; undefined: neither the waypoint nor TLS knows. */
export type Alpn = 'h2' | 'http/1.1' | undefined;

/** How to make a connection, and whether the other end is who it should be. */
export interface SecuredBackend {
  readonly options: TLSOptions;
  /** Takes any certificate. */
  readonly trustsAnyone: boolean;
  /** After the handshake; undefined: none. */
  problemWith(socket: TcpSocket): string | undefined;
}

/** Files may be exchanged under a running waypoint: they are read again after so many milliseconds. */
const FILE_LIFETIME = 5000;
/** Files of all DestinationRules that are remembered. */
const MAX_FILES = 1000;

const files = new Map<string, { readonly text: string; readonly readAt: number }>();

function read(path: string): string {
  const now = performance.now();
  const known = files.get(path);
  if (known !== undefined && now - known.readAt < FILE_LIFETIME) return known.text;
  const text = fs.readFileSync(path, 'utf8');
  if (files.size >= MAX_FILES) files.clear();
  files.set(path, { text, readAt: now });
  return text;
}

/** Throws with the reason when the settings or their files cannot be used. */
export function backendTls(settings: BackendTls, serverName: string, alpn: Alpn, limits: TlsLimits): SecuredBackend {
  if (settings.credentialName !== undefined)
    throw new Error(
      `credentialName "${settings.credentialName}": a waypoint reads files only; use caCertificates, clientCertificate and privateKey`,
    );
  const isMutual = settings.mode === 'mutual';
  if (isMutual && (settings.clientCertificate === undefined || settings.privateKey === undefined))
    throw new Error('mode MUTUAL needs clientCertificate and privateKey');
  const trustsAnyone = settings.insecureSkipVerify === true;
  return {
    options: {
      ...limits,
      serverName,
      // The chain is checked by the dial, the names below: Bun itself would check against one name only.
      rejectUnauthorized: false,
      ...(alpn === undefined ? {} : { ALPNProtocols: Buffer.from(`${String.fromCharCode(alpn.length)}${alpn}`) }),
      ...(settings.caCertificates === undefined ? {} : { ca: read(settings.caCertificates) }),
      ...(isMutual ? { cert: read(settings.clientCertificate!), key: read(settings.privateKey!) } : {}),
    },
    trustsAnyone,
    problemWith: (socket) => (trustsAnyone ? undefined : nameProblem(socket, serverName, settings.subjectAltNames)),
  };
}

/** A chain that is good says who signed, not whom for. */
function nameProblem(socket: TcpSocket, serverName: string, names: readonly string[] | undefined): string | undefined {
  // Bun's types do not know this of a TLS socket's members on the generic socket.
  const { getPeerCertificate } = socket as { getPeerCertificate?: () => { raw?: Buffer; subjectaltname?: string } | null };
  const certificate = getPeerCertificate?.call(socket);
  if (certificate?.raw === undefined) return 'the endpoint presented no certificate';
  const text = certificate.subjectaltname ?? '';
  if (names === undefined) {
    const read = readCertificateDer(certificate.raw);
    if (read.ok && isCertificateFor(read.value, parseIp(serverName) ?? serverName)) return undefined;
    return `the certificate of the endpoint is not for ${serverName} but ${text || 'nobody'}`;
  }
  const presented = subjectAltNames(text);
  if (names.some((name) => presented.includes(name))) return undefined;
  return `the certificate of the endpoint is for ${text || 'nobody'}, none of subjectAltNames: ${names.join(', ')}`;
}

/** Of the text of OpenSSL: `DNS:a.example, URI:spiffe://b, IP Address:10.0.0.1`. What is quoted has characters that no name has. */
const subjectAltNames = (text: string): string[] =>
  [...text.matchAll(/(?:^|, )(?:DNS|URI|IP Address|email):("(?:[^"\\]|\\.)*"|[^,]*)/g)]
    .map(([, name]) => name!)
    .filter((name) => !name.startsWith('"'));
