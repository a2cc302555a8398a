/** The HTTP connections to each endpoint: HTTP/1.1 ones wait here between requests, HTTP/2 ones are shared. */
import type { EndpointState } from '../../mesh/http/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { Client } from './client.ts';
import { EndpointConnections, type PoolParts, type StartedRequest } from './endpoint-connections.ts';
import type { UpstreamEvents } from './messages.ts';
import type { Upstream } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

/** How often idle connections are looked for. */
const SWEEP_INTERVAL = 5000;

export class UpstreamPool implements Deadline {
  readonly #parts: PoolParts;
  readonly #endpoints = new Map<EndpointState, EndpointConnections>();
  /** By the client's address: what a PROXY header says of one client holds for no other. */
  readonly #ofClients = new Map<EndpointState, Map<string, EndpointConnections>>();
  dueAt = performance.now() + SWEEP_INTERVAL;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    deadlines.add(this);
  }

  /** `endpoint` is one of the upstream's. Undefined: too many wait already. Throws a TypeError for a request that cannot be written as HTTP. */
  start(
    upstream: Upstream,
    endpoint: EndpointState,
    client: Client,
    isHttp2: boolean,
    request: OutgoingRequest,
    events: UpstreamEvents,
  ): StartedRequest | undefined {
    if (upstream.policy?.proxyProtocol !== undefined) return this.#ofClient(upstream, endpoint, client).start(isHttp2, request, events);
    let connections = this.#endpoints.get(endpoint);
    if (connections === undefined) {
      connections = new EndpointConnections(this.#parts, upstream, endpoint, client);
      this.#endpoints.set(endpoint, connections);
    }
    return connections.start(isHttp2, request, events);
  }

  get connectionCount(): number {
    let count = 0;
    for (const connections of this.#all()) count += connections.count;
    return count;
  }

  onDeadline(now: number): void {
    this.dueAt = now + SWEEP_INTERVAL;
    for (const connections of this.#all()) connections.closeIdle(now, connections.isStale);
    for (const [endpoint, connections] of this.#endpoints)
      if (connections.isStale && connections.isUnused) this.#endpoints.delete(endpoint);
    for (const [endpoint, clients] of this.#ofClients) {
      for (const [address, connections] of clients) if (connections.isUnused) clients.delete(address);
      if (clients.size === 0) this.#ofClients.delete(endpoint);
    }
  }

  close(): void {
    deadlines.delete(this);
    for (const connections of this.#all()) connections.closeIdle(Number.POSITIVE_INFINITY, true);
  }

  #ofClient(upstream: Upstream, endpoint: EndpointState, client: Client): EndpointConnections {
    let clients = this.#ofClients.get(endpoint);
    if (clients === undefined) {
      clients = new Map();
      this.#ofClients.set(endpoint, clients);
    }
    let connections = clients.get(client.address);
    if (connections === undefined) {
      connections = new EndpointConnections(this.#parts, upstream, endpoint, client);
      clients.set(client.address, connections);
    }
    return connections;
  }

  *#all(): Generator<EndpointConnections> {
    yield* this.#endpoints.values();
    for (const clients of this.#ofClients.values()) yield* clients.values();
  }
}
