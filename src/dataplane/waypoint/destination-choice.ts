/**
 * Where a routed request goes: once, the backend of its route; for every attempt, an endpoint of that backend. Both end up in the exchange's record. What
 * stands in the way is returned as the waypoint's answer.
 */
import { chooseBackend, type RouteMatch, redirectLocation } from '../../mesh/http/index.ts';
import { networkRefusal } from '../../mesh/index.ts';
import type { Affinity } from './affinity.ts';
import type { RequestContext } from './context.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { LocalAnswer } from './filters.ts';
import { NETWORK_REFUSED } from './network-rules.ts';

/** A limit of the destination's connection pool is reached. */
export const OVERFLOW: LocalAnswer = { status: 503, flag: 'UO', details: 'overflow', body: 'upstream overflow' };

export function chooseDestination(
  record: ExchangeRecord,
  affinity: Affinity,
  { action, path }: RouteMatch,
  random: () => number,
): LocalAnswer | undefined {
  const backend = affinity.backend(action) ?? chooseBackend(action.backends, random);
  if (backend === undefined || backend.invalid !== undefined) {
    const body = backend?.invalid ?? 'the route has no backend';
    // GRPCRoute `backendRefs`: UNAVAILABLE, where 500 alone would say UNKNOWN.
    return { status: 500, flag: 'NC', details: 'cluster_not_found', body, ...(record.isGrpc ? { grpcStatus: 14 } : {}) };
  }
  record.backend = backend;
  if (backend.redirect === undefined) return undefined;
  const location = redirectLocation(backend.redirect, record.head, path, record.client.port);
  return { status: backend.redirect.status, details: 'redirect', headers: [['location', location]] };
}

export function chooseEndpoint(
  context: RequestContext,
  record: ExchangeRecord,
  affinity: Affinity,
  isRetry: boolean,
): LocalAnswer | undefined {
  const { limits, network, random } = context;
  const backend = record.backend!;
  const now = performance.now();
  const upstream = context.traffic.upstream(backend, now);
  if (upstream === undefined) {
    const what = backend.subset === undefined ? `port ${backend.port}` : `port ${backend.port} with subset ${backend.subset}`;
    return { status: 503, flag: 'NC', details: 'cluster_not_found', body: `${backend.service} has no ${what}` };
  }
  record.upstream = upstream;
  const pool = upstream.policy?.connectionPool;
  if (pool?.maxRequests !== undefined && upstream.active >= pool.maxRequests) {
    limits.hit('max_requests');
    return OVERFLOW;
  }
  if (pool?.maxRetries !== undefined && isRetry && upstream.retries >= pool.maxRetries) {
    limits.hit('max_retries');
    return OVERFLOW;
  }
  const endpoint = affinity.endpoint(upstream, random, now);
  if (endpoint === undefined) return { status: 503, flag: 'UH', details: 'no_healthy_upstream', body: 'no healthy upstream' };
  record.endpoint = endpoint;
  const decision = network.decide(record.client, endpoint);
  if (decision.allowed) return undefined;
  record.failure = networkRefusal(decision);
  return NETWORK_REFUSED;
}
