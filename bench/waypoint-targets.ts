/** The targets of the waypoint, and whether a measurement meets them: generated, so that no one can round a miss away. */
import type { Block } from './arm.ts';
import { pairedRatio, type Ratio, ratioText } from './stats.ts';
import { isSaturated, quietBlocks, ROUTE_COUNTS, routesArmName, type WorkloadResult } from './waypoint-result.ts';

const OURS = 'lateen';
const PEER = 'ztunnel+envoy';
const LEAST_THROUGHPUT = 2.5;
const MOST_ADDED_P90 = 0.75;
const MOST_MEMORY = 1.0;

export type Verdict = 'yes' | 'no' | 'undecided';

/** By the whole interval: what reaches over the bound is undecided. */
export function judge(ratio: Ratio, side: 'least' | 'most', bound: number): Verdict {
  const [worst, best] = side === 'least' ? [ratio.low, ratio.high] : [ratio.high, ratio.low];
  const holds = (value: number) => (side === 'least' ? value >= bound : value <= bound);
  if (holds(worst)) return 'yes';
  return holds(best) ? 'undecided' : 'no';
}

export const blocksOf = (blocks: readonly Block[], arm: string): readonly Block[] => blocks.filter((block) => block.arm === arm);

/** What the proxies of an arm add to the direct path, round by round. */
export const addedTo = (direct: readonly Block[], own: readonly Block[], pick: (block: Block) => number): number[] =>
  own.map((block, index) => pick(block) - pick(direct[index]!));

export interface Target {
  readonly target: string;
  readonly seen: string;
  readonly met: Verdict | 'not measured';
}

type Find = (id: string) => WorkloadResult | undefined;

function compare(
  result: WorkloadResult | undefined,
  names: readonly [string, string],
  target: string,
  bound: readonly ['least' | 'most', number],
  ratioOf: (ours: readonly Block[], theirs: readonly Block[], all: readonly Block[]) => Ratio,
): Target {
  const blocks = result === undefined ? [] : quietBlocks(result).blocks;
  const [ours, theirs] = names.map((name) => blocksOf(blocks, name));
  if (!ours?.length || !theirs?.length) return { target, seen: '–', met: 'not measured' };
  if (isSaturated(ours)) return { target, seen: 'Lateen is saturated at this rate', met: 'no' };
  if (isSaturated(theirs)) return { target, seen: 'the peer is saturated at this rate', met: 'yes' };
  const ratio = ratioOf(ours, theirs, blocks);
  if (Number.isNaN(ratio.value)) return { target, seen: '–', met: 'not measured' };
  return { target, seen: ratioText(ratio), met: judge(ratio, ...bound) };
}

const memory = (block: Block) => block.waypoint?.privateKib ?? Number.NaN;

export function targets(find: Find): readonly Target[] {
  const rates = ['rate-250', 'rate-500', 'rate-1000', 'rate-500-4'] as const;
  return [
    compare(
      find('closed'),
      [OURS, PEER],
      `requests/s on one core, at least ${LEAST_THROUGHPUT}×`,
      ['least', LEAST_THROUGHPUT],
      (ours, theirs) =>
        pairedRatio(
          ours.map((block) => block.rps),
          theirs.map((block) => block.rps),
        ),
    ),
    ...rates.map((id) =>
      compare(
        find(id),
        [OURS, PEER],
        `added P90 at ${find(id)?.name ?? id}, at most ${MOST_ADDED_P90}×`,
        ['most', MOST_ADDED_P90],
        (ours, theirs, all) => {
          const direct = blocksOf(all, 'direct');
          const p90 = (block: Block) => block.p90;
          return pairedRatio(addedTo(direct, ours, p90), addedTo(direct, theirs, p90));
        },
      ),
    ),
    compare(
      find('closed'),
      [OURS, PEER],
      `private memory of node proxies and waypoint under load, at most ${MOST_MEMORY.toFixed(2)}×`,
      ['most', MOST_MEMORY],
      (ours, theirs) =>
        pairedRatio(
          ours.map((block) => block.privateKib),
          theirs.map((block) => block.privateKib),
        ),
    ),
    ...ROUTE_COUNTS.map((routes) =>
      compare(
        find('routes'),
        [routesArmName('lateen', routes), routesArmName('envoy', routes)],
        `private memory of the waypoint alone after load, ${routes === 1 ? '1 route' : `${routes} routes`}, at most ${MOST_MEMORY.toFixed(2)}×`,
        ['most', MOST_MEMORY],
        (ours, theirs) => pairedRatio(ours.map(memory), theirs.map(memory)),
      ),
    ),
  ];
}
