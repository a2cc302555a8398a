/** TLS and PROXY protocol of a DestinationRule, against real servers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import type tls from 'node:tls';
import type { BackendPolicy, BackendTls } from '../../src/mesh/http/index.ts';
import { until } from '../ztunnel/lab.ts';
import { run } from '../ztunnel/network.ts';
import { CLIENT_IP, keyOf, WaypointLab } from './lab.ts';

const lab = new WaypointLab();
const file = (name: string): string => path.join(lab.directory, name);
const ports: Record<string, number> = {};
const headers: string[] = [];
const children: Bun.Subprocess[] = [];

/** A self-signed certificate is its own authority. */
const certificate = (name: string, names: string): void => {
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`, '-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file(`${name}.key`)];
  run('openssl', 'req', '-x509', ...key, ...subject, '-out', file(`${name}.pem`));
};
const ca = (): string => file('server.pem');
const simple = (over: Partial<BackendTls> = {}): BackendPolicy => ({
  tls: { mode: 'simple', caCertificates: ca(), sni: 'svc.example', ...over },
});
const mutual = (over: Partial<BackendTls> = {}): BackendPolicy => ({
  tls: { ...simple().tls!, mode: 'mutual', clientCertificate: file('client.pem'), privateKey: file('client.key'), ...over },
});

/** A program inside that reads the header of each connection to `at`, and hands the rest to `target`. */
const unwrap = async (at: string, target: string): Promise<void> => {
  const script = path.join(import.meta.dir, 'proxy-peer.ts');
  const child = Bun.spawn(lab.command(process.execPath, script, at, target), { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  children.push(child);
  const started = Promise.withResolvers<void>();
  void (async () => {
    for await (const chunk of child.stdout) {
      headers.push(...new TextDecoder().decode(chunk).trimEnd().split('\n'));
      started.resolve();
    }
  })();
  await started.promise;
};

beforeAll(async () => {
  certificate('server', 'DNS:svc.example,DNS:*.wild.example,URI:spiffe://a/b');
  certificate('client', 'URI:spiffe://client');
  const server = { key: fs.readFileSync(file('server.key')), cert: fs.readFileSync(file('server.pem')) };
  const withClient = { ...server, ca: fs.readFileSync(file('client.pem')), requestCert: true, rejectUnauthorized: true };
  lab.inside(() => {
    https
      .createServer(server, (request, response) => {
        response.end((request.socket as tls.TLSSocket & { servername?: string }).servername);
      })
      .listen(8443, '127.0.0.21');
    http2
      .createSecureServer({ key: server.key, cert: server.cert }, (request, response) => response.end(request.httpVersion))
      .listen(8443, '127.0.0.22');
    https.createServer(withClient, (_request, response) => response.end('known')).listen(8443, '127.0.0.23');
    Bun.serve({ hostname: '127.0.0.24', port: 8080, fetch: () => new Response('plain') });
    // Accepts and says nothing: no TLS.
    net.createServer((socket) => socket.on('error', () => {})).listen(8443, '127.0.0.26');
  });
  await unwrap('127.0.0.24:8443', '127.0.0.24:8080');
  await unwrap('127.0.0.25:8443', '127.0.0.21:8443');
  const services: [string, string, BackendPolicy, 'HTTP11' | 'HTTP2'][] = [
    ['simple', '127.0.0.21', simple(), 'HTTP11'],
    ['wild', '127.0.0.21', simple({ sni: 'a.wild.example' }), 'HTTP11'],
    ['host', '127.0.0.21', simple({ sni: undefined as never }), 'HTTP11'],
    ['other', '127.0.0.21', simple({ sni: 'other.example' }), 'HTTP11'],
    ['named', '127.0.0.21', simple({ sni: 'other.example', subjectAltNames: ['spiffe://x/y', 'spiffe://a/b'] }), 'HTTP11'],
    ['misnamed', '127.0.0.21', simple({ subjectAltNames: ['spiffe://x/y'] }), 'HTTP11'],
    ['foreign', '127.0.0.21', simple({ caCertificates: file('client.pem') }), 'HTTP11'],
    [
      'stranger2',
      '127.0.0.21',
      simple({ caCertificates: file('client.pem'), sni: 'other.example', subjectAltNames: ['spiffe://a/b'] }),
      'HTTP11',
    ],
    ['system', '127.0.0.21', { tls: { mode: 'simple', sni: 'svc.example' } }, 'HTTP11'],
    ['trusting', '127.0.0.21', { tls: { mode: 'simple', sni: 'x.example', insecureSkipVerify: true } }, 'HTTP11'],
    ['missing', '127.0.0.21', simple({ caCertificates: file('missing.pem') }), 'HTTP11'],
    ['http2', '127.0.0.22', simple(), 'HTTP2'],
    ['mutual', '127.0.0.23', mutual(), 'HTTP11'],
    ['stranger', '127.0.0.23', mutual({ clientCertificate: file('server.pem'), privateKey: file('server.key') }), 'HTTP11'],
    ['proxy1', '127.0.0.24', { proxyProtocol: 1 }, 'HTTP11'],
    ['proxy2', '127.0.0.24', { proxyProtocol: 2 }, 'HTTP11'],
    ['both', '127.0.0.25', { ...simple(), proxyProtocol: 1 }, 'HTTP11'],
    ['untrusted', '127.0.0.25', { ...simple({ sni: 'other.example' }), proxyProtocol: 1 }, 'HTTP11'],
    ['mute', '127.0.0.26', { ...simple(), connectionPool: { connectTimeout: 300 } }, 'HTTP11'],
  ];
  await lab.start(
    services.map(([name, ip, , protocol]) => ({ name, ports: [{ port: 80, targetPort: 8443, protocol }], endpoints: [ip] })),
    services.map(([name, , policy]) => ({ service: keyOf(name), ports: [], policy: JSON.parse(JSON.stringify(policy)) as BackendPolicy })),
    { ACCESS_LOG_FORMAT: 'json' },
  );
  for (const [name] of services) ports[name] = lab.open(name, 80);
});
afterAll(async () => {
  for (const child of children) child.kill();
  await lab.stop();
});

const get = (name: string, times = 1): Promise<string> =>
  lab.run(
    'curl',
    '-s',
    '-m',
    '10',
    '-w',
    '|%{http_code}',
    ...Array.from({ length: times }, () => `http://127.0.0.1:${ports[name]}/${name}`),
  );
const reason = async (name: string): Promise<{ flags: string; failure: string }> => {
  const find = (): string | undefined => lab.log.split('\n').find((line) => line.includes(`"path":"/${name}"`));
  await until(`the line of ${name}`, () => find() !== undefined);
  const line = JSON.parse(find()!) as { response_flags: string; upstream_transport_failure_reason: string };
  return { flags: line.response_flags, failure: line.upstream_transport_failure_reason };
};

describe('mode SIMPLE', () => {
  test('speaks TLS, names the server and the protocol', async () => {
    expect(await get('simple')).toBe('svc.example|200');
    expect(await get('wild')).toEndWith('|200');
  });

  test('offers HTTP/2 to whom it will speak it', async () => {
    expect(await get('http2')).toBe('2.0|200');
  });

  test('takes any of the subjectAltNames instead of the name', async () => {
    expect(await get('named')).toEndWith('|200');
  });

  test.each([
    ['other', 'is not for other.example but DNS:svc.example'],
    ['host', 'is not for host.default.svc.cluster.local but DNS:svc.example'],
    ['misnamed', 'none of subjectAltNames: spiffe://x/y'],
    ['foreign', 'self'],
    ['stranger2', 'self'],
    ['system', 'self'],
    ['missing', 'missing.pem'],
    ['untrusted', 'is not for other.example'],
    ['mute', 'deadline has elapsed'],
  ])('sends nothing to a server that is not the one: %s', async (name, text) => {
    expect(await get(name)).toEndWith('|503');
    const { flags, failure } = await reason(name);
    expect(flags).toStartWith('URX,UF');
    expect(failure).toContain(text);
  });

  test('asks for no proof with insecureSkipVerify', async () => {
    expect(await get('trusting')).toEndWith('|200');
  });
});

describe('mode MUTUAL', () => {
  test('shows its own certificate', async () => {
    expect(await get('mutual')).toBe('known|200');
  });

  test('is refused with another one', async () => {
    expect(await get('stranger')).toEndWith('|503');
  });
});

describe('proxyProtocol', () => {
  test('1 puts a line in front of a connection, which no other client uses', async () => {
    headers.length = 0;
    expect(await get('proxy1', 2)).toBe('plain|200plain|200');
    await until('the header', () => headers.length > 0);
    expect(headers).toHaveLength(1);
    const address = CLIENT_IP.replaceAll('.', '\\.');
    expect(Buffer.from(headers[0]!, 'hex').toString()).toMatch(new RegExp(`^PROXY TCP4 ${address} 240\\.0\\.0\\.\\d+ \\d+ 80\\r\\n$`));
  });

  test('2 puts its binary form there', async () => {
    headers.length = 0;
    expect(await get('proxy2')).toBe('plain|200');
    await until('the header', () => headers.length === 1);
    expect(headers[0]).toMatch(/^0d0a0d0a000d0a515549540a2111000c7f000001f00000..[0-9a-f]{4}0050$/);
  });

  test('goes before TLS, in the clear', async () => {
    headers.length = 0;
    expect(await get('both')).toBe('svc.example|200');
    await until('the header', () => headers.length === 1);
    expect(Buffer.from(headers[0]!, 'hex').toString()).toStartWith('PROXY TCP4 ');
  });
});
