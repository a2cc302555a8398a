/** Delta ADS to the control plane (ambient contract 4.1 and 4.2): subscribes to everything of each type, applies what is good, rejects the rest by name. */
import { type Counter, type Logger, type Registry, shortened } from '../../platform/telemetry/index.ts';
import {
  CONTROL_PLANE_IDENTIFIER,
  DeltaDiscoveryRequestTable,
  DeltaDiscoveryResponseTable,
  decodeMessage,
  encodeMessage,
  GrpcCode,
  grpcCodeName,
  type Init,
  type MessageOf,
} from '../../protocol/index.ts';
import { Backoff } from './backoff.ts';
import type { ControlPlaneTarget, CoreConfig } from './config.ts';
import type { GrpcCall } from './grpc-call.ts';
import { GrpcChannel } from './grpc-channel.ts';

const METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 15_000;
/** For a control plane that does not say it is Lateen's to answer for types of our own: it has answered for all others. */
const OWN_TYPES_WAIT_MS = 1000;
/** Resources named in one rejection; of more only their number is said. The same text goes into the log. */
const MAX_NAMED_REJECTIONS = 32;
/** Characters of a reason, which may quote what was refused. */
const MAX_REASON_LENGTH = 512;

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
  /** A type of our own, which a control plane that is not Lateen's may leave unanswered. */
  readonly isOwn?: boolean;
  /** Applies one response as a whole and returns what it could not use. */
  apply(resources: readonly XdsResource[], removed: readonly string[]): XdsRejection[];
  /** Where others have to apply it, too: resolves when they have. The response is acknowledged only then. */
  readonly applied?: () => Promise<void>;
}

/** Ends that are ordinary in the life of a control plane: try again at once. */
const ORDINARY: ReadonlySet<number> = new Set([GrpcCode.UNKNOWN, GrpcCode.CANCELLED, GrpcCode.DEADLINE_EXCEEDED]);

type Request = MessageOf<typeof DeltaDiscoveryRequestTable>;

const serialize = (request: Init<Request>): Uint8Array => encodeMessage(DeltaDiscoveryRequestTable, request);

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
  #isLateen = false;
  #giveUp: ReturnType<typeof setTimeout> | undefined;
  readonly #ready = Promise.withResolvers<void>();
  #stream: GrpcCall | undefined;
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

  /** Fulfilled once an acknowledged response has come for every type; for types of our own only where the control plane serves them. */
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
    clearTimeout(this.#giveUp);
    this.#stream?.cancel();
    this.#channel.close();
    this.#sleep?.();
  }

  /** One stream from its first request to its end. */
  #connect(): Promise<'Complete' | 'Reconnect' | 'Error' | 'ConnectionError'> {
    return new Promise((resolve) => {
      let received = false;
      let isBroken = false;
      const stream = this.#channel.call(METHOD, {
        onMessage: (message) => {
          const decoded = decodeMessage(DeltaDiscoveryResponseTable, message);
          if (!decoded.ok) {
            this.#logger.error('xds: cannot read an answer', { error: decoded.error });
            isBroken = true;
            stream.cancel();
            return;
          }
          const response = decoded.value;
          received = true;
          this.#messages.labels({ url: response.typeUrl }).inc();
          this.#messageBytes.labels({ url: response.typeUrl }).inc(message.length);
          this.#handle(stream, response);
        },
        onEnd: ({ code, message }) => {
          const isOrdinary = (ORDINARY.has(code) && !isBroken) || (code === GrpcCode.UNAVAILABLE && received);
          const isComplete = code === GrpcCode.OK;
          if (!this.#stopping && !isComplete)
            this.#logger[isOrdinary ? 'info' : 'warn']('xds: stream ended', { code: grpcCodeName(code), error: message });
          // A connection that failed may have been to an instance that is gone.
          if (!received) this.#channel.reset();
          resolve(isComplete ? 'Complete' : isOrdinary ? 'Reconnect' : received ? 'Error' : 'ConnectionError');
        },
      });
      this.#stream = stream;
      for (const typeUrl of this.#handlers.keys()) stream.write(serialize(this.#initialRequest(typeUrl)));
    });
  }

  #initialRequest(typeUrl: string): Init<Request> {
    return {
      typeUrl,
      node: nodeOf(this.#config),
      initialResourceVersions: Object.fromEntries(this.#versions.get(typeUrl)!),
    };
  }

  #handle(stream: GrpcCall, response: MessageOf<typeof DeltaDiscoveryResponseTable>): void {
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
    const detail = describe(rejections);
    if (detail !== '') this.#logger.error('xds: resources rejected', { type: typeUrl, error: detail });
    else this.#received(typeUrl, response.controlPlane?.identifier === CONTROL_PLANE_IDENTIFIER);
    this.#logger.debug('xds: received', { type: typeUrl, resources: response.resources.length, removed: response.removedResources.length });
    const errorDetail = detail === '' ? undefined : { code: GrpcCode.INVALID_ARGUMENT, message: detail };
    const answer = (): void => stream.write(serialize({ typeUrl, responseNonce: nonce, errorDetail }));
    if (handler?.applied === undefined) answer();
    else void handler.applied().then(answer);
  }

  /** One type less to wait for. Lateen answers for every type, so each is waited for; of another control plane ours are none. */
  #received(typeUrl: string, isLateen: boolean): void {
    this.#isLateen ||= isLateen;
    if (this.#awaited.size === 0) return;
    this.#awaited.delete(typeUrl);
    if (this.#awaited.size === 0) this.#ready.resolve();
    if (this.#isLateen) {
      clearTimeout(this.#giveUp);
      return;
    }
    for (const awaited of this.#awaited) if (this.#handlers.get(awaited)!.isOwn !== true) return;
    this.#giveUp ??= setTimeout(() => this.#goOnWithoutOwn(), OWN_TYPES_WAIT_MS);
  }

  #goOnWithoutOwn(): void {
    if (this.#isLateen || this.#awaited.size === 0) return;
    this.#logger.info('xds: the control plane does not serve types of our own; what they say is not enforced', {
      types: [...this.#awaited].join(', '),
    });
    this.#awaited.clear();
    this.#ready.resolve();
  }
}

function describe(rejections: readonly XdsRejection[]): string {
  const named = rejections
    .slice(0, MAX_NAMED_REJECTIONS)
    .map(({ name, reason }) => `${shortened(name, MAX_REASON_LENGTH)}: ${shortened(reason, MAX_REASON_LENGTH)}`);
  const more = rejections.length - named.length;
  return more > 0 ? `${named.join('; ')}; and ${more} more` : named.join('; ');
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
