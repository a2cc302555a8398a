/** Which tunnels connections share, over real TLS on loopback; the cases of a real ztunnel's pool (docs/conformance/ztunnel.md) and some more. */
import 'reflect-metadata';
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import * as x509 from '@peculiar/x509';
import type { Identity } from '../../mesh/index.ts';
import { TcpListener, type TcpSocket } from '../../platform/net/index.ts';
import { CLIENT_SETTINGS, type HeaderList, responseStatus, SERVER_SETTINGS } from '../../protocol/index.ts';
import { readCertificate, type WorkloadCertificate } from './certificate.ts';
import { createSigningRequest } from './csr.ts';
import { type ConnectionEnd, endOf } from './end-reason.ts';
import { ClientTunnel } from './hbone-client.ts';
import { HbonePool, type PoolDestination, type PoolUser } from './hbone-pool.ts';
import { type HandshakeHost, ServerHandshake } from './server-handshake.ts';
import { Tunnel, type TunnelStream } from './tunnel.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const ID = 'spiffe://cluster.local/ns/default/sa/app';
const RELEASE_AFTER = 1000;
let certificate: WorkloadCertificate;
let listener: TcpListener;
let port = 0;
const opened: ServerEnd[] = [];
const open = () => opened.filter((one) => !one.isOver);

/** Answers every stream with 200 and leaves it open. */
class ServerEnd extends Tunnel {
  isOver = false;
  constructor() {
    super('server', { ...SERVER_SETTINGS, maxConcurrentStreams: 1000 });
  }
  protected override accept(streamId: number): void {
    this.http2.sendHeaders(streamId, [[':status', '200']], false);
  }
  protected override closed(): void {
    this.isOver = true;
  }
}

const host: HandshakeHost = {
  trustDomain: 'cluster.local',
  handshakeDone(socket: TcpSocket, _identity: Identity): void {
    const end = new ServerEnd();
    opened.push(end);
    end.start(socket);
  },
  handshakeFailed(end: ConnectionEnd): void {
    throw new Error(end.message);
  },
};

beforeAll(async () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=pool test',
    ...validity,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const { csrPem, keyPem } = await createSigningRequest(ID);
  const leaf = await x509.X509CertificateGenerator.create({
    issuer: root.subject,
    ...validity,
    publicKey: new x509.Pkcs10CertificateRequest(csrPem).publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: ID }], true)],
  });
  certificate = readCertificate([leaf.toString('pem'), root.toString('pem')], keyPem, ID);
  // The listener tells no port: one that was free a moment ago.
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
  port = probe.port;
  probe.stop(true);
  listener = new TcpListener(
    { address: '127.0.0.1', port, reusePort: false },
    (socket) => new ServerHandshake(host, socket, '127.0.0.1', '127.0.0.1'),
  );
  listener.serve(certificate.serverTls);
});
afterAll(() => listener.close());
beforeEach(() => void opened.splice(0));

const newPool = (maxStreams: number): HbonePool =>
  new HbonePool({
    maxStreams,
    releaseAfter: RELEASE_AFTER,
    dial: (to, pool) => {
      const tunnel = new ClientTunnel(CLIENT_SETTINGS, to.acceptedIdentities, pool);
      tunnel.dial({ address: to.ip, port: to.port, timeout: 60_000, tls: certificate.clientTls });
      return tunnel;
    },
  });

/** What connections of one source pod, given by its last octet, ask for. */
const from = (source: number): PoolDestination => ({
  sourceIdentity: ID,
  sourceIp: `10.0.0.${source}`,
  ip: '127.0.0.1',
  port,
  acceptedIdentities: [ID],
  workload: 'server',
});

/** One connection of an application: a stream of whatever tunnel the pool gives it. */
class Client implements PoolUser, TunnelStream {
  readonly answered = Promise.withResolvers<number>();
  tunnel: ClientTunnel | undefined;
  #streamId = 0;
  onTunnel(tunnel: ClientTunnel): void {
    this.tunnel = tunnel;
    this.#streamId = tunnel.http2.request(
      [
        [':method', 'CONNECT'],
        [':authority', '127.0.0.1:80'],
      ],
      false,
    )!;
    tunnel.attach(this.#streamId, this);
  }
  onNoTunnel(end: ConnectionEnd): void {
    this.answered.reject(new Error(end.message));
  }
  onTunnelHeaders(headers: HeaderList): void {
    this.answered.resolve(responseStatus(headers));
  }
  onTunnelData(): void {}
  onTunnelReset(): void {}
  onTunnelWritable(): void {}
  leave(): void {
    this.tunnel!.http2.reset(this.#streamId, 8);
    this.tunnel!.detach(this.#streamId);
  }
}

async function connect(pool: HbonePool, count: number, source = (_index: number): number => 1): Promise<Client[]> {
  const clients = Array.from({ length: count }, (_, index) => {
    const client = new Client();
    pool.acquire(from(source(index)), client);
    return client;
  });
  for (const client of clients) expect(await client.answered.promise).toBe(200);
  return clients;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 4000 && !holds(); i++) await Bun.sleep(10);
  if (!holds()) throw new Error(`waited in vain for ${what}`);
}

async function close(pool: HbonePool): Promise<void> {
  pool.close(endOf('pod-removed'));
  await until('the tunnels to be gone', () => open().length === 0);
}

test('connections to one peer share a tunnel, at once and one after another, and it goes with the pool', async () => {
  const pool = newPool(3);
  for (const client of await connect(pool, 2)) client.leave();
  for (const client of await connect(pool, 2)) client.leave();
  expect(opened).toHaveLength(1);
  await close(pool);
});

test('pods do not share tunnels', async () => {
  const pool = newPool(3);
  await connect(pool, 2, (index) => index);
  expect(opened).toHaveLength(2);
  await close(pool);
});

test('a full tunnel is left alone, and takes streams again when some have ended', async () => {
  const pool = newPool(2);
  const first = await connect(pool, 4);
  expect([opened.length, new Set(first.map(({ tunnel }) => tunnel)).size]).toEqual([2, 2]);
  for (const client of first) client.leave();
  await connect(pool, 5);
  // Two are there again, and one more for the fifth.
  expect(opened).toHaveLength(3);
  await close(pool);
});

test('a tunnel the server says goodbye on gets no new streams', async () => {
  const pool = newPool(2);
  const [client] = await connect(pool, 1);
  opened[0]!.http2.shutdown('graceful');
  await until('the goodbye', () => client!.tunnel!.http2.isDraining);
  client!.leave();
  const [next] = await connect(pool, 1);
  expect(next!.tunnel).not.toBe(client!.tunnel);
  expect(opened).toHaveLength(2);
  await close(pool);
});

test('with one stream to a tunnel every connection has its own', async () => {
  const pool = newPool(1);
  await connect(pool, 2);
  expect(opened).toHaveLength(2);
  await close(pool);
});

test.each<[string, number, number, (index: number) => number]>([
  ['100 connections of one pod', 100, 1, () => 1],
  ['100 connections of 100 pods', 100, 100, (index) => index],
  ['300 connections of 3 pods', 300, 3, (index) => index % 3],
])(
  '%s at once need as few tunnels as they may',
  async (_title, count, tunnels, source) => {
    const pool = newPool(101);
    await connect(pool, count, source);
    expect(opened).toHaveLength(tunnels);
    await close(pool);
  },
  30_000,
);

test('a tunnel without streams is let go after a while, one with a stream is kept', async () => {
  const pool = newPool(4);
  const [persistent] = await connect(pool, 1);
  const rest = await connect(pool, 4);
  for (const client of rest) client.leave();
  expect(opened).toHaveLength(2);
  pool.onDeadline(performance.now());
  expect(pool.tunnelCount).toBe(2);
  const later = performance.now() + 2 * RELEASE_AFTER;
  pool.onDeadline(later);
  await until('the idle tunnel to be gone', () => open().length === 1);
  expect(persistent!.tunnel!.isReady).toBe(true);
  persistent!.leave();
  pool.onDeadline(performance.now() + 2 * RELEASE_AFTER);
  await until('the last tunnel to be gone', () => open().length === 0);
  expect(pool.tunnelCount).toBe(0);
  await close(pool);
});

test('a connection that has gone meanwhile is not waited with, and the others get their tunnel', async () => {
  const pool = newPool(4);
  const gone = new Client();
  pool.acquire(from(1), gone);
  pool.abandon(gone);
  await connect(pool, 1);
  expect([opened.length, gone.tunnel]).toEqual([1, undefined]);
  await close(pool);
});
