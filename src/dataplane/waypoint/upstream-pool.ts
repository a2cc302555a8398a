/** The HTTP connections to each endpoint: HTTP/1.1 ones wait here between requests, HTTP/2 ones are shared. */
import type { BackendPolicy, EndpointState, Service } from '../../mesh/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { Http2Settings } from '../../protocol/index.ts';
import type { Connector } from './connector.ts';
import { Http1Upstream } from './http1-upstream.ts';
import { Http2Upstream } from './http2-upstream.ts';
import { LIMITS } from './limits.ts';
import type { UpstreamEvents, UpstreamStream } from './messages.ts';
import type { OutgoingRequest } from './upstream.ts';

/** How often idle connections are looked for. */
const SWEEP_INTERVAL = 5000;

export interface Destination {
  readonly endpoint: EndpointState;
  readonly service: Service;
  readonly policy: BackendPolicy | undefined;
}

/** A request under way, and whether it rides on a connection that others used before: such a one may have been closed just now. */
export interface StartedRequest {
  readonly stream: UpstreamStream;
  readonly isReused: boolean;
}

export class UpstreamPool implements Deadline {
  readonly #connector: Connector;
  readonly #http2Settings: Http2Settings;
  readonly #endpoints = new Map<EndpointState, EndpointConnections>();
  dueAt = performance.now() + SWEEP_INTERVAL;

  constructor(connector: Connector, http2Settings: Http2Settings) {
    this.#connector = connector;
    this.#http2Settings = http2Settings;
    deadlines.add(this);
  }

  /** Throws a TypeError for a request that cannot be written as HTTP. */
  start(to: Destination, isHttp2: boolean, request: OutgoingRequest, events: UpstreamEvents): StartedRequest {
    let connections = this.#endpoints.get(to.endpoint);
    if (connections === undefined) {
      connections = new EndpointConnections(this.#connector, this.#http2Settings);
      this.#endpoints.set(to.endpoint, connections);
    }
    return isHttp2 ? connections.startHttp2(to, request, events) : connections.startHttp1(to, request, events);
  }

  get connectionCount(): number {
    let count = 0;
    for (const connections of this.#endpoints.values()) count += connections.count;
    return count;
  }

  onDeadline(now: number): void {
    this.dueAt = now + SWEEP_INTERVAL;
    for (const [endpoint, connections] of this.#endpoints) {
      connections.closeIdle(now, endpoint.isGone);
      if (endpoint.isGone && connections.count === 0) this.#endpoints.delete(endpoint);
    }
  }

  close(): void {
    deadlines.delete(this);
    for (const connections of this.#endpoints.values()) connections.closeIdle(Number.POSITIVE_INFINITY, true);
  }
}

class EndpointConnections {
  readonly #connector: Connector;
  readonly #http2Settings: Http2Settings;
  readonly #idle: Http1Upstream[] = [];
  readonly #shared: Http2Upstream[] = [];
  #http1Count = 0;
  #maxRequests = 0;
  #idleTimeout: number = LIMITS.IDLE_UPSTREAM;

  constructor(connector: Connector, http2Settings: Http2Settings) {
    this.#connector = connector;
    this.#http2Settings = http2Settings;
  }

  get count(): number {
    return this.#http1Count + this.#shared.length;
  }

  startHttp1(to: Destination, request: OutgoingRequest, events: UpstreamEvents): StartedRequest {
    this.#follow(to.policy);
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isGone) continue;
      connection.start(request, events);
      return { stream: connection, isReused: true };
    }
    const connection = new Http1Upstream(this.#http1Owner);
    this.#http1Count++;
    try {
      // What is written before the connection is there waits in it.
      connection.start(request, events);
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#connector.connect(to.endpoint, to.service, to.policy, connection);
    return { stream: connection, isReused: false };
  }

  startHttp2(to: Destination, request: OutgoingRequest, events: UpstreamEvents): StartedRequest {
    this.#follow(to.policy);
    for (const connection of this.#shared) {
      if (connection.isGone || connection.http2.isDraining || connection.http2.availableStreams === 0 || this.#isWorn(connection.requests))
        continue;
      const isReused = connection.requests > 0;
      const stream = connection.start(request, events);
      if (stream !== undefined) return { stream, isReused };
    }
    const connection = new Http2Upstream(this.#http2Owner, this.#http2Settings);
    this.#shared.push(connection);
    this.#connector.connect(to.endpoint, to.service, to.policy, connection);
    const stream = connection.start(request, events);
    if (stream === undefined) throw new TypeError('an HTTP/2 connection that takes no stream');
    return { stream, isReused: false };
  }

  closeIdle(now: number, all: boolean): void {
    const isOld = ({ idleSince }: { readonly idleSince: number }): boolean => all || now - idleSince > this.#idleTimeout;
    // The oldest are first: the newest are taken first.
    while (this.#idle.length > 0 && isOld(this.#idle[0]!)) this.#idle.shift()!.close();
    for (const connection of [...this.#shared]) if (connection.openStreams === 0 && isOld(connection)) connection.close();
  }

  #follow(policy: BackendPolicy | undefined): void {
    this.#maxRequests = policy?.connectionPool?.maxRequestsPerConnection ?? 0;
    this.#idleTimeout = policy?.connectionPool?.idleTimeout ?? LIMITS.IDLE_UPSTREAM;
  }

  #isWorn(requests: number): boolean {
    return this.#maxRequests > 0 && requests >= this.#maxRequests;
  }

  readonly #http1Owner = {
    release: (connection: Http1Upstream): void => {
      connection.idleSince = performance.now();
      if (this.#isWorn(connection.requests) || this.#idle.length >= LIMITS.IDLE_UPSTREAM_COUNT) connection.close();
      else this.#idle.push(connection);
    },
    forget: (connection: Http1Upstream): void => {
      this.#http1Count--;
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
    },
  };

  readonly #http2Owner = {
    release: (connection: Http2Upstream): void => {
      if (connection.openStreams > 0) return;
      connection.idleSince = performance.now();
      if (this.#isWorn(connection.requests)) connection.close();
    },
    forget: (connection: Http2Upstream): void => {
      const at = this.#shared.indexOf(connection);
      if (at >= 0) this.#shared.splice(at, 1);
    },
  };
}
