import 'reflect-metadata';
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { GrpcCode, type GrpcStatus, grpcCodeName } from '../../protocol/index.ts';
import { readConfig } from '../waypoint/config.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import { GrpcChannel } from './grpc-channel.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const validity = { notBefore: new Date(Date.now() - 1000), notAfter: new Date(Date.now() + 3_600_000) };
const newKeys = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
const rootKeys = await newKeys();
const rootFor = async (keys: CryptoKeyPair): Promise<x509.X509Certificate> =>
  x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=root',
    ...validity,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
const root = await rootFor(rootKeys);
const rootPem = root.toString('pem');
const strangerPem = (await rootFor(await newKeys())).toString('pem');

async function credentials(names: x509.JsonGeneralNames): Promise<ServerCredentials> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: root.subject,
    subject: 'CN=only.in.the.subject',
    ...validity,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(names)],
  });
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`;
  return ServerCredentials.createSsl(null, [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificate.toString('pem')) }]);
}

const raw = (bytes: Buffer): Buffer => bytes;
const method = (path: string, isStream: boolean) => ({
  path,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});
const ECHO = '/test.Echo/Once';
const CHAT = '/test.Echo/Chat';
const FAIL = '/test.Echo/Fail';
const NEVER = '/test.Echo/Never';

let seen: Record<string, string | undefined> = {};
let cancelled = 0;

async function startServer(names: x509.JsonGeneralNames, port = 0): Promise<{ port: number; server: Server }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(
    { once: method(ECHO, false), chat: method(CHAT, true), fail: method(FAIL, false), never: method(NEVER, false) },
    {
      once: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        seen = Object.fromEntries(['authorization', 'clusterid', 'x-extra'].map((name) => [name, call.metadata.get(name)[0]?.toString()]));
        answer(null, call.request);
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => void call.write(message));
        call.on('end', () => call.end());
        call.on('cancelled', () => cancelled++);
      },
      fail: (_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        answer({ code: status.PERMISSION_DENIED, details: 'nicht für dich: 100 %' }),
      never: (call: ServerUnaryCall<Buffer, Buffer>) => void call.on('cancelled', () => cancelled++),
    },
  );
  const chosen = await credentials(names);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, chosen, (error, actual) => (error ? reject(error) : resolve(actual)));
  });
  return { port: bound, server };
}

const config = readConfig({
  XDS_ADDRESS: '',
  CA_ADDRESS: '',
  AUTH_TOKEN: 'secret',
  POD_NAME: 'w',
  POD_NAMESPACE: 'n',
  SERVICE_ACCOUNT: 'w',
});
const channels: GrpcChannel[] = [];
const channelTo = (target: Partial<ControlPlaneTarget> & { port: number }, given: CoreConfig = config): GrpcChannel => {
  const channel = new GrpcChannel(
    { host: '127.0.0.1', serverName: target.host ?? '127.0.0.1', rootCa: rootPem, headers: new Map([['X-Extra', 'yes']]), ...target },
    given,
  );
  channels.push(channel);
  return channel;
};

interface Outcome {
  readonly messages: Uint8Array[];
  readonly status: GrpcStatus;
}
const once = (channel: GrpcChannel, path: string, message: Uint8Array, timeout = 5000): Promise<Outcome> =>
  new Promise((resolve) => {
    const messages: Uint8Array[] = [];
    const events = { onMessage: (m: Uint8Array) => messages.push(m), onEnd: (s: GrpcStatus) => resolve({ messages, status: s }) };
    channel.call(path, events, timeout).write(message, true);
  });
const codeOf = async (channel: GrpcChannel, path = ECHO): Promise<string> =>
  grpcCodeName((await once(channel, path, Uint8Array.of(1))).status.code);

let port = 0;
let main: Server;
beforeAll(async () => {
  ({ port, server: main } = await startServer([
    { type: 'ip', value: '127.0.0.1' },
    { type: 'dns', value: 'localhost' },
  ]));
});
afterAll(() => {
  for (const channel of channels) channel.close();
  main.forceShutdown();
});

test('a call is answered, and carries token, cluster and extra headers', async () => {
  const { messages, status: end } = await once(channelTo({ port }), ECHO, Uint8Array.of(1, 2, 3));
  expect(end.code).toBe(GrpcCode.OK);
  expect(messages).toEqual([Uint8Array.of(1, 2, 3)]);
  expect(seen).toEqual({ authorization: 'Bearer secret', clusterid: 'Kubernetes', 'x-extra': 'yes' });
});

test('a host name is resolved by the system', async () => {
  expect(await codeOf(channelTo({ port, host: 'localhost' }))).toBe('OK');
});

test('messages larger than every window arrive whole in both directions', async () => {
  const message = new Uint8Array(9 * 1024 * 1024).map((_, i) => i * 7);
  const { messages } = await once(channelTo({ port }), ECHO, message, 20_000);
  expect(Buffer.compare(messages[0]!, message)).toBe(0);
});

test('a stream carries messages both ways, in order, until it is cancelled', async () => {
  const before = cancelled;
  const got: number[] = [];
  const end = await new Promise<GrpcStatus>((resolve) => {
    const call = channelTo({ port }).call(CHAT, {
      onMessage: (message) => {
        got.push(message[0]!);
        if (got.length === 5) call.cancel();
        else call.write(Uint8Array.of(message[0]! + 1));
      },
      onEnd: resolve,
    });
    call.write(Uint8Array.of(1));
  });
  expect(got).toEqual([1, 2, 3, 4, 5]);
  expect(grpcCodeName(end.code)).toBe('CANCELLED');
  while (cancelled === before) await new Promise((next) => setImmediate(next));
});

test('a stream the server ends well ends with OK', async () => {
  const end = await new Promise<GrpcStatus>((resolve) => {
    channelTo({ port })
      .call(CHAT, { onMessage: () => {}, onEnd: resolve })
      .write(Uint8Array.of(1), true);
  });
  expect(end.code).toBe(GrpcCode.OK);
});

test('a refusal comes with its code and its text', async () => {
  expect((await once(channelTo({ port }), FAIL, Uint8Array.of(1))).status).toEqual({
    code: GrpcCode.PERMISSION_DENIED,
    message: 'nicht für dich: 100 %',
  });
  expect(await codeOf(channelTo({ port }), '/test.Echo/Unknown')).toBe('UNIMPLEMENTED');
});

test('a call without an answer in time ends, and the server is told', async () => {
  const before = cancelled;
  const { status: end } = await once(channelTo({ port }), NEVER, Uint8Array.of(1), 50);
  expect(grpcCodeName(end.code)).toBe('DEADLINE_EXCEEDED');
  while (cancelled === before) await new Promise((next) => setImmediate(next));
});

test('concurrent calls share one connection', async () => {
  const channel = channelTo({ port });
  const ends = await Promise.all(Array.from({ length: 50 }, () => codeOf(channel)));
  expect(new Set(ends)).toEqual(new Set(['OK']));
});

test('a server that nobody trusts, or that is somebody else, gets no call', async () => {
  const untrusted = await once(channelTo({ port, rootCa: strangerPem }), ECHO, Uint8Array.of(1));
  expect(untrusted.status.code).toBe(GrpcCode.UNAVAILABLE);
  expect(untrusted.status.message).toContain('TLS');
  const other = await once(channelTo({ port, serverName: 'control.example' }), ECHO, Uint8Array.of(1));
  expect(other.status.message).toContain('not for control.example but for');
  expect((await once(channelTo({ port, serverName: '127.0.0.2' }), ECHO, Uint8Array.of(1))).status.message).toContain('not for 127.0.0.2');
});

test('a name that stands only in the subject does not count', async () => {
  const { status: end } = await once(channelTo({ port, serverName: 'only.in.the.subject' }), ECHO, Uint8Array.of(1));
  expect(end.code).toBe(GrpcCode.UNAVAILABLE);
});

test('a certificate with a wildcard is for names of one more label', async () => {
  const { port: wild, server } = await startServer([{ type: 'dns', value: '*.control.example' }]);
  expect(await codeOf(channelTo({ port: wild, serverName: 'istiod.control.example' }))).toBe('OK');
  expect(await codeOf(channelTo({ port: wild, serverName: 'a.b.control.example' }))).toBe('UNAVAILABLE');
  server.forceShutdown();
});

test('no server, no name and no root are told apart', async () => {
  const { port: closed, server } = await startServer([{ type: 'ip', value: '127.0.0.1' }]);
  server.forceShutdown();
  expect((await once(channelTo({ port: closed }), ECHO, Uint8Array.of(1))).status.message).toContain('refused');
  expect((await once(channelTo({ port, host: 'nobody.invalid' }), ECHO, Uint8Array.of(1))).status.message).toContain(
    'cannot resolve "nobody.invalid"',
  );
  expect(() => channelTo({ port, rootCa: '/nowhere/root.pem' }).call(ECHO, { onMessage: () => {}, onEnd: () => {} })).toThrow(
    'cannot read the root certificate',
  );
});

test('after the server has gone and come back, the stream has ended and the next call works', async () => {
  const first = await startServer([{ type: 'ip', value: '127.0.0.1' }]);
  const channel = channelTo({ port: first.port });
  const heard = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<GrpcStatus>();
  channel.call(CHAT, { onMessage: () => heard.resolve(), onEnd: ended.resolve }).write(Uint8Array.of(1));
  await heard.promise;
  first.server.forceShutdown();
  expect(['UNAVAILABLE', 'CANCELLED', 'INTERNAL']).toContain(grpcCodeName((await ended.promise).code));
  const second = await startServer([{ type: 'ip', value: '127.0.0.1' }], first.port);
  expect(await codeOf(channel)).toBe('OK');
  second.server.forceShutdown();
});

test('closing ends calls that wait for their connection', async () => {
  const channel = channelTo({ port });
  const end = once(channel, ECHO, Uint8Array.of(1));
  channel.close();
  expect((await end).status.code).toBe(GrpcCode.UNAVAILABLE);
});
