/** What TLS a workload's certificate speaks on either side, in real handshakes. */
import { afterEach, expect, test } from 'bun:test';
import { Dial, meshTls, TcpListener, type TcpSocket, type TlsLimits } from '../../platform/net/index.ts';
import { readCertificate, type WorkloadCertificate } from './certificate.ts';
import { createSigningRequest } from './csr.ts';
import { signFor, TEST_ROOT } from './test-authority.ts';

const ID = 'spiffe://cluster.local/ns/default/sa/app';
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** SSL_OP_NO_TLSv1_3. */
const NO_TLS13 = 0x2000_0000;
const CLASSICAL = { ...meshTls('none'), ecdhCurve: 'X25519' };
/** Alerts: no common version; no common suite or key exchange. */
const VERSION = 'TLSV1_ALERT_PROTOCOL_VERSION';
const FAILURE = 'SSLV3_ALERT_HANDSHAKE_FAILURE';
const ONLY_TLS12 = { secureOptions: NO_TLS13 };
const CHACHA = { ...ONLY_TLS12, ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' };

async function certificate(limits: TlsLimits): Promise<WorkloadCertificate> {
  const { csrPem, keyPem } = await createSigningRequest(ID);
  return readCertificate([await signFor(csrPem, ID, 60_000), TEST_ROOT], keyPem, ID, limits);
}

/** The version both ends settle on, or the alert. */
async function version(server: TlsLimits, client: TlsLimits): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const events = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };
  let listener: TcpListener | undefined;
  let port = 30_000 + Math.floor(Math.random() * 2_000);
  while (listener === undefined) {
    try {
      listener = new TcpListener({ address: '127.0.0.1', port: ++port, reusePort: false }, () => events);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    }
  }
  closers.push(() => listener.close());
  listener.serve((await certificate(server)).serverTls);
  const { clientTls } = await certificate(client);
  new Dial(
    { address: '127.0.0.1', port, timeout: 5000, tls: clientTls },
    {
      ...events,
      onConnected: (socket: TcpSocket) => {
        resolve((socket as { getTLSVersion?: () => string }).getTLSVersion?.() ?? 'none');
        socket.end();
      },
      // OpenSSL's text ends with the alert.
      onDialFailed: ({ message }) => resolve(message.split(':').at(-1)!),
    },
  );
  return promise;
}

test.each<[server: string, client: string, expected: string, TlsLimits, TlsLimits]>([
  ['as it is', 'as it is', 'TLSv1.3', meshTls('none'), meshTls('none')],
  ['as it is', 'TLS 1.2', VERSION, meshTls('none'), ONLY_TLS12],
  ['as it is', 'a classical key exchange', 'TLSv1.3', meshTls('none'), CLASSICAL],
  ['TLS12_ENABLED', 'as it is', 'TLSv1.3', meshTls('none', true), meshTls('none')],
  ['TLS12_ENABLED', 'TLS 1.2', 'TLSv1.2', meshTls('none', true), ONLY_TLS12],
  ['TLS12_ENABLED', 'TLS 1.2 with a suite that is not the mesh’s', FAILURE, meshTls('none', true), CHACHA],
  ['TLS 1.2', 'TLS12_ENABLED', 'TLSv1.2', ONLY_TLS12, meshTls('none', true)],
  ['TLS 1.2', 'as it is', VERSION, ONLY_TLS12, meshTls('none')],
  ['pqc', 'pqc', 'TLSv1.3', meshTls('pqc'), meshTls('pqc')],
  ['pqc', 'as it is', 'TLSv1.3', meshTls('pqc'), meshTls('none')],
  ['pqc', 'a classical key exchange', FAILURE, meshTls('pqc'), CLASSICAL],
  ['a classical key exchange', 'pqc', FAILURE, CLASSICAL, meshTls('pqc')],
  ['pqc', 'TLS 1.2', VERSION, meshTls('pqc'), ONLY_TLS12],
])('server %s, client %s: %s', async (_server, _client, expected, server, client) => {
  expect(await version(server, client)).toBe(expected);
});
