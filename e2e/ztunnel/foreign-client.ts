/** A client of the mesh that is no ztunnel: certificates of any identity, any request on a tunnel. */
import 'reflect-metadata';
import fs from 'node:fs';
import * as x509 from '@peculiar/x509';
import { readCertificate, type WorkloadCertificate } from '../../src/dataplane/core/certificate.ts';
import { createSigningRequest } from '../../src/dataplane/core/csr.ts';
import type { ConnectionEnd } from '../../src/dataplane/core/end-reason.ts';
import { ClientTunnel } from '../../src/dataplane/core/hbone-client.ts';
import type { TunnelStream } from '../../src/dataplane/core/tunnel.ts';
import { CLIENT_SETTINGS, type HeaderList, responseStatus } from '../../src/protocol/index.ts';
import type { Node, Pod } from './network.ts';

const SERIAL = 0x7f;
/** Of every certificate issued here, in decimal. */
export const ISSUED_SERIAL = String(SERIAL);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A certificate for an identity as PEM, signed by the lab's authority, or by another one nobody trusts. */
export async function issuePem(
  lab: { readonly directory: string },
  identity: string,
  trusted = true,
  expired = false,
): Promise<{ certPem: string; keyPem: string; rootPem: string }> {
  const saved = JSON.parse(fs.readFileSync(`${lab.directory}/root.json`, 'utf8')) as { certificate: string; key: string };
  const root = new x509.X509Certificate(saved.certificate);
  const signingKey = trusted
    ? await crypto.subtle.importKey('pkcs8', Buffer.from(saved.key, 'base64'), algorithm, false, ['sign'])
    : (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])).privateKey;
  const { csrPem, keyPem } = await createSigningRequest(identity);
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: SERIAL.toString(16),
    issuer: root.subject,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + (expired ? -60_000 : 3_600_000)),
    publicKey: new x509.Pkcs10CertificateRequest(csrPem).publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: identity }], true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    ],
  });
  return { certPem: `${leaf.toString('pem')}\n`, keyPem, rootPem: saved.certificate };
}

/** The same, ready for our own TLS. */
export async function issue(...asked: Parameters<typeof issuePem>): Promise<WorkloadCertificate> {
  const { certPem, keyPem, rootPem } = await issuePem(...asked);
  return readCertificate([certPem, rootPem], keyPem, asked[1]);
}

/** What came back on one stream. */
export class Answer implements TunnelStream {
  readonly status = Promise.withResolvers<number>();
  readonly over = Promise.withResolvers<number>();
  text = '';
  headers: HeaderList = [];
  readonly #tunnel: ClientTunnel;
  readonly #streamId: number;

  constructor(tunnel: ClientTunnel, streamId: number) {
    this.#tunnel = tunnel;
    this.#streamId = streamId;
    tunnel.attach(streamId, this);
  }
  onTunnelHeaders(headers: HeaderList, endStream: boolean): void {
    this.headers = headers;
    this.status.resolve(responseStatus(headers));
    if (endStream) this.over.resolve(0);
  }
  onTunnelData(chunk: Uint8Array, endStream: boolean): void {
    this.text += Buffer.from(chunk).toString();
    this.#tunnel.http2.consumed(this.#streamId, chunk.length);
    if (endStream) this.over.resolve(0);
  }
  onTunnelReset(code: number): void {
    this.status.resolve(0);
    this.over.resolve(code);
  }
  onTunnelWritable(): void {}
  send(text: string, endStream: boolean): void {
    this.#tunnel.http2.sendData(this.#streamId, Buffer.from(text), endStream);
  }
}

export interface ForeignTunnel {
  readonly tunnel: ClientTunnel;
  readonly closed: Promise<void>;
  request(headers: HeaderList, endStream?: boolean): Answer;
}

/** Opens a tunnel to a pod; rejects with how it failed. */
export function openTunnel(from: Pod | Node, ip: string, certificate: WorkloadCertificate, server: string): Promise<ForeignTunnel> {
  const namespace = fs.openSync(`/run/netns/${from.namespace}`, 'r');
  const closed = Promise.withResolvers<void>();
  return new Promise<ForeignTunnel>((resolve, reject) => {
    const tunnel = new ClientTunnel(CLIENT_SETTINGS, [server], {
      onTunnelReady: (ready) =>
        resolve({
          tunnel: ready,
          closed: closed.promise,
          request(headers, endStream = false) {
            const streamId = ready.http2.request(headers, endStream);
            if (streamId === undefined) throw new Error('the tunnel takes no more streams');
            return new Answer(ready, streamId);
          },
        }),
      onTunnelFailed: (_tunnel: ClientTunnel, end: ConnectionEnd) => reject(new Error(end.message)),
      onTunnelClosed: () => closed.resolve(),
    });
    tunnel.dial({ address: ip, port: 15_008, networkNamespace: namespace, timeout: 5000, tls: certificate.clientTls });
    fs.closeSync(namespace);
  });
}

export const connectTo = (authority: string, ...more: (readonly [string, string])[]): HeaderList => [
  [':method', 'CONNECT'],
  [':authority', authority],
  ...more,
];
