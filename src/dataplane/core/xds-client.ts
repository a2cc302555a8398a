/** Delta ADS to the control plane (ambient contract 4.1 and 4.2): subscribes to everything of each type, applies what is good, rejects the rest by name. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import type { Counter, Logger, Registry } from '../../platform/telemetry/index.ts';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../../protocol/index.ts';
import { Backoff } from './backoff.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import { GrpcChannel } from './grpc-channel.ts';

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 15_000;

export interface XdsResource {
  readonly name: string;
  readonly value: Uint8Array;
}

export interface XdsRejection {
  readonly name: string;
  readonly reason: string;
}

/** What is done with one type's resources. */
export interface XdsHandler {
  readonly typeUrl: string;
  /** Applies one response as a whole and returns what it could not use. */
  apply(resources: readonly XdsResource[], removed: readonly string[]): XdsRejection[];
}

type Stream = ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** Ends that are ordinary in the life of a control plane: try again at once. */
const ORDINARY: ReadonlySet<number> = new Set([status.UNKNOWN, status.CANCELLED, status.DEADLINE_EXCEEDED]);

const serialize = (request: DeltaDiscoveryRequest): Buffer => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, request));

export class XdsClient {
  readonly #channel: GrpcChannel;
  readonly #config: CoreConfig;
  readonly #handlers: ReadonlyMap<string, XdsHandler>;
  readonly #logger: Logger;
  readonly #backoff = new Backoff(FIRST_BACKOFF_MS, MAX_BACKOFF_MS);
  readonly #terminations: Counter;
  readonly #messages: Counter;
  readonly #messageBytes: Counter;
  /** Per type, name → version of everything held. */
  readonly #versions = new Map<string, Map<string, string>>();
  readonly #awaited: Set<string>;
  readonly #ready = Promise.withResolvers<void>();
  #stream: Stream | undefined;
  #stopping = false;
  #sleep: (() => void) | undefined;

  constructor(target: ControlPlaneTarget, config: CoreConfig, handlers: readonly XdsHandler[], logger: Logger, telemetry: Registry) {
    this.#channel = new GrpcChannel(target, config);
    this.#config = config;
    this.#handlers = new Map(handlers.map((handler) => [handler.typeUrl, handler]));
    this.#awaited = new Set(this.#handlers.keys());
    this.#logger = logger;
    for (const typeUrl of this.#handlers.keys()) this.#versions.set(typeUrl, new Map());
    this.#terminations = telemetry.counter(
      'istio_xds_connection_terminations',
      'The total number of completed connections to xds server (unstable)',
      ['reason'],
    );
    this.#messages = telemetry.counter('istio_xds_message', 'Total number of messages received (unstable)', ['url']);
    this.#messageBytes = telemetry.counter('istio_xds_message_bytes', 'Total number of bytes received (unstable)', ['url']);
  }

  /** Fulfilled once an acknowledged response has come for every type. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async run(): Promise<void> {
    while (!this.#stopping) {
      const reason = await this.#connect().catch((error: Error): 'ConnectionError' => {
        this.#logger.warn('xds: cannot connect', { error: error.message });
        return 'ConnectionError';
      });
      if (this.#stopping) return;
      this.#terminations.labels({ reason }).inc();
      if (reason === 'Complete' || reason === 'Reconnect') this.#backoff.reset();
      const delay = this.#backoff.next();
      await new Promise<void>((wake) => {
        this.#sleep = wake;
        setTimeout(wake, delay);
      });
    }
  }

  stop(): void {
    this.#stopping = true;
    this.#stream?.cancel();
    this.#channel.close();
    this.#sleep?.();
  }

  /** One stream from its first request to its end. */
  #connect(): Promise<'Complete' | 'Reconnect' | 'Error' | 'ConnectionError'> {
    return new Promise((resolve) => {
      let bytes = 0;
      const deserialize = (buffer: Buffer): DeltaDiscoveryResponse => {
        bytes = buffer.length;
        return fromBinary(DeltaDiscoveryResponseSchema, buffer);
      };
      const stream = this.#channel.client().makeBidiStreamRequest(METHOD, serialize, deserialize, this.#channel.metadata());
      this.#stream = stream;
      let received = false;
      stream.on('data', (response: DeltaDiscoveryResponse) => {
        received = true;
        this.#messages.labels({ url: response.typeUrl }).inc();
        this.#messageBytes.labels({ url: response.typeUrl }).inc(bytes);
        this.#handle(stream, response);
      });
      stream.on('end', () => resolve('Complete'));
      stream.on('error', (error: ServiceError) => {
        const isOrdinary = ORDINARY.has(error.code) || (error.code === status.UNAVAILABLE && received);
        if (!this.#stopping)
          this.#logger[isOrdinary ? 'info' : 'warn']('xds: stream ended', { code: status[error.code], error: error.details });
        // A connection that failed may have been to an instance that is gone.
        if (!received) this.#channel.reset();
        resolve(isOrdinary ? 'Reconnect' : received ? 'Error' : 'ConnectionError');
      });
      for (const typeUrl of this.#handlers.keys()) stream.write(this.#initialRequest(typeUrl));
    });
  }

  #initialRequest(typeUrl: string): DeltaDiscoveryRequest {
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      node: nodeOf(this.#config),
      initialResourceVersions: Object.fromEntries(this.#versions.get(typeUrl)!),
    });
  }

  #handle(stream: Stream, response: DeltaDiscoveryResponse): void {
    const { typeUrl, nonce } = response;
    const handler = this.#handlers.get(typeUrl);
    let rejections: XdsRejection[] = [];
    if (handler !== undefined) {
      const versions = this.#versions.get(typeUrl)!;
      const resources = response.resources.map((resource) => ({
        name: resource.name,
        value: resource.resource?.value ?? new Uint8Array(0),
      }));
      try {
        rejections = handler.apply(resources, response.removedResources);
      } catch (error) {
        // A bug in applying must reach the control plane and the log, and not end the stream.
        rejections = resources.map(({ name }) => ({ name, reason: (error as Error).message }));
      }
      for (const name of response.removedResources) versions.delete(name);
      for (const { name, version } of response.resources) versions.set(name, version);
      for (const { name } of rejections) versions.delete(name);
    }
    const detail = rejections.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
    if (detail !== '') this.#logger.error('xds: resources rejected', { type: typeUrl, error: detail });
    else if (this.#awaited.delete(typeUrl) && this.#awaited.size === 0) this.#ready.resolve();
    this.#logger.debug('xds: received', { type: typeUrl, resources: response.resources.length, removed: response.removedResources.length });
    stream.write(
      create(DeltaDiscoveryRequestSchema, {
        typeUrl,
        responseNonce: nonce,
        ...(detail === '' ? {} : { errorDetail: { code: status.INVALID_ARGUMENT, message: detail } }),
      }),
    );
  }
}

function nodeOf(config: CoreConfig) {
  const { nodeType, instanceIp, podName, podNamespace } = config;
  return {
    id: `${nodeType}~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    metadata: {
      NAME: podName,
      NAMESPACE: podNamespace,
      INSTANCE_IPS: config.instanceIps,
      NODE_NAME: config.nodeName,
      CLUSTER_ID: config.clusterId,
      // Values came from JSON or are strings, so the struct takes them.
      ...(config.nodeMetadata as Record<string, string>),
    },
  };
}
