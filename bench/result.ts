/** What a measurement writes down: per workload, all a table needs, so that a report can be made again without measuring and a run can be split. */
import fs from 'node:fs';
import type { Block } from './arm.ts';

export interface Circumstances {
  readonly blocks: number;
  readonly seconds: number;
  readonly kernel: string;
  readonly processor: string;
  readonly bun: string;
}

/** Memory of an arm's proxies after their start, before any load. */
export interface IdleMemory {
  readonly arm: string;
  readonly pssKib: number;
  readonly privateKib: number;
  readonly wholeKib?: number;
  readonly waypoint?: { readonly pssKib: number; readonly privateKib: number };
}

export interface Result {
  /** What `--workload` takes. */
  readonly id: string;
  readonly name: string;
  readonly circumstances: Circumstances;
  readonly arms: readonly { readonly name: string; readonly about: string }[];
  readonly idle: readonly IdleMemory[];
  readonly blocks: readonly Block[];
}

/** A block in which others had more than this share of the machine, on either side of the hypervisor, tells about the others. */
const STEAL_LIMIT = 0.01;
const FOREIGN_LIMIT = 0.05;
/** An arm that answers less than this share of what the schedule held gets no latency. */
const RATE_LIMIT = 0.99;

export interface Quiet {
  readonly blocks: readonly Block[];
  readonly rounds: number;
  /** Rounds that others disturbed. When all were, `blocks` has all of them nevertheless. */
  readonly disturbed: number;
}

/**
 * The blocks of the rounds in which no arm lost more than 1 % of the machine to the hypervisor or more than 5 % to processes outside the measurement: a
 * rule about the machine, not about the outcome. A round is left out for all arms.
 */
export function quietBlocks(result: Pick<Result, 'blocks'>): Quiet {
  const seen = new Map<string, number>();
  const roundOf = result.blocks.map((block) => {
    const round = seen.get(block.arm) ?? 0;
    seen.set(block.arm, round + 1);
    return round;
  });
  const rounds = new Set(roundOf).size;
  const isLoud = ({ steal, foreign }: Block) => steal > STEAL_LIMIT || foreign > FOREIGN_LIMIT;
  const loud = new Set(roundOf.filter((_, index) => isLoud(result.blocks[index]!)));
  const blocks = loud.size === rounds ? result.blocks : result.blocks.filter((_, index) => !loud.has(roundOf[index]!));
  return { blocks, rounds, disturbed: loud.size };
}

/** Whether these blocks of one arm missed their rate: half of them or more answered less than 99 % of what was offered. */
export function isSaturated(blocks: readonly Block[]): boolean {
  const missed = blocks.filter((block) => block.offered !== undefined && block.rps < block.offered * RATE_LIMIT);
  return blocks.length > 0 && missed.length * 2 >= blocks.length;
}

/** Results on disk with those of this run put in the place of older ones of the same workload, in the order of `ids`. */
export function mergeResults<T extends Result>(older: readonly T[], newer: readonly T[], ids: readonly string[]): readonly T[] {
  const of = (id: string) => newer.find((result) => result.id === id) ?? older.find((result) => result.id === id);
  return ids.map(of).filter((result) => result !== undefined);
}

/** None when the file is not there. */
export function readResults<T extends Result>(file: string): readonly T[] {
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as readonly T[]) : []; // written by this bench
}

/** What is said above a workload's table about its blocks. */
export function aboutBlocks(result: Result): string {
  const { rounds, disturbed } = quietBlocks(result);
  const rule = 'others had more than 5 % of the machine, or the hypervisor took more than 1 %';
  const left =
    disturbed === 0
      ? ''
      : disturbed === rounds
        ? ` Not to be quoted: in each round ${rule}.`
        : ` ${disturbed} of ${rounds} rounds are left out: ${rule}.`;
  return `Blocks of ${result.circumstances.seconds} s, ${rounds} for each arm.${left}`;
}
