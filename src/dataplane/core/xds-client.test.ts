/** The control plane's client against a real gRPC server over TLS; the cases of a real ztunnel's (docs/conformance/ztunnel.md, family "xds/client"). */
import 'reflect-metadata';
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { MeshRegistry } from '../../mesh/index.ts';
import { Logging, Registry } from '../../platform/telemetry/index.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, CONTROL_PLANE_IDENTIFIER, NETWORK_POLICY_TYPE } from '../../protocol/index.ts';
import {
  AddressSchema,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../../protocol/messages/index.ts';
import { readConfig } from '../waypoint/config.ts';
import { xdsHandlers } from './mesh-state.ts';
import { XdsClient } from './xds-client.ts';

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** A server whose answers the test gives by hand. */
class ManualServer {
  readonly #waiting: ((value: readonly [Stream, DeltaDiscoveryRequest]) => void)[] = [];
  readonly #requests: (readonly [Stream, DeltaDiscoveryRequest])[] = [];
  accept(stream: Stream): void {
    stream.on('error', () => {});
    stream.on('end', () => stream.end());
    stream.on('data', (request: DeltaDiscoveryRequest) => {
      const waiter = this.#waiting.shift();
      if (waiter) waiter([stream, request]);
      else this.#requests.push([stream, request]);
    });
  }
  next(): Promise<readonly [Stream, DeltaDiscoveryRequest]> {
    const got = this.#requests.shift();
    return got ? Promise.resolve(got) : new Promise((resolve) => this.#waiting.push(resolve));
  }
  /** The first request of each type on a new stream, by type. */
  async begin(): Promise<{ stream: Stream; first: Map<string, DeltaDiscoveryRequest> }> {
    const all = [await this.next(), await this.next(), await this.next()];
    const stream = all[0]![0];
    for (const [other] of all) expect(other).toBe(stream);
    return { stream, first: new Map(all.map(([, request]) => [request.typeUrl, request])) };
  }
}

let server: ManualServer;
let grpc: Server;
let port = 0;
let rootPem = '';
let client: XdsClient | undefined;

beforeAll(async () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'O=xds',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]),
    ],
  });
  rootPem = certificate.toString('pem');
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`;
  grpc = new Server();
  grpc.addService(
    {
      Delta: {
        path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
        requestStream: true,
        responseStream: true,
        requestSerialize: (value: DeltaDiscoveryRequest) => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, value)),
        requestDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
        responseSerialize: (value: DeltaDiscoveryResponse) => Buffer.from(toBinary(DeltaDiscoveryResponseSchema, value)),
        responseDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
      },
    },
    { Delta: (stream: Stream) => server.accept(stream) },
  );
  const credentials = ServerCredentials.createSsl(null, [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(rootPem) }]);
  port = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
});
afterEach(() => client?.stop());
afterAll(() => grpc.forceShutdown());

function start(): MeshRegistry {
  server = new ManualServer();
  const registry = new MeshRegistry();
  const config = readConfig({ XDS_ADDRESS: '', CA_ADDRESS: '', POD_NAME: 'w', POD_NAMESPACE: 'n', SERVICE_ACCOUNT: 'w' });
  const logger = new Logging({ filter: 'off', sink: (bytes) => bytes.length }).logger('test');
  const target = { host: '127.0.0.1', port, serverName: '127.0.0.1', rootCa: rootPem, headers: new Map<string, string>() };
  client = new XdsClient(target, config, xdsHandlers(registry, logger), logger, new Registry());
  void client.run();
  return registry;
}

const workloadBytes = (name: string): Uint8Array =>
  toBinary(AddressSchema, create(AddressSchema, { type: { case: 'workload', value: { uid: name, name, namespace: 'n' } } }));

const respond = (
  stream: Stream,
  typeUrl: string,
  nonce: string,
  resources: Record<string, Uint8Array> = {},
  removed: string[] = [],
  identifier = '',
): void => {
  stream.write(
    create(DeltaDiscoveryResponseSchema, {
      typeUrl,
      nonce,
      resources: Object.entries(resources).map(([name, value]) => ({ name, version: `${name}@1`, resource: { typeUrl, value } })),
      removedResources: removed,
      ...(identifier !== '' && { controlPlane: { identifier } }),
    }),
  );
};

test('asks for everything of each type, and is ready once both are answered and taken', async () => {
  const registry = start();
  let isReady = false;
  void client!.ready.then(() => {
    isReady = true;
  });
  const { stream, first } = await server.begin();
  for (const typeUrl of [ADDRESS_TYPE, AUTHORIZATION_TYPE]) {
    const request = first.get(typeUrl);
    expect(request).toMatchObject({ resourceNamesSubscribe: [], resourceNamesUnsubscribe: [], initialResourceVersions: {} });
    expect(request?.node?.id).toContain('~w.n~n.svc.cluster.local');
  }
  respond(stream, ADDRESS_TYPE, 'a1', { one: workloadBytes('one') });
  const [, ack] = await server.next();
  expect(ack).toMatchObject({ typeUrl: ADDRESS_TYPE, responseNonce: 'a1' });
  expect([ack.errorDetail, ack.node, isReady]).toEqual([undefined, undefined, false]);
  expect(registry.workload('one')?.name).toBe('one');
  respond(stream, AUTHORIZATION_TYPE, 'p1');
  await server.next();
  await client!.ready;
});

test('a first answer that is refused does not make it ready', async () => {
  start();
  const { stream } = await server.begin();
  respond(stream, AUTHORIZATION_TYPE, 'p1');
  await server.next();
  respond(stream, ADDRESS_TYPE, 'a1', { bad: new Uint8Array([0xff]) });
  expect((await server.next())[1].errorDetail).toBeDefined();
  expect(await Promise.race([client!.ready.then(() => 'ready'), Bun.sleep(50).then(() => 'waiting')])).toBe('waiting');
  respond(stream, ADDRESS_TYPE, 'a2', { bad: workloadBytes('bad') });
  expect((await server.next())[1].errorDetail).toBeUndefined();
  await client!.ready;
});

test('what is bad is refused by name and the rest is kept; after a reconnect only what is held is claimed', async () => {
  const registry = start();
  const { stream } = await server.begin();
  respond(stream, ADDRESS_TYPE, 'a1', { good: workloadBytes('good'), bad: new Uint8Array([0xff]), gone: workloadBytes('gone') });
  const [, nack] = await server.next();
  expect(nack.responseNonce).toBe('a1');
  expect(nack.errorDetail?.message).toStartWith('bad: ');
  expect(registry.workload('good')?.name).toBe('good');
  respond(stream, ADDRESS_TYPE, 'a2', {}, ['gone', 'never-there']);
  await server.next();
  expect(registry.workload('gone')).toBeUndefined();
  stream.end();
  const again = await server.begin();
  expect(again.stream).not.toBe(stream);
  expect(again.first.get(ADDRESS_TYPE)?.initialResourceVersions).toEqual({ good: 'good@1' });
  expect(again.first.get(AUTHORIZATION_TYPE)?.initialResourceVersions).toEqual({});
  // And it goes on with what it had.
  expect(registry.workload('good')?.name).toBe('good');
});

test('a refusal names some of many resources and says how many more there are', async () => {
  start();
  const { stream } = await server.begin();
  const long = 'n'.repeat(4096);
  const names = [long, ...Array.from({ length: 9_999 }, (_, i) => `bad-${i}`)];
  respond(stream, ADDRESS_TYPE, 'a1', Object.fromEntries(names.map((name) => [name, new Uint8Array([0xff])])));
  const { message } = (await server.next())[1].errorDetail!;
  expect(message.split('; ')).toHaveLength(33);
  expect(message).toStartWith(`${'n'.repeat(512)}…: `);
  expect(message).toContain('; bad-30: ');
  expect(message).toEndWith('; and 9968 more');
});

test('a type nobody asked for is acknowledged and ignored', async () => {
  const registry = start();
  const { stream } = await server.begin();
  respond(stream, 'type.googleapis.com/some.Other', 'o1', { x: new Uint8Array([1, 2, 3]) });
  const [, ack] = await server.next();
  expect([ack.typeUrl, ack.responseNonce, ack.errorDetail]).toEqual(['type.googleapis.com/some.Other', 'o1', undefined]);
  expect(registry.version).toBe(0);
});

test('a control plane that leaves types of ours unanswered is not waited for', async () => {
  start();
  const { stream, first } = await server.begin();
  expect(first.has(NETWORK_POLICY_TYPE)).toBe(true);
  respond(stream, ADDRESS_TYPE, 'a1', {}, [], 'istiod');
  respond(stream, AUTHORIZATION_TYPE, 'p1', {}, [], 'istiod');
  await client!.ready;
});

test('what Lateen says of NetworkPolicies is waited for, however long it takes', async () => {
  start();
  const { stream } = await server.begin();
  respond(stream, ADDRESS_TYPE, 'a1', {}, [], CONTROL_PLANE_IDENTIFIER);
  respond(stream, AUTHORIZATION_TYPE, 'p1', {}, [], CONTROL_PLANE_IDENTIFIER);
  // Longer than another control plane would have been waited for.
  expect(await Promise.race([client!.ready.then(() => 'ready'), Bun.sleep(1500).then(() => 'waiting')])).toBe('waiting');
  respond(stream, NETWORK_POLICY_TYPE, 'n1', {}, [], CONTROL_PLANE_IDENTIFIER);
  await client!.ready;
});
