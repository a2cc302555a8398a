/** Comparing arms block by block, and judging the outcome by a bound fixed before. */
import type { Block } from './arm.ts';
import { isSaturated, quietBlocks, type Result } from './result.ts';
import { pairedRatio, type Ratio, ratioText } from './stats.ts';

export type Verdict = 'yes' | 'no' | 'undecided';
export type Pick = (block: Block) => number;

/** By the whole interval: what reaches over the bound is undecided. */
export function judge(ratio: Ratio, side: 'least' | 'most', bound: number): Verdict {
  const [worst, best] = side === 'least' ? [ratio.low, ratio.high] : [ratio.high, ratio.low];
  const holds = (value: number) => (side === 'least' ? value >= bound : value <= bound);
  if (holds(worst)) return 'yes';
  return holds(best) ? 'undecided' : 'no';
}

export const blocksOf = (blocks: readonly Block[], arm: string): readonly Block[] => blocks.filter((block) => block.arm === arm);

/** What the proxies of an arm add to the direct path, round by round. */
export const addedTo = (direct: readonly Block[], own: readonly Block[], pick: Pick): number[] =>
  own.map((block, index) => pick(block) - pick(direct[index]!));

export interface Target {
  readonly target: string;
  readonly seen: string;
  readonly met: Verdict | 'not measured';
}

/** One row of a table of targets: arm against arm in one workload. */
export function compare(
  result: Result | undefined,
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

/** Ratio of a value of each block. */
export const ratioBy = (pick: Pick) => (ours: readonly Block[], theirs: readonly Block[]) => pairedRatio(ours.map(pick), theirs.map(pick));

/** Ratio of what each adds to the direct path. */
export const ratioOfAdded = (pick: Pick) => (ours: readonly Block[], theirs: readonly Block[], all: readonly Block[]) => {
  const direct = blocksOf(all, 'direct');
  return pairedRatio(addedTo(direct, ours, pick), addedTo(direct, theirs, pick));
};
