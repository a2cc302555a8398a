import { fromBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import type { Logger } from '../../platform/telemetry/index.ts';
import type { Authenticator } from '../ca/authenticate.ts';
import { type DeltaDiscoveryRequest, DeltaDiscoveryRequestSchema } from '../wire.ts';
import { Connection, type ProtocolProblem, type StoreChoice } from './connection.ts';
import type { ScopedStores } from './scoped.ts';
import type { Change, ResourceStore } from './store.ts';

/** A stream costs some kilobytes; this many are a mesh of as many nodes. */
export const STREAM_LIMIT = 20_000;

export interface DiscoveryEvents {
  onConnect?(connection: Connection): void;
  onDisconnect?(connection: Connection): void;
  onSent?(connection: Connection, typeUrl: string, resources: number, size: number): void;
  onRejected?(connection: Connection, typeUrl: string, reason: string): void;
  /** A request was taken: what is acknowledged may have changed. */
  onReceived?(connection: Connection): void;
}

type Call = grpc.ServerDuplexStream<DeltaDiscoveryRequest, Uint8Array>;

/** Delta aggregated discovery over gRPC: authenticates, then lets a `Connection` speak. */
export class DiscoveryServer {
  readonly #stores: StoreChoice;
  readonly #authenticator: Authenticator;
  readonly #events: DiscoveryEvents;
  readonly #log: Logger;
  readonly #connections = new Set<Connection>();
  #isReady = false;
  #count = 0;

  /** `stores` are for every client; of the `scoped` types a waypoint gets its own part and nobody else anything. */
  constructor(
    stores: readonly ResourceStore[],
    authenticator: Authenticator,
    log: Logger,
    events: DiscoveryEvents = {},
    scoped: readonly ScopedStores[] = [],
  ) {
    const byType = new Map(stores.map((store) => [store.typeUrl, store]));
    const scopedByType = new Map(scoped.map((store) => [store.typeUrl, store]));
    this.#stores = (typeUrl, connection) =>
      byType.get(typeUrl) ?? (connection.waypoint === '' ? undefined : scopedByType.get(typeUrl)?.named(connection.waypoint));
    this.#authenticator = authenticator;
    this.#log = log;
    this.#events = events;
    const tell = (store: ResourceStore, changes: readonly Change[]) => {
      for (const connection of this.#connections) connection.changed(store, changes);
    };
    for (const store of stores) store.onChange((changes) => tell(store, changes));
    for (const store of scoped) store.onChange(tell);
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** The first compilation is there: streams that waited get their answers. */
  open(): void {
    this.#isReady = true;
    this.pushAll();
  }

  /** Sends what store changes have made due; waypoints shall know first what node proxies send them. */
  pushAll(): void {
    for (const connection of this.#connections) if (connection.isWaypoint) connection.flush();
    for (const connection of this.#connections) connection.flush();
  }

  service(): { definition: grpc.ServiceDefinition; implementation: grpc.UntypedServiceImplementation } {
    return {
      definition: {
        DeltaAggregatedResources: {
          path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
          requestStream: true,
          responseStream: true,
          requestSerialize: (bytes: Uint8Array) => Buffer.from(bytes),
          requestDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
          responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      },
      implementation: { DeltaAggregatedResources: (call: Call) => void this.#serve(call) },
    };
  }

  async #serve(call: Call): Promise<void> {
    let isOver = false;
    let connection: Connection | undefined;
    const finish = () => {
      if (isOver) return;
      isOver = true;
      if (connection !== undefined && this.#connections.delete(connection)) this.#events.onDisconnect?.(connection);
    };
    call.on('cancelled', finish);
    call.on('close', finish);
    call.on('error', finish); // the reason was given by whoever raised it, or the client went away
    const refuse = (code: grpc.status, details: string) => {
      if (!isOver) call.emit('error', { code, details });
      finish();
    };
    const header = call.metadata.get('authorization')[0];
    const caller = await this.#authenticator.authenticate(typeof header === 'string' ? header : undefined);
    if (!caller.ok) {
      this.#log.warn(`xDS stream refused: ${caller.error}`, { peer: call.getPeer() });
      return refuse(grpc.status.UNAUTHENTICATED, 'authentication failure');
    }
    if (isOver) return;
    if (this.#connections.size >= STREAM_LIMIT)
      return refuse(grpc.status.RESOURCE_EXHAUSTED, `this control plane serves at most ${STREAM_LIMIT} streams`);
    const opened: Connection = new Connection(
      `${caller.value.namespace}/${caller.value.pod?.name ?? caller.value.serviceAccount}-${++this.#count}`,
      caller.value.namespace,
      this.#stores,
      {
        write: (response) => !isOver && call.write(response),
        onProblem: (problem) => refuse(statusOf(problem), problem.message),
        onSent: (typeUrl, outgoing, size) => this.#events.onSent?.(opened, typeUrl, outgoing.count, size),
        onRejected: (typeUrl, reason) => this.#events.onRejected?.(opened, typeUrl, reason),
      },
      () => this.#isReady && !isOver,
      Date.now(),
    );
    connection = opened;
    this.#connections.add(opened);
    this.#events.onConnect?.(opened);
    call.on('drain', () => opened.drained());
    call.on('end', () => {
      finish();
      call.end();
    });
    call.on('data', (request: DeltaDiscoveryRequest) => {
      if (isOver) return;
      const problem = opened.receive(request);
      if (problem !== undefined) refuse(statusOf(problem), problem.message);
      else this.#events.onReceived?.(opened);
    });
  }
}

const statusOf = (problem: ProtocolProblem): grpc.status => grpc.status[problem.code];
