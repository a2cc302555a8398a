/**
 * The HTTP connections to one endpoint. Limits of `connectionPool` are those of the whole destination, as with Envoy's circuit breakers: an endpoint without
 * a connection may have one all the same, and whoever finds no connection waits for one of its own endpoint.
 */
import type { EndpointState } from '../../mesh/http/index.ts';
import type { Http2Settings } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import type { Connector } from './connector.ts';
import { Http1Upstream } from './http1-upstream.ts';
import { Http2Upstream } from './http2-upstream.ts';
import type { LimitHits } from './limit-hits.ts';
import { LIMITS } from './limits.ts';
import type { UpstreamEvents, UpstreamStream } from './messages.ts';
import { QueuedRequest } from './queued-request.ts';
import type { Upstream } from './traffic.ts';
import type { OutgoingRequest, UpstreamOwner } from './upstream.ts';

/** A request under way, and whether it rides on a connection that others used before: such a one may have been closed just now. */
export interface StartedRequest {
  readonly stream: UpstreamStream;
  readonly isReused: boolean;
}

/** What the connections to all endpoints share. */
export interface PoolParts {
  readonly connector: Connector;
  readonly http2Settings: Http2Settings;
  readonly limits: LimitHits;
}

export class EndpointConnections {
  readonly #parts: PoolParts;
  readonly #upstream: Upstream;
  readonly #endpoint: EndpointState;
  readonly #client: Client;
  readonly #idle: Http1Upstream[] = [];
  readonly #shared: Http2Upstream[] = [];
  readonly #waiting: QueuedRequest[] = [];
  #isServing = false;
  #http1Count = 0;

  /** `client`: for whom the connections are, where they say that. */
  constructor(parts: PoolParts, upstream: Upstream, endpoint: EndpointState, client: Client) {
    this.#client = client;
    this.#parts = parts;
    this.#upstream = upstream;
    this.#endpoint = endpoint;
  }

  get count(): number {
    return this.#http1Count + this.#shared.length;
  }

  get isUnused(): boolean {
    return this.count === 0 && this.#waiting.length === 0;
  }

  /** Its endpoint takes no more new requests, or its destination is another one by now. */
  get isStale(): boolean {
    return this.#endpoint.isGone || this.#upstream.isForgotten;
  }

  /** Undefined: too many wait already. Throws a TypeError for a request that cannot be written as HTTP. */
  start(isHttp2: boolean, request: OutgoingRequest, events: UpstreamEvents): StartedRequest | undefined {
    const started = isHttp2 ? this.#onShared(request, events) : this.#onIdle(request, events);
    if (started !== undefined) return started;
    const pool = this.#upstream.policy?.connectionPool;
    if (pool?.maxPendingRequests !== undefined && this.#upstream.pending >= pool.maxPendingRequests) {
      this.#parts.limits.hit('max_pending_requests');
      return undefined;
    }
    if (this.#mayConnect(isHttp2)) return { stream: this.#connect(isHttp2, request, events), isReused: false };
    this.#parts.limits.hit('max_connections');
    const queued = new QueuedRequest(request, events, isHttp2, this.#abandon);
    this.#waiting.push(queued);
    this.#upstream.pending++;
    return { stream: queued, isReused: true };
  }

  closeIdle(now: number, all: boolean): void {
    const pool = this.#upstream.policy?.connectionPool;
    const idleTimeout = (pool?.idleTimeout ?? LIMITS.IDLE_UPSTREAM) || Number.POSITIVE_INFINITY;
    const isOld = (connection: Http1Upstream | Http2Upstream): boolean =>
      all || now - connection.idleSince > idleTimeout || this.#isExpired(connection, now);
    for (const connection of this.#idle.filter(isOld)) connection.close();
    for (const connection of this.#shared.filter(isOld)) if (connection.openStreams === 0) connection.close();
  }

  #onIdle(request: OutgoingRequest, events: UpstreamEvents): StartedRequest | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isGone) continue;
      try {
        connection.start(request, events);
      } catch (error) {
        this.#idle.push(connection);
        throw error;
      }
      return { stream: connection, isReused: true };
    }
    return undefined;
  }

  #onShared(request: OutgoingRequest, events: UpstreamEvents): StartedRequest | undefined {
    const most = this.#upstream.policy?.connectionPool?.maxConcurrentStreams;
    for (const connection of this.#shared) {
      if (connection.isGone || connection.http2.isDraining || connection.http2.availableStreams === 0) continue;
      if ((most !== undefined && connection.openStreams >= most) || this.#isWorn(connection)) continue;
      const isReused = connection.requests > 0;
      const stream = connection.start(request, events);
      if (stream === undefined) continue;
      if (!connection.isConnected) this.#upstream.pending++;
      return { stream, isReused };
    }
    return undefined;
  }

  #mayConnect(isHttp2: boolean): boolean {
    const most = this.#upstream.policy?.connectionPool?.maxConnections;
    if (most === undefined || this.#upstream.connections < most || this.count === 0) return true;
    // One that is idle and speaks the other version of HTTP must not hold this up.
    const other = isHttp2 ? this.#idle[0] : this.#shared.find(({ openStreams }) => openStreams === 0);
    other?.close();
    return this.#upstream.connections < most || this.count === 0;
  }

  /** What is written before the connection is there waits in it. */
  #connect(isHttp2: boolean, request: OutgoingRequest, events: UpstreamEvents): UpstreamStream {
    const upstream = this.#upstream;
    const { connector, http2Settings } = this.#parts;
    upstream.connections++;
    upstream.pending++;
    let connection: Http1Upstream | Http2Upstream;
    let stream: UpstreamStream | undefined;
    if (isHttp2) {
      connection = new Http2Upstream(this.#http2Owner, http2Settings);
      this.#shared.push(connection);
      stream = connection.start(request, events);
      if (stream === undefined) throw new TypeError('an HTTP/2 connection that takes no stream');
    } else {
      connection = new Http1Upstream(this.#http1Owner);
      this.#http1Count++;
      try {
        connection.start(request, events);
      } catch (error) {
        connection.close();
        throw error;
      }
      stream = connection;
    }
    connector.connect(upstream, this.#endpoint, this.#client, isHttp2 ? 'h2' : 'http/1.1', connection);
    return stream;
  }

  /** Whoever waits longest goes first. */
  #serve(): void {
    if (this.#waiting.length === 0 || this.#isServing) return;
    this.#isServing = true;
    while (this.#waiting.length > 0) {
      const next = this.#waiting[0]!;
      const { request, events, isHttp2 } = next;
      try {
        const stream =
          (isHttp2 ? this.#onShared(request, events) : this.#onIdle(request, events))?.stream ??
          (this.#mayConnect(isHttp2) ? this.#connect(isHttp2, request, events) : undefined);
        if (stream === undefined) break;
        this.#abandon(next);
        next.begin(stream);
      } catch (error) {
        this.#abandon(next);
        next.fail((error as Error).message);
      }
    }
    this.#isServing = false;
  }

  readonly #abandon = (request: QueuedRequest): void => {
    const at = this.#waiting.indexOf(request);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#upstream.pending--;
  };

  #isWorn(connection: Http1Upstream | Http2Upstream): boolean {
    const pool = this.#upstream.policy?.connectionPool;
    if (pool === undefined) return false;
    const most = pool.maxRequestsPerConnection;
    return (most !== undefined && connection.requests >= most) || this.#isExpired(connection, performance.now());
  }

  #isExpired(connection: Http1Upstream | Http2Upstream, now: number): boolean {
    const most = this.#upstream.policy?.connectionPool?.maxConnectionDuration;
    return most !== undefined && most > 0 && now - connection.madeAt >= most;
  }

  readonly #http1Owner: UpstreamOwner<Http1Upstream> = {
    connected: () => {
      this.#upstream.pending--;
    },
    release: (connection) => {
      connection.idleSince = performance.now();
      if (this.#isWorn(connection) || this.#idle.length >= LIMITS.IDLE_UPSTREAM_COUNT || this.isStale) connection.close();
      else this.#idle.push(connection);
      this.#serve();
    },
    forget: (connection) => {
      this.#http1Count--;
      this.#upstream.connections--;
      if (!connection.isConnected) this.#upstream.pending--;
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#serve();
    },
  };

  readonly #http2Owner: UpstreamOwner<Http2Upstream> = {
    connected: (connection) => {
      this.#upstream.pending -= connection.openStreams;
    },
    release: (connection) => {
      if (!connection.isConnected) this.#upstream.pending--;
      if (connection.openStreams === 0) {
        connection.idleSince = performance.now();
        if (this.#isWorn(connection) || this.isStale) connection.close();
      }
      this.#serve();
    },
    forget: (connection) => {
      this.#upstream.connections--;
      if (!connection.isConnected) this.#upstream.pending -= connection.openStreams;
      const at = this.#shared.indexOf(connection);
      if (at >= 0) this.#shared.splice(at, 1);
      this.#serve();
    },
  };
}
