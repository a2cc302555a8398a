/** The HTTP connections to each endpoint: HTTP/1.1 ones wait here between requests, HTTP/2 ones are shared. */
import type { EndpointState } from '../../mesh/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import { EndpointConnections, type PoolParts, type StartedRequest } from './endpoint-connections.ts';
import type { UpstreamEvents } from './messages.ts';
import type { Upstream } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

/** How often idle connections are looked for. */
const SWEEP_INTERVAL = 5000;

export class UpstreamPool implements Deadline {
  readonly #parts: PoolParts;
  readonly #endpoints = new Map<EndpointState, EndpointConnections>();
  dueAt = performance.now() + SWEEP_INTERVAL;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    deadlines.add(this);
  }

  /** `endpoint` is one of the upstream's. Undefined: too many wait already. Throws a TypeError for a request that cannot be written as HTTP. */
  start(
    upstream: Upstream,
    endpoint: EndpointState,
    isHttp2: boolean,
    request: OutgoingRequest,
    events: UpstreamEvents,
  ): StartedRequest | undefined {
    let connections = this.#endpoints.get(endpoint);
    if (connections === undefined) {
      connections = new EndpointConnections(this.#parts, upstream, endpoint);
      this.#endpoints.set(endpoint, connections);
    }
    return connections.start(isHttp2, request, events);
  }

  get connectionCount(): number {
    let count = 0;
    for (const connections of this.#endpoints.values()) count += connections.count;
    return count;
  }

  onDeadline(now: number): void {
    this.dueAt = now + SWEEP_INTERVAL;
    for (const [endpoint, connections] of this.#endpoints) {
      const { isStale } = connections;
      connections.closeIdle(now, isStale);
      if (isStale && connections.count === 0) this.#endpoints.delete(endpoint);
    }
  }

  close(): void {
    deadlines.delete(this);
    for (const connections of this.#endpoints.values()) connections.closeIdle(Number.POSITIVE_INFINITY, true);
  }
}
