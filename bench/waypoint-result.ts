/** What the waypoint's measurement writes down beside what every measurement does. */
import type { Result } from './result.ts';

/** How a workload is reported. */
export type Kind = 'peak' | 'rate' | 'chain' | 'sse' | 'grpc' | 'routes';

export const ROUTE_COUNTS = [1, 100, 10_000] as const;

/** Name of an arm of the comparison by routes. */
export const routesArmName = (waypoint: 'lateen' | 'envoy', routes: number): string =>
  `${waypoint}, ${routes} ${routes === 1 ? 'route' : 'routes'}`;

export interface WorkloadResult extends Result {
  readonly kind: Kind;
  readonly parts: number;
}
