/** What the control plane's tests share: a real API server in a folder of its own, gRPC clients, objects. It is a test file only so that the import rule leaves it alone. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import 'reflect-metadata';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { startServer } from '../cluster/apiserver/index.ts';
import {
  type Container,
  isAlreadyExists,
  KubeClient,
  type KubeObject,
  NamespaceKind,
  type Pod,
  PodKind,
  type Resource,
  ServiceAccountKind,
} from '../platform/kubernetes/index.ts';
import { Logging } from '../platform/telemetry/index.ts';
import * as wire from '../protocol/messages/index.ts';
import { readConfig } from './config.ts';
import { ControlPlane } from './control-plane.ts';

export type Undo = (() => unknown)[];

export interface TestApi {
  readonly client: KubeClient;
  readonly url: string;
  readonly stateDir: string;
  stop(): Promise<void>;
}

/** A fresh API server on a free port of 127.0.0.1. */
export async function startApi(undo: Undo): Promise<TestApi> {
  const stateDir = mkdtempSync(join(tmpdir(), 'controlplane-'));
  const server = await startServer({
    stateDir,
    listenAddress: '127.0.0.1',
    port: 0,
    advertiseAddress: '127.0.0.1',
    servingNames: [],
    serviceCidr: '10.96.0.0/16',
    issuer: 'https://kubernetes.default.svc.cluster.local',
    kubeletTokenFile: join(stateDir, 'kubelet.token'),
    nodeNames: ['node1', 'node2'],
    log: (message) => process.env['API_LOG'] && console.error(message),
  });
  undo.push(() => rmSync(stateDir, { recursive: true, force: true }));
  undo.push(() => server.stop());
  const url = `https://127.0.0.1:${server.port}`;
  const read = (name: string) => readFileSync(join(stateDir, name), 'utf8').trim();
  const client = new KubeClient({
    server: url,
    caPem: read('pki/ca.crt'),
    token: read('admin.token'),
    insecureSkipTlsVerify: false,
    namespace: 'default',
    context: 'test',
  });
  return { client, url, stateDir, stop: () => server.stop() };
}

export async function startControlPlane(api: TestApi, undo: Undo, env: Record<string, string> = {}): Promise<ControlPlane> {
  const config = readConfig({ BIND_ADDRESS: '127.0.0.1', XDS_PORT: '0', HTTP_PORT: '0', MONITORING_PORT: '0', ...env });
  const logging = new Logging({ filter: process.env['RUST_LOG'] ?? 'off' });
  const controlPlane = new ControlPlane(config, api.client, logging);
  await controlPlane.start();
  undo.push(() => controlPlane.stop());
  return controlPlane;
}

const unlessPresent = (error: unknown): void => {
  if (!isAlreadyExists(error)) throw error;
};

export async function createNamespace(api: TestApi, name: string, labels: Record<string, string> = {}): Promise<void> {
  await api.client.create(NamespaceKind, { metadata: { name, labels } }).catch(unlessPresent);
}

export async function createAccount(api: TestApi, namespace: string, name: string): Promise<void> {
  await api.client.create(ServiceAccountKind, { metadata: { name, namespace } }).catch(unlessPresent);
}

export interface PodWish {
  readonly ip?: string;
  readonly node?: string;
  readonly labels?: Record<string, string>;
  readonly serviceAccount?: string;
  readonly annotations?: Record<string, string>;
  readonly containers?: Container[];
  readonly ready?: boolean;
}

/** A pod as a kubelet would have reported it. */
export async function createPod(api: TestApi, namespace: string, name: string, wish: PodWish = {}): Promise<Pod> {
  const { ip, node = 'node1', labels = {}, serviceAccount = 'default', annotations = {} } = wish;
  const pod = await api.client.create<Pod>(PodKind, {
    metadata: { name, namespace, labels, annotations },
    spec: {
      nodeName: node,
      serviceAccountName: serviceAccount,
      automountServiceAccountToken: false,
      containers: wish.containers ?? [{ name: 'app', image: 'x' }],
    },
  });
  if (ip === undefined) return pod;
  return api.client.patchStatus<Pod>(
    PodKind,
    name,
    {
      status: {
        phase: 'Running',
        podIP: ip,
        podIPs: [{ ip }],
        conditions: [{ type: 'Ready', status: wish.ready === false ? 'False' : 'True' }],
      },
    },
    { namespace },
  );
}

/** Tries until `check` stops throwing; the last failure is the test's. */
export async function eventually<T>(check: () => T | Promise<T>, limitMs = 20_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await Bun.sleep(10);
    }
  }
}

export const del = async <T extends KubeObject>(api: TestApi, resource: Resource<T>, namespace: string, name: string): Promise<void> =>
  void (await api.client.delete(resource, name, { namespace, gracePeriodSeconds: 0 }));

const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const CA = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
/** The name node proxies verify. Local subchannels, so that a new root is not asked of an old connection. */
export const CHANNEL = {
  'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
  'grpc.max_receive_message_length': -1,
  'grpc.use_local_subchannel_pool': 1,
};
const identity = (bytes: Buffer) => bytes;

export interface Response {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: {
    readonly name: string;
    readonly version: string;
    readonly aliases: string[];
    readonly value: Uint8Array;
    readonly anyType: string;
  }[];
  readonly removed: string[];
}

export class XdsClient {
  readonly #client: grpc.Client;
  readonly #call: grpc.ClientDuplexStream<Uint8Array, Buffer>;
  readonly #responses: Response[] = [];
  readonly #waiters: { resolve(response: Response): void; reject(error: Error): void }[] = [];
  #end: Error | undefined;
  readonly status = Promise.withResolvers<grpc.StatusObject>();
  /** Every response in order. */
  readonly received: Response[] = [];

  constructor(controlPlane: { readonly xdsPort: number; readonly rootPem: string }, token: string) {
    this.#client = new grpc.Client(
      `127.0.0.1:${controlPlane.xdsPort}`,
      grpc.credentials.createSsl(Buffer.from(controlPlane.rootPem)),
      CHANNEL,
    );
    const metadata = new grpc.Metadata();
    if (token !== '') metadata.set('authorization', `Bearer ${token}`);
    metadata.set('clusterid', 'Kubernetes');
    this.#call = this.#client.makeBidiStreamRequest(ADS, (bytes: Uint8Array) => Buffer.from(bytes), identity, metadata);
    this.#call.on('data', (bytes: Buffer) => {
      const message = fromBinary(wire.DeltaDiscoveryResponseSchema, bytes);
      const response: Response = {
        typeUrl: message.typeUrl,
        nonce: message.nonce,
        removed: message.removedResources,
        resources: message.resources.map((resource) => ({
          name: resource.name,
          version: resource.version,
          aliases: resource.aliases,
          value: resource.resource!.value,
          anyType: resource.resource!.typeUrl,
        })),
      };
      this.received.push(response);
      const waiter = this.#waiters.shift();
      if (waiter === undefined) this.#responses.push(response);
      else waiter.resolve(response);
    });
    this.#call.on('error', () => {}); // the status says it
    this.#call.on('status', (status: grpc.StatusObject) => {
      this.#end = new Error(`the stream has ended: ${grpc.status[status.code]} ${status.details}`);
      for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#end);
      this.status.resolve(status);
    });
  }

  send(request: {
    typeUrl: string;
    subscribe?: string[];
    unsubscribe?: string[];
    versions?: Record<string, string>;
    nonce?: string;
    error?: string;
    node?: string | null;
    metadata?: Record<string, string>;
  }): void {
    this.#call.write(
      toBinary(
        wire.DeltaDiscoveryRequestSchema,
        create(wire.DeltaDiscoveryRequestSchema, {
          typeUrl: request.typeUrl,
          resourceNamesSubscribe: request.subscribe ?? [],
          resourceNamesUnsubscribe: request.unsubscribe ?? [],
          initialResourceVersions: request.versions ?? {},
          responseNonce: request.nonce ?? '',
          ...(request.error !== undefined && { errorDetail: { code: 3, message: request.error } }),
          ...(typeof request.node === 'string' && { node: { id: request.node, metadata: { NODE_NAME: 'node1', ...request.metadata } } }),
        }),
      ),
    );
  }

  /** First request of a type, as ztunnel sends it. */
  begin(typeUrl: string, extra: Parameters<XdsClient['send']>[0] | Record<string, never> = {}): void {
    this.send({ node: NODE_ID, ...extra, typeUrl });
  }

  /** Fails when the stream ends before; how long a busy machine takes is not this client's business, a test has its own limit. */
  next(): Promise<Response> {
    const waiting = this.#responses.shift();
    if (waiting !== undefined) return Promise.resolve(waiting);
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const waiter = Promise.withResolvers<Response>();
    this.#waiters.push(waiter);
    return waiter.promise;
  }

  ack(response: Response, error?: string): void {
    this.send({ typeUrl: response.typeUrl, nonce: response.nonce, ...(error !== undefined && { error }) });
  }

  async nextAcked(): Promise<Response> {
    const response = await this.next();
    this.ack(response);
    return response;
  }

  /** Fails when something comes within the time. */
  async expectSilence(ms = 120): Promise<void> {
    if (this.#responses.length === 0) await Bun.sleep(ms);
    const response = this.#responses.shift();
    if (response !== undefined)
      throw new Error(
        `unexpected response: ${JSON.stringify({ ...response, resources: response.resources.map((resource) => resource.name) })}`,
      );
  }

  pause(): void {
    this.#call.pause();
  }
  resume(): void {
    this.#call.resume();
  }
  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}

export const NODE_ID = 'ztunnel~10.0.0.1~ztunnel-abc.istio-system~istio-system.svc.cluster.local';

export interface CertificateAnswer {
  readonly code: grpc.status;
  readonly details: string;
  readonly chain: string[];
}

export async function requestCertificate(
  controlPlane: { readonly xdsPort: number; readonly rootPem: string },
  token: string,
  request: { csr: string; impersonate?: string; seconds?: number },
): Promise<CertificateAnswer> {
  const client = new grpc.Client(
    `127.0.0.1:${controlPlane.xdsPort}`,
    grpc.credentials.createSsl(Buffer.from(controlPlane.rootPem)),
    CHANNEL,
  );
  const metadata = new grpc.Metadata();
  if (token !== '') metadata.set('authorization', `Bearer ${token}`);
  const bytes = toBinary(
    wire.IstioCertificateRequestSchema,
    create(wire.IstioCertificateRequestSchema, {
      csr: request.csr,
      validityDuration: BigInt(request.seconds ?? 3600),
      ...(request.impersonate !== undefined && { metadata: { ImpersonatedIdentity: request.impersonate } }),
    }),
  );
  try {
    return await new Promise<CertificateAnswer>((resolve) => {
      client.makeUnaryRequest(
        CA,
        (value: Uint8Array) => Buffer.from(value),
        identity,
        bytes,
        metadata,
        (error, answer?: Buffer) => {
          if (error !== null) resolve({ code: error.code, details: error.details, chain: [] });
          else resolve({ code: grpc.status.OK, details: '', chain: fromBinary(wire.IstioCertificateResponseSchema, answer!).certChain });
        },
      );
    });
  } finally {
    client.close();
  }
}

export interface KeyAlgorithmWish {
  readonly name: string;
  readonly namedCurve?: string;
  readonly modulusLength?: number;
  readonly publicExponent?: Uint8Array<ArrayBuffer>;
  readonly hash?: string;
}

/** A CSR as ztunnel makes it: empty subject, the SPIFFE id as its only name. */
export async function makeCsr(
  uri: string,
  algorithm: KeyAlgorithmWish = { name: 'ECDSA', namedCurve: 'P-256' },
): Promise<{ pem: string; keys: CryptoKeyPair }> {
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: '',
    keys,
    signingAlgorithm: algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }], true)],
  });
  return { pem: request.toString('pem'), keys };
}
