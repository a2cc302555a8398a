import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as grpc from '@grpc/grpc-js';
import 'reflect-metadata';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { KubeClient, type Pod, type TokenReviewStatus } from '../../platform/kubernetes/index.ts';
import { meshTls, outsideTls, type TlsLimits } from '../../platform/net/index.ts';
import { Logging } from '../../platform/telemetry/index.ts';
import { readConfig } from '../config.ts';
import { makeCsr, requestCertificate } from '../harness.test.ts';
import { Authenticator } from './authenticate.ts';
import { Authority, AuthorityError } from './authority.ts';
import { generateKeyPair, P256, toPem } from './keys.ts';
import { PodIndex } from './pods.ts';
import { certificateService } from './service.ts';
import { ServingCredentials, servingNames } from './serving.ts';
import { fromSecret, loadAuthority, secretOf } from './store.ts';

const UNAUTHENTICATED = grpc.status.UNAUTHENTICATED;
const DAY = 86_400;
const log = new Logging({ filter: 'off' }).logger('test');
const zt = { name: 'ztunnel-abc', uid: 'zt-uid' };
const account = (name: string, pod?: { name: string; uid: string }): TokenReviewStatus => ({
  authenticated: true,
  audiences: ['istio-ca'],
  user: {
    username: `system:serviceaccount:${name}`,
    ...(pod && { extra: { 'authentication.kubernetes.io/pod-name': [pod.name], 'authentication.kubernetes.io/pod-uid': [pod.uid] } }),
  },
});

/** TokenReview over real HTTP: what each token stands for, and how often it was asked. */
const reviews = new Map<string, TokenReviewStatus | 'down'>();
const asked: string[] = [];
const tokenReviews = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request) {
    const { spec } = (await request.json()) as { spec: { token: string; audiences: string[] } };
    asked.push(`${spec.token} ${spec.audiences.join()}`);
    const status = reviews.get(spec.token) ?? { authenticated: false, error: 'unknown token' };
    return status === 'down' ? new Response('down', { status: 500 }) : Response.json({ status });
  },
});
const client = new KubeClient({
  server: `http://127.0.0.1:${tokenReviews.port}`,
  insecureSkipTlsVerify: false,
  namespace: 'default',
  context: 'test',
});

let authority: Authority;
let now = Date.now();
let server: grpc.Server;
let pods: PodIndex;
const target = { xdsPort: 0, rootPem: '' };

const pod = (namespace: string, name: string, serviceAccount: string, node: string, uid = `${name}-uid`, phase = 'Running'): Pod => ({
  metadata: { namespace, name, uid },
  spec: { nodeName: node, serviceAccountName: serviceAccount, containers: [] },
  status: { phase },
});

beforeAll(async () => {
  authority = await Authority.createRoot('cluster.local');
  const serving = new ServingCredentials({});
  await serving.renew(authority, servingNames('istio-system', 'cluster.local', []));
  server = new grpc.Server();
  const service = certificateService({
    authenticator: new Authenticator(client, () => now),
    authority: () => authority,
    pods: { find: (namespace, name) => pods.find(namespace, name), runsOnNode: (...at) => pods.runsOnNode(...at) },
    rules: { trustDomain: 'cluster.local', trustedNodeAccounts: new Set(['istio-system/ztunnel']) },
    defaultTtlSeconds: DAY,
    maxTtlSeconds: 90 * DAY,
    watchLagMs: 250,
    log,
  });
  server.addService(service.definition, service.implementation);
  target.rootPem = authority.rootPem;
  target.xdsPort = await new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', serving, (error, port) => (error === null ? resolve(port) : reject(error))),
  );
});
beforeEach(() => {
  pods = new PodIndex();
  pods.upsert(pod('istio-system', zt.name, 'ztunnel', 'node1', zt.uid));
  pods.upsert(pod('shop', 'web-1', 'web', 'node1'));
  pods.upsert(pod('shop', 'db-1', 'db', 'node2'));
  reviews.clear();
  reviews.set('node', account('istio-system:ztunnel', zt));
  asked.length = 0;
  now += 3_600_000; // nothing cached
});
afterAll(() => {
  server.forceShutdown();
  tokenReviews.stop(true);
});

const WEB = 'spiffe://cluster.local/ns/shop/sa/web';
const ask = async (token: string, impersonate?: string, seconds = 3600, csr?: string) =>
  requestCertificate(target, token, { csr: csr ?? (await makeCsr(WEB)).pem, seconds, ...(impersonate !== undefined && { impersonate }) });

test('a leaf carries exactly the granted identity, both TLS roles and the asked-for life; the chain ends with the root', async () => {
  const answer = await ask('node', WEB, 7200, (await makeCsr('spiffe://cluster.local/ns/evil/sa/admin')).pem);
  expect(answer.code).toBe(grpc.status.OK);
  expect(answer.chain.length).toBe(2);
  expect(answer.chain[1]).toBe(authority.rootPem);
  const leaf = new x509.X509Certificate(answer.chain[0]!);
  expect(new X509Certificate(answer.chain[0]!).subjectAltName).toBe(`URI:${WEB}`);
  expect(leaf.subject).toBe('');
  expect(leaf.getExtension(x509.SubjectAlternativeNameExtension)?.critical).toBe(true);
  expect(leaf.getExtension(x509.ExtendedKeyUsageExtension)?.usages as string[]).toEqual([
    x509.ExtendedKeyUsage.serverAuth,
    x509.ExtendedKeyUsage.clientAuth,
  ]);
  expect(leaf.getExtension(x509.BasicConstraintsExtension)?.ca).toBe(false);
  expect(Math.abs(leaf.notAfter.getTime() - Date.now() - 7_200_000)).toBeLessThan(60_000);
  expect(leaf.notBefore.getTime()).toBeLessThan(Date.now());
  expect(await leaf.verify({ publicKey: new x509.X509Certificate(authority.rootPem).publicKey })).toBe(true);
});

test('without impersonation the caller gets its own identity', async () => {
  reviews.set('plain', account('shop:web'));
  const answer = await ask('plain');
  expect(new X509Certificate(answer.chain[0]!).subjectAltName).toBe(`URI:${WEB}`);
});

test.each([
  [
    'a service account that is not trusted with nodes',
    () => reviews.set('t', account('shop:web', { name: 'web-1', uid: 'web-1-uid' })),
    WEB,
  ],
  ['a token that is not bound to a pod', () => reviews.set('t', account('istio-system:ztunnel')), WEB],
  ['a pod that does not exist', () => reviews.set('t', account('istio-system:ztunnel', { name: 'ghost', uid: 'x' })), WEB],
  [
    'a pod that was replaced by another of its name',
    () => reviews.set('t', account('istio-system:ztunnel', { name: zt.name, uid: 'old-uid' })),
    WEB,
  ],
  [
    'a pod that runs as somebody else',
    () => {
      pods.upsert(pod('istio-system', zt.name, 'other', 'node1', zt.uid));
      reviews.set('t', account('istio-system:ztunnel', zt));
    },
    WEB,
  ],
  [
    'an identity that runs on another node only',
    () => reviews.set('t', account('istio-system:ztunnel', zt)),
    'spiffe://cluster.local/ns/shop/sa/db',
  ],
  [
    'an identity whose pod has ended',
    () => {
      pods.upsert(pod('shop', 'web-1', 'web', 'node1', 'u', 'Succeeded'));
      reviews.set('t', account('istio-system:ztunnel', zt));
    },
    WEB,
  ],
  [
    'an identity whose pod was deleted',
    () => {
      pods.remove('shop/web-1');
      reviews.set('t', account('istio-system:ztunnel', zt));
    },
    WEB,
  ],
  ['another trust domain', () => reviews.set('t', account('istio-system:ztunnel', zt)), 'spiffe://other.domain/ns/shop/sa/web'],
  [
    'something that is no SPIFFE id',
    () => reviews.set('t', account('istio-system:ztunnel', zt)),
    'spiffe://cluster.local/ns/shop/sa/web/extra',
  ],
])('impersonation is refused for %s', async (_what, prepare, wanted) => {
  prepare();
  expect(await ask('t', wanted)).toMatchObject({ code: UNAUTHENTICATED, details: 'request impersonation authentication failure' });
});

test('a pod that appears a moment after the request is waited for', async () => {
  const answer = ask('node', 'spiffe://cluster.local/ns/shop/sa/new');
  setTimeout(() => pods.upsert(pod('shop', 'new-1', 'new', 'node1')), 150);
  expect((await answer).code).toBe(grpc.status.OK);
});

test.each([
  ['no token', '', undefined],
  ['an expired or forged token', 'bad', { authenticated: false, error: 'token expired' } satisfies TokenReviewStatus],
  ['a token for another audience', 'aud', { ...account('istio-system:ztunnel', zt), audiences: ['other'] } satisfies TokenReviewStatus],
  [
    'an API server that ignores audiences',
    'noaud',
    { authenticated: true, user: { username: 'system:serviceaccount:a:b' } } satisfies TokenReviewStatus,
  ],
  ['a person', 'user', { authenticated: true, audiences: ['istio-ca'], user: { username: 'admin' } } satisfies TokenReviewStatus],
  ['an API server that is down', 'down', 'down' as const],
])('%s is unauthenticated', async (_what, token, status) => {
  if (status !== undefined) reviews.set(token, status);
  expect(await ask(token, WEB)).toMatchObject({ code: UNAUTHENTICATED, details: 'request authenticate failure' });
});

test('reviews are cached for seconds: accepted ones, and briefly refused ones, but never an outage', async () => {
  await Promise.all([ask('node', WEB), ask('node', WEB)]);
  await ask('node', WEB);
  expect(asked).toEqual(['node istio-ca']);
  now += 11_000;
  await ask('node', WEB);
  expect(asked.length).toBe(2);
  await ask('unknown');
  reviews.set('unknown', account('shop:web'));
  expect((await ask('unknown')).code).toBe(UNAUTHENTICATED);
  now += 1_100;
  expect((await ask('unknown')).code).toBe(grpc.status.OK);
  reviews.set('flaky', 'down');
  await ask('flaky');
  reviews.set('flaky', account('shop:web'));
  expect((await ask('flaky')).code).toBe(grpc.status.OK);
});

test('a token is not accepted from the cache after its own expiry', async () => {
  const jwt = `e30.${Buffer.from(JSON.stringify({ exp: Math.floor(now / 1000) + 2 })).toString('base64url')}.sig`;
  reviews.set(jwt, account('shop:web'));
  expect((await ask(jwt)).code).toBe(grpc.status.OK);
  now += 3_000;
  reviews.set(jwt, { authenticated: false });
  expect((await ask(jwt)).code).toBe(UNAUTHENTICATED);
});

test('a CSR with a broken signature, a weak or foreign key, or no CSR at all is refused with the reason', async () => {
  const good = await makeCsr(WEB);
  const der = Buffer.from(good.pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  der[der.length - 3] = der[der.length - 3]! ^ 0xff;
  const rsa = (bits: number) => ({
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: bits,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  });
  const weak = await makeCsr(WEB, rsa(1024));
  const p384 = await makeCsr(WEB, { name: 'ECDSA', namedCurve: 'P-384' });
  for (const [csr, reason] of [
    [toPem('CERTIFICATE REQUEST', der), 'signature'],
    [weak.pem, '1024'],
    [p384.pem, 'P-384'],
    ['nonsense', 'PKCS#10'],
    ['', 'PKCS#10'],
    ['x'.repeat(20_000), 'longer'],
  ] as const) {
    const answer = await ask('node', WEB, 3600, csr);
    expect(answer.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(answer.details).toContain(reason);
  }
  expect((await ask('node', WEB, 3600, (await makeCsr(WEB, rsa(2048))).pem)).code).toBe(grpc.status.OK);
});

test('more than the longest validity is an error, none means the default', async () => {
  expect(await ask('node', WEB, 91 * DAY)).toMatchObject({ code: grpc.status.INVALID_ARGUMENT });
  for (const seconds of [0, -5]) {
    const answer = await ask('node', WEB, seconds);
    expect(Math.abs(new X509Certificate(answer.chain[0]!).validToDate.getTime() - Date.now() - DAY * 1000)).toBeLessThan(60_000);
  }
});

/** root → intermediate → signing CA, as an operator's `cacerts`. */
async function pluggedIn() {
  const issue = async (name: string, issuer: { cert: x509.X509Certificate; key: CryptoKey } | undefined) => {
    const keys = await generateKeyPair();
    const cert = await x509.X509CertificateGenerator.create({
      serialNumber: '01',
      subject: `CN=${name}`,
      issuer: issuer?.cert.subjectName ?? `CN=${name}`,
      notBefore: new Date(Date.now() - 1000),
      notAfter: new Date(Date.now() + 3_600_000),
      publicKey: keys.publicKey,
      signingKey: issuer?.key ?? keys.privateKey,
      signingAlgorithm: P256,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    return {
      cert,
      key: keys.privateKey,
      pem: `${cert.toString('pem')}\n`,
      keyPem: toPem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', keys.privateKey)),
    };
  };
  const root = await issue('root', undefined);
  const middle = await issue('middle', root);
  const signing = await issue('signing', middle);
  return { root, middle, signing };
}

test('a plugged-in CA answers leaf, each intermediate alone, then all roots together, and never outlives itself', async () => {
  const { root, middle, signing } = await pluggedIn();
  const other = await Authority.createRoot('old root');
  const loaded = await Authority.load({
    certPem: signing.pem,
    keyPem: signing.keyPem,
    chainPem: signing.pem + middle.pem,
    rootPem: root.pem + other.rootPem,
  });
  const { publicKey } = await generateKeyPair();
  const leaf = await loaded.issue({
    publicKey: await crypto.subtle.exportKey('spki', publicKey),
    names: [{ type: 'url', value: WEB }],
    ttlSeconds: 90 * DAY,
  });
  const chain = loaded.chain(leaf);
  expect(chain.slice(1)).toEqual([signing.pem, middle.pem, root.pem + other.rootPem]);
  expect(new X509Certificate(leaf.certPem).validToDate.getTime()).toBeLessThanOrEqual(signing.cert.notAfter.getTime());
  expect(new X509Certificate(leaf.certPem).verify(new X509Certificate(signing.pem).publicKey)).toBe(true);
});

test('a CA whose parts do not belong together is refused by field', async () => {
  const { root, middle, signing } = await pluggedIn();
  const good = { certPem: signing.pem, keyPem: signing.keyPem, chainPem: middle.pem, rootPem: root.pem };
  await Authority.load(good);
  await expect(Authority.load({ ...good, keyPem: root.keyPem })).rejects.toThrow('ca-key.pem does not belong to ca-cert.pem');
  await expect(Authority.load({ ...good, chainPem: '' })).rejects.toThrow('does not lead to');
  await expect(Authority.load({ ...good, certPem: 'x' })).rejects.toThrow('ca-cert.pem holds no certificate');
  await expect(Authority.load({ ...good, keyPem: 'x' })).rejects.toThrow('ca-key.pem is not a usable private key');
  await expect(fromSecret({ metadata: { name: 'cacerts', namespace: 'istio-system' }, data: {} })).rejects.toThrow(AuthorityError);
});

test("reads an istiod's self-signed RSA root with a PKCS#1 key and an empty root-cert.pem", async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pkcs1 = privateKey.export({ type: 'pkcs1', format: 'pem' }) as string;
  const rsa = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey(
    'pkcs8',
    new Uint8Array(createPrivateKey(pkcs1).export({ type: 'pkcs8', format: 'der' })),
    rsa,
    true,
    ['sign'],
  );
  const publicKey = await crypto.subtle.importKey(
    'jwk',
    {
      ...privateKey.export({ format: 'jwk' }),
      d: undefined,
      p: undefined,
      q: undefined,
      dp: undefined,
      dq: undefined,
      qi: undefined,
    } as never,
    rsa,
    true,
    ['verify'],
  );
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=cluster.local',
    keys: { privateKey: key, publicKey },
    signingAlgorithm: rsa,
    notBefore: new Date(),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const certPem = `${root.toString('pem')}\n`;
  const loaded = await fromSecret({
    metadata: { name: 'istio-ca-secret', namespace: 'istio-system' },
    data: { 'ca-cert.pem': btoa(certPem), 'ca-key.pem': btoa(pkcs1), 'root-cert.pem': '' },
  });
  const pair = await generateKeyPair();
  const leaf = await loaded.issue({
    publicKey: await crypto.subtle.exportKey('spki', pair.publicKey),
    names: [{ type: 'url', value: WEB }],
    ttlSeconds: 60,
  });
  expect(new X509Certificate(leaf.certPem).verify(new X509Certificate(certPem).publicKey)).toBe(true);
  expect(loaded.chain(leaf)[1]).toBe(certPem);
});

test('two control planes that start at once use one root', async () => {
  const secrets = new Map<string, unknown>();
  const store = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const name = new URL(request.url).pathname.split('/')[6] ?? '';
      if (request.method === 'GET')
        return secrets.has(name)
          ? Response.json(secrets.get(name))
          : Response.json({ kind: 'Status', code: 404, reason: 'NotFound' }, { status: 404 });
      const secret = (await request.json()) as { metadata: { name: string } };
      if (secrets.has(secret.metadata.name)) return Response.json({ kind: 'Status', code: 409, reason: 'AlreadyExists' }, { status: 409 });
      secrets.set(secret.metadata.name, secret);
      return Response.json(secret, { status: 201 });
    },
  });
  const api = new KubeClient({
    server: `http://127.0.0.1:${store.port}`,
    insecureSkipTlsVerify: false,
    namespace: 'default',
    context: 'test',
  });
  const [a, b] = await Promise.all([loadAuthority(api, 'istio-system', 'x'), loadAuthority(api, 'istio-system', 'x')]);
  expect(a.authority.rootPem).toBe(b.authority.rootPem);
  expect(await fromSecret(secretOf(a.authority, 'istio-system'))).toMatchObject({ rootPem: a.authority.rootPem });
  store.stop(true);
});

test('under COMPLIANCE_POLICY=pqc the control plane takes no key exchange that a quantum computer could undo', async () => {
  const serving = new ServingCredentials(outsideTls('pqc'));
  await serving.renew(authority, servingNames('istio-system', 'cluster.local', []));
  const strict = new grpc.Server();
  const port = await new Promise<number>((resolve, reject) =>
    strict.bindAsync('127.0.0.1:0', serving, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  const handshake = (limits: TlsLimits): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = {
      data() {},
      handshake: (peer: Bun.Socket, succeeded: boolean) => {
        resolve(succeeded ? 'agreed' : 'refused');
        peer.terminate();
      },
      close: () => resolve('refused'),
    };
    const tls = { ca: authority.rootPem, serverName: 'localhost', ALPNProtocols: Buffer.from('\x02h2'), ...limits };
    Bun.connect({ hostname: '127.0.0.1', port, tls, socket }).catch(() => resolve('refused'));
    return promise;
  };
  try {
    expect(await handshake(meshTls('pqc'))).toBe('agreed');
    expect(await handshake(meshTls('none'))).toBe('agreed');
    expect(await handshake({ ...meshTls('none'), ecdhCurve: 'X25519' })).toBe('refused');
    // As TLS 1.2 only: SSL_OP_NO_TLSv1_3.
    expect(await handshake({ secureOptions: 0x2000_0000 })).toBe('refused');
  } finally {
    strict.forceShutdown();
  }
  expect(() => readConfig({ COMPLIANCE_POLICY: 'fips-140-2' })).toThrow('COMPLIANCE_POLICY: "fips-140-2" cannot be kept');
});
