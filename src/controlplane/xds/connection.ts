import { CONTROL_PLANE_IDENTIFIER, type DeltaDiscoveryRequest } from '../wire.ts';
import type { Change, ResourceStore } from './store.ts';
import { bytes, ResourceStore as EmptyStore, text } from './store.ts';
import { type Outgoing, Subscription, type TypeRequest } from './subscription.ts';

/** Types one stream may ask for; ztunnel asks for two, the largest known client for about ten. */
export const TYPES_PER_STREAM_LIMIT = 32;
/** Requests of one stream that may wait for the first compilation. */
export const EARLY_REQUESTS_LIMIT = 1000;

export interface ConnectionSink {
  /** Returns false when the transport is full: then nothing is sent until `flush` is called again. */
  write(response: Uint8Array): boolean;
  /** A request that had to wait cannot be served: the stream is over. */
  onProblem(problem: ProtocolProblem): void;
  onSent?(typeUrl: string, response: Outgoing, size: number): void;
  onRejected?(typeUrl: string, reason: string): void;
}

/** The store a connection may see for a type; undefined: a type it gets nothing of. */
export type StoreChoice = (typeUrl: string, connection: Connection) => ResourceStore | undefined;

export type ProtocolProblem = { readonly code: 'INVALID_ARGUMENT' | 'RESOURCE_EXHAUSTED'; readonly message: string };

/** One delta xDS stream without its transport: requests go in by `receive`, responses come out through the sink. */
export class Connection {
  readonly id: string;
  readonly connectedAt: number;
  /** Of the service account that opened it. */
  readonly namespace: string;
  readonly #stores: StoreChoice;
  readonly #sink: ConnectionSink;
  readonly #subscriptions = new Map<string, Subscription>();
  #nodeId = '';
  #nodeName = '';
  #gateway = '';
  #isFull = false;
  /** What came before the first compilation: taken then, because until then nothing can be told apart from what a client holds. */
  #early: DeltaDiscoveryRequest[] = [];
  #isOpen: () => boolean;

  /** `isOpen` says whether there is anything to answer with yet (the first compilation). */
  constructor(id: string, namespace: string, stores: StoreChoice, sink: ConnectionSink, isOpen: () => boolean, now: number) {
    this.id = id;
    this.namespace = namespace;
    this.connectedAt = now;
    this.#stores = stores;
    this.#sink = sink;
    this.#isOpen = isOpen;
  }

  get nodeId(): string {
    return this.#nodeId;
  }
  /** The Kubernetes node, as the client says. */
  get nodeName(): string {
    return this.#nodeName;
  }
  /** `pod.namespace` of the client, from its node id. */
  get proxy(): string {
    return this.#nodeId.split('~')[2] || this.#nodeId || this.id;
  }
  get isZtunnel(): boolean {
    return this.#nodeId.startsWith('ztunnel~');
  }
  get isWaypoint(): boolean {
    return this.#nodeId.startsWith('waypoint~');
  }
  /** `namespace/name` of the Gateway this waypoint runs for: its own account's namespace, and the name it gives. Empty for other clients. */
  get waypoint(): string {
    return this.isWaypoint && this.#gateway !== '' ? `${this.namespace}/${this.#gateway}` : '';
  }
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#subscriptions;
  }

  receive(request: DeltaDiscoveryRequest): ProtocolProblem | undefined {
    if (this.#nodeId === '') {
      if (!request.node?.id) return { code: 'INVALID_ARGUMENT', message: 'missing node information' };
      this.#nodeId = request.node.id.slice(0, 1024);
      const name = request.node.metadata?.['NODE_NAME'];
      this.#nodeName = typeof name === 'string' ? name : '';
      const gateway = request.node.metadata?.['GATEWAY_NAME'];
      this.#gateway = typeof gateway === 'string' ? gateway : '';
    }
    if (request.typeUrl === '') return { code: 'INVALID_ARGUMENT', message: 'missing type_url' };
    if (!this.#isOpen()) {
      if (this.#early.length >= EARLY_REQUESTS_LIMIT)
        return { code: 'RESOURCE_EXHAUSTED', message: `more than ${EARLY_REQUESTS_LIMIT} requests before the first answer` };
      this.#early.push(request);
      return undefined;
    }
    const problem = this.#take(request);
    this.flush();
    return problem;
  }

  #take(request: DeltaDiscoveryRequest): ProtocolProblem | undefined {
    const subscription = this.#subscription(request.typeUrl);
    if (subscription === undefined)
      return { code: 'RESOURCE_EXHAUSTED', message: `more than ${TYPES_PER_STREAM_LIMIT} resource types on one stream` };
    const error = request.errorDetail === undefined ? undefined : request.errorDetail.message || `code ${request.errorDetail.code}`;
    const typeRequest: TypeRequest = {
      subscribe: request.resourceNamesSubscribe,
      unsubscribe: request.resourceNamesUnsubscribe,
      initialVersions: request.initialResourceVersions,
      nonce: request.responseNonce,
      ...(error !== undefined && { error }),
    };
    const outcome = subscription.receive(typeRequest);
    if (outcome === 'over-limit') return { code: 'RESOURCE_EXHAUSTED', message: 'too many resource names subscribed on one stream' };
    if (error !== undefined && outcome !== 'stale') this.#sink.onRejected?.(request.typeUrl, error);
    return undefined;
  }

  changed(store: ResourceStore, changes: readonly Change[]): void {
    const subscription = this.#subscriptions.get(store.typeUrl);
    if (subscription?.store === store) subscription.changed(changes);
  }

  /** The transport has room again. */
  drained(): void {
    this.#isFull = false;
    this.flush();
  }

  /** Sends what is due, as far as the transport takes it. */
  flush(): void {
    if (!this.#isOpen()) return;
    for (const request of this.#early.splice(0)) {
      const problem = this.#take(request);
      if (problem !== undefined) this.#sink.onProblem(problem);
    }
    for (const [typeUrl, subscription] of this.#subscriptions) {
      if (this.#isFull) return;
      const outgoing = subscription.next();
      if (outgoing === undefined) continue;
      const response = encodeResponse(typeUrl, outgoing);
      this.#isFull = !this.#sink.write(response);
      this.#sink.onSent?.(typeUrl, outgoing, response.length);
    }
  }

  #subscription(typeUrl: string): Subscription | undefined {
    const known = this.#subscriptions.get(typeUrl);
    if (known !== undefined) return known;
    if (this.#subscriptions.size >= TYPES_PER_STREAM_LIMIT) return undefined;
    // A type we do not serve is an empty one: its first request is answered, so the client does not wait for ever.
    const made = new Subscription(this.#stores(typeUrl, this) ?? new EmptyStore(typeUrl));
    this.#subscriptions.set(typeUrl, made);
    return made;
  }
}

/** `ControlPlane{identifier 1}`: by it our proxies know that types of our own are answered. */
const CONTROL_PLANE = bytes(7, text(1, CONTROL_PLANE_IDENTIFIER));

/** `DeltaDiscoveryResponse{system_version_info 1, resources 2, type_url 4, nonce 5, removed_resources 6, control_plane 7}` from parts encoded before. */
export function encodeResponse(typeUrl: string, outgoing: Outgoing): Uint8Array {
  return Buffer.concat([
    text(1, outgoing.nonce),
    ...outgoing.resources,
    text(4, typeUrl),
    text(5, outgoing.nonce),
    ...outgoing.removed.map((name) => bytes(6, Buffer.from(name, 'utf8'))),
    CONTROL_PLANE,
  ]);
}
