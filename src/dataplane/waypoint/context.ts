/** What all requests of a waypoint share. */
import type { Logger } from '../../platform/telemetry/index.ts';
import type { AccessLog } from './access-log.ts';
import type { LimitHits } from './limit-hits.ts';
import type { NetworkRules } from './network-rules.ts';
import type { RequestMetrics } from './request-metrics.ts';
import type { Tracer } from './tracer.ts';
import type { Traffic } from './traffic.ts';
import type { UpstreamPool } from './upstream-pool.ts';

export interface RequestContext {
  readonly traffic: Traffic;
  readonly network: NetworkRules;
  readonly pool: UpstreamPool;
  readonly metrics: RequestMetrics;
  readonly limits: LimitHits;
  readonly access: AccessLog;
  readonly tracer: Tracer;
  readonly log: Logger;
  /** From 0 (inclusive) to 1. */
  readonly random: () => number;
  /** Nothing moved for so long: the exchange ends. Milliseconds, 0: never. */
  readonly idleTimeout: number;
  /** Requests under way. */
  active: number;
  readonly maxActive: number;
}
