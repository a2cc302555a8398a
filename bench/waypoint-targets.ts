/** The targets of the waypoint, and whether a measurement meets them: generated, so that no one can round a miss away. */
import type { Block } from './arm.ts';
import { compare, ratioBy, ratioOfAdded, type Target } from './compare.ts';
import { ROUTE_COUNTS, routesArmName, type WorkloadResult } from './waypoint-result.ts';

const OURS = 'lateen';
const PEER = 'ztunnel+envoy';
const LEAST_THROUGHPUT = 2.5;
const MOST_ADDED_P90 = 0.75;
const MOST_MEMORY = 1.0;

type Find = (id: string) => WorkloadResult | undefined;

const memory = (block: Block) => block.waypoint?.privateKib ?? Number.NaN;

export function targets(find: Find): readonly Target[] {
  const rates = ['rate-250', 'rate-500', 'rate-1000', 'rate-500-4'] as const;
  return [
    compare(
      find('closed'),
      [OURS, PEER],
      `requests/s on one core, at least ${LEAST_THROUGHPUT}×`,
      ['least', LEAST_THROUGHPUT],
      ratioBy((block) => block.rps),
    ),
    ...rates.map((id) =>
      compare(
        find(id),
        [OURS, PEER],
        `added P90 at ${find(id)?.name ?? id}, at most ${MOST_ADDED_P90}×`,
        ['most', MOST_ADDED_P90],
        ratioOfAdded((block) => block.p90),
      ),
    ),
    compare(
      find('closed'),
      [OURS, PEER],
      `private memory of node proxies and waypoint under load, at most ${MOST_MEMORY.toFixed(2)}×`,
      ['most', MOST_MEMORY],
      ratioBy((block) => block.privateKib),
    ),
    ...ROUTE_COUNTS.map((routes) =>
      compare(
        find('routes'),
        [routesArmName('lateen', routes), routesArmName('envoy', routes)],
        `private memory of the waypoint alone after load, ${routes === 1 ? '1 route' : `${routes} routes`}, at most ${MOST_MEMORY.toFixed(2)}×`,
        ['most', MOST_MEMORY],
        ratioBy(memory),
      ),
    ),
  ];
}
