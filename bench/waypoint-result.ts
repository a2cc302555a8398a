/** What the waypoint's measurement writes down: per workload, all a table needs, so that a report can be made again without measuring. */
import fs from 'node:fs';
import type { Block } from './arm.ts';
import type { Circumstances } from './report.ts';

/** How a workload is reported. */
export type Kind = 'peak' | 'rate' | 'chain' | 'sse' | 'grpc' | 'routes';

export const ROUTE_COUNTS = [1, 100, 10_000] as const;

/** Name of an arm of the comparison by routes. */
export const routesArmName = (waypoint: 'lateen' | 'envoy', routes: number): string =>
  `${waypoint}, ${routes} ${routes === 1 ? 'route' : 'routes'}`;

/** Memory of an arm after its start, before any load. */
export interface IdleMemory {
  readonly arm: string;
  readonly pssKib: number;
  readonly privateKib: number;
  readonly waypoint?: { readonly pssKib: number; readonly privateKib: number };
}

export interface WorkloadResult {
  readonly id: string;
  readonly kind: Kind;
  readonly name: string;
  readonly parts: number;
  readonly circumstances: Circumstances;
  readonly arms: readonly { readonly name: string; readonly about: string }[];
  readonly idle: readonly IdleMemory[];
  readonly blocks: readonly Block[];
}

/** A block with more than this share of the machine given to others tells about the others. */
const STEAL_LIMIT = 0.01;
/** An arm that answers less than this share of what the schedule held gets no latency. */
const RATE_LIMIT = 0.99;

/**
 * The blocks of the rounds in which no arm lost more than 1 % to the hypervisor, a rule about the machine and not about the outcome; all of them when
 * no such round is left. `dropped` counts the rounds left out.
 */
export function quietBlocks(result: WorkloadResult): { blocks: readonly Block[]; dropped: number } {
  const rounds = result.blocks.length / Math.max(result.arms.length, 1);
  const seen = new Map<string, number>();
  const roundOf = result.blocks.map((block) => {
    const round = seen.get(block.arm) ?? 0;
    seen.set(block.arm, round + 1);
    return round;
  });
  const disturbed = new Set(roundOf.filter((_, index) => result.blocks[index]!.steal > STEAL_LIMIT));
  if (disturbed.size >= rounds) return { blocks: result.blocks, dropped: 0 };
  return { blocks: result.blocks.filter((_, index) => !disturbed.has(roundOf[index]!)), dropped: disturbed.size };
}

/** Whether these blocks of one arm missed their rate: half of them or more answered less than 99 % of what was offered. */
export function isSaturated(blocks: readonly Block[]): boolean {
  const missed = blocks.filter((block) => block.offered !== undefined && block.rps < block.offered * RATE_LIMIT);
  return blocks.length > 0 && missed.length * 2 >= blocks.length;
}

/** Results on disk with those of this run put in the place of older ones of the same workload, in the order of `ids`. */
export function mergeResults(
  older: readonly WorkloadResult[],
  newer: readonly WorkloadResult[],
  ids: readonly string[],
): readonly WorkloadResult[] {
  const of = (id: string) => newer.find((result) => result.id === id) ?? older.find((result) => result.id === id);
  return ids.map(of).filter((result) => result !== undefined);
}

/** None when the file is not there. */
export function readResults(file: string): readonly WorkloadResult[] {
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as readonly WorkloadResult[]) : []; // written by this bench
}
