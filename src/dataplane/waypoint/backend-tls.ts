/** TLS of the waypoint's own to an endpoint outside the mesh: DestinationRule `tls`, modes SIMPLE and MUTUAL. */
import fs from 'node:fs';
import type { TLSOptions } from 'bun';
import type { BackendTls } from '../../mesh/index.ts';

/** Throws with the file that cannot be read. The name in the server's certificate is checked against `serverName`. */
export function backendTls(settings: BackendTls, serverName: string): TLSOptions {
  const read = (path: string): string => fs.readFileSync(path, 'utf8');
  if (settings.credentialName !== undefined)
    throw new Error(
      `credentialName "${settings.credentialName}": a waypoint reads files only; use caCertificates, clientCertificate and privateKey`,
    );
  const isMutual = settings.mode === 'mutual';
  if (isMutual && (settings.clientCertificate === undefined || settings.privateKey === undefined))
    throw new Error('mode MUTUAL needs clientCertificate and privateKey');
  return {
    serverName,
    rejectUnauthorized: settings.insecureSkipVerify !== true,
    ...(settings.caCertificates === undefined ? {} : { ca: read(settings.caCertificates) }),
    ...(isMutual ? { cert: read(settings.clientCertificate!), key: read(settings.privateKey!) } : {}),
  };
}
