/**
 * A small control plane for the proxy's tests, run as its own process: a CA that signs what it is asked to, and delta xDS that pushes the state it is told.
 * Usage: bun control-plane.ts <address> <port> <directory for root.pem>; one JSON state per line on standard input.
 */
import 'reflect-metadata';
import fs from 'node:fs';
import { create, fromBinary, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials, type ServerDuplexStream, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, SERVICE_PLAN_TYPE } from '../../src/protocol/index.ts';
import {
  AddressSchema,
  AuthorizationSchema,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '../../src/protocol/messages/index.ts';

export interface State {
  /** `istio.workload.Address` and `istio.security.Authorization` as protobuf JSON, by resource name. */
  readonly addresses: Readonly<Record<string, JsonValue>>;
  readonly policies: Readonly<Record<string, JsonValue>>;
  /** Names of addresses a proxy is not told of, by its pod's name. */
  readonly hidden?: Readonly<Record<string, readonly string[]>>;
  /** Which root signs certificates of workloads, and which are trusted; by default the first alone. */
  readonly authority?: { readonly signer: RootName; readonly trusted: readonly RootName[] };
  /** gRPC messages as they are (base64), sent on every stream after the state: nothing a control plane should say. */
  readonly garbage?: readonly string[];
}
type RootName = 'old' | 'new';

const [address = '127.0.0.1', port = '15012', directory = '.'] = process.argv.slice(2);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY = 86_400_000;
const now = Date.now();
const validity = { notBefore: new Date(now - 60_000), notAfter: new Date(now + DAY) };

const newKeys = () => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
const newRoot = async (name: string) => {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `O=${name}`,
    ...validity,
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return { keys, certificate };
};
/** The authority outlives the process: a proxy must still trust the next one. */
async function loadRoot(name: string) {
  const file = `${directory}/${name}.json`;
  if (!fs.existsSync(file)) {
    const { keys, certificate } = await newRoot(`test ${name}`);
    const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    fs.writeFileSync(file, JSON.stringify({ certificate: certificate.toString('pem'), key }));
  }
  const saved = JSON.parse(fs.readFileSync(file, 'utf8')) as { certificate: string; key: string };
  const privateKey = await crypto.subtle.importKey('pkcs8', Buffer.from(saved.key, 'base64'), algorithm, true, ['sign']);
  return { privateKey, certificate: new x509.X509Certificate(saved.certificate) };
}
const root = await loadRoot('root');
const roots = { old: root, new: await loadRoot('next-root') };
const pem = root.certificate.toString('pem');
fs.writeFileSync(`${directory}/root.pem`, pem);

let serial = 2;
/** As long as was asked for, but no more than a day. */
const lifeOf = (seconds: bigint): typeof validity => {
  const life = Math.min(Number(seconds) * 1000 || DAY, DAY);
  const begin = Date.now() - Math.min(60_000, life / 10);
  return { notBefore: new Date(begin), notAfter: new Date(begin + life) };
};
const sign = (publicKey: CryptoKey | x509.PublicKey, names: x509.JsonGeneralNames, life = validity, issuer = root) =>
  x509.X509CertificateGenerator.create({
    serialNumber: (serial++).toString(16).padStart(2, '0'),
    issuer: issuer.certificate.subject,
    ...life,
    publicKey,
    signingKey: issuer.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension(names, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });

const serverKeys = await newKeys();
const serverCertificate = await sign(serverKeys.publicKey, [{ type: 'ip', value: address }]);
const serverKey = Buffer.from(await crypto.subtle.exportKey('pkcs8', serverKeys.privateKey)).toString('base64');

async function createCertificate(
  call: ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>,
  answer: sendUnaryData<IstioCertificateResponse>,
) {
  const { csr, metadata, validityDuration } = call.request;
  const request = new x509.Pkcs10CertificateRequest(csr);
  const ok = await request.verify();
  const extension = request.getExtension('2.5.29.17');
  const asked = extension && new x509.SubjectAlternativeNameExtension(extension.rawData).names.items[0]?.value;
  const identity = metadata?.['ImpersonatedIdentity'] ?? asked;
  if (!ok || asked !== identity || request.subject !== '') {
    answer({ code: 3, details: `bad request: signature ${ok}, name ${asked}, identity ${String(identity)}, subject "${request.subject}"` });
    return;
  }
  const { signer, trusted } = state.authority ?? { signer: 'old', trusted: ['old'] };
  const leaf = await sign(request.publicKey, [{ type: 'url', value: String(identity) }], lifeOf(validityDuration), roots[signer]);
  const bundle = trusted.map((name) => roots[name].certificate.toString('pem')).join('\n');
  answer(null, create(IstioCertificateResponseSchema, { certChain: [leaf.toString('pem'), bundle] }));
}

type Stream = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
let state: State = { addresses: {}, policies: {} };
let version = 0;
const streams = new Map<Stream, Map<string, Set<string>>>();
const nodes = new WeakMap<Stream, string>();
const SERVED: ReadonlySet<string> = new Set([ADDRESS_TYPE, AUTHORIZATION_TYPE, SERVICE_PLAN_TYPE]);
/** There are no routes. */
const NOTHING: Readonly<Record<string, JsonValue>> = {};

function push(stream: Stream, typeUrl: string, known: Set<string>): void {
  const isAddress = typeUrl === ADDRESS_TYPE;
  const node = nodes.get(stream) ?? '';
  const hidden = new Set(Object.entries(state.hidden ?? {}).flatMap(([pod, names]) => (node.includes(`~${pod}.`) ? names : [])));
  const visible = Object.fromEntries(Object.entries(state.addresses).filter(([name]) => !hidden.has(name)));
  const wanted = isAddress ? visible : typeUrl === AUTHORIZATION_TYPE ? state.policies : NOTHING;
  const resources = Object.entries(wanted).map(([name, json]) => ({
    name,
    version: String(version),
    resource: isAddress
      ? anyPack(AddressSchema, fromJson(AddressSchema, json))
      : anyPack(AuthorizationSchema, fromJson(AuthorizationSchema, json)),
  }));
  const removedResources = [...known].filter((name) => !(name in wanted));
  known.clear();
  for (const name of Object.keys(wanted)) known.add(name);
  stream.write(create(DeltaDiscoveryResponseSchema, { typeUrl, nonce: `${version}`, resources, removedResources }));
}

function deltaResources(stream: Stream): void {
  const types = new Map<string, Set<string>>();
  streams.set(stream, types);
  stream.on('data', (request: DeltaDiscoveryRequest) => {
    if (request.errorDetail) process.stderr.write(`NACK ${request.typeUrl}: ${request.errorDetail.message}\n`);
    if (request.node?.id) nodes.set(stream, request.node.id);
    if (types.has(request.typeUrl)) return;
    const known = new Set(Object.keys(request.initialResourceVersions));
    // As a control plane that knows the types of Istio, and routes for waypoints, and leaves others unanswered.
    if (!SERVED.has(request.typeUrl)) return;
    types.set(request.typeUrl, known);
    push(stream, request.typeUrl, known);
  });
  const gone = () => void streams.delete(stream);
  stream.on('end', () => {
    gone();
    stream.end();
  });
  stream.on('error', gone);
}

const server = new Server();
const method = { requestStream: false, responseStream: false };
server.addService(
  {
    CreateCertificate: {
      ...method,
      path: '/istio.v1.auth.IstioCertificateService/CreateCertificate',
      requestSerialize: (value: IstioCertificateRequest) => Buffer.from(toBinary(IstioCertificateRequestSchema, value)),
      requestDeserialize: (bytes: Buffer) => fromBinary(IstioCertificateRequestSchema, bytes),
      responseSerialize: (value: IstioCertificateResponse) => Buffer.from(toBinary(IstioCertificateResponseSchema, value)),
      responseDeserialize: (bytes: Buffer) => fromBinary(IstioCertificateResponseSchema, bytes),
    },
  },
  { CreateCertificate: createCertificate },
);
server.addService(
  {
    DeltaAggregatedResources: {
      requestStream: true,
      responseStream: true,
      path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      requestSerialize: (value: DeltaDiscoveryRequest) => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, value)),
      requestDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
      responseSerialize: (value: DeltaDiscoveryResponse | Uint8Array) =>
        Buffer.from(value instanceof Uint8Array ? value : toBinary(DeltaDiscoveryResponseSchema, value)),
      responseDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
    },
  },
  { DeltaAggregatedResources: deltaResources },
);
const keyPem = `-----BEGIN PRIVATE KEY-----\n${serverKey.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`;
const credentials = ServerCredentials.createSsl(null, [
  { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(serverCertificate.toString('pem')) },
]);
server.bindAsync(`${address}:${port}`, credentials, (error) => {
  if (error) throw error;
  process.stdout.write('ready\n');
});

for await (const line of console) {
  state = JSON.parse(line) as State;
  version++;
  for (const [stream, types] of streams) for (const [typeUrl, known] of types) push(stream, typeUrl, known);
  // The stream takes messages; these are handed through by its serializer.
  for (const message of state.garbage ?? []) for (const stream of streams.keys()) stream.write(Buffer.from(message, 'base64') as never);
  process.stdout.write(`pushed ${version}\n`);
}
process.exit(0);
