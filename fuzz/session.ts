/** The fuzzing of one target for a while: inputs that do something new join the pool that later ones are made of. */
import { check } from './check.ts';
import { keep, MAX_FILES, readCorpus } from './corpus.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import type { Target } from './target.ts';

/** Inputs a run makes others of; a new one then takes the place of any but the first. */
const MAX_POOL = 4_000;

export interface Tally {
  executions: number;
  signatures: number;
  kept: number;
}

export interface Crash {
  readonly bytes: Uint8Array;
  readonly problem: string;
}

export class Session {
  readonly target: Target;
  readonly tally: Tally = { executions: 0, signatures: 0, kept: 0 };
  readonly crashes: Crash[] = [];
  readonly #random: Random;
  readonly #words: readonly Uint8Array[];
  readonly #pool: Uint8Array[] = [];
  readonly #seen = new Set<string>();
  readonly #problems = new Set<string>();

  constructor(target: Target, seed: number) {
    this.target = target;
    this.#random = new Random(seed);
    this.#words = target.words.map((word) => Buffer.from(word, 'latin1'));
    for (const bytes of [...target.seeds(), ...readCorpus(target)]) this.#try(bytes, false);
    if (this.#pool.length === 0) this.#pool.push(new Uint8Array(1));
  }

  /** `before` is called with each input, so that whoever watches knows it should this never return. */
  run(executions: number, before: (bytes: Uint8Array) => void): void {
    for (let i = 0; i < executions; i++) {
      const bytes = mutate(this.#random.one(this.#pool), this.#random.one(this.#pool), this.#words, this.#random);
      before(bytes);
      this.#try(bytes, true);
    }
  }

  #try(bytes: Uint8Array, isNew: boolean): void {
    this.tally.executions++;
    const outcome = check(this.target, bytes, this.#random);
    if (!outcome.ok) {
      // The same fault again says nothing new: digits differ, the place does not.
      const kind = outcome.problem.slice(0, 300).replaceAll(/\d+/g, '#');
      if (this.#problems.has(kind)) return;
      this.#problems.add(kind);
      this.crashes.push({ bytes, problem: outcome.problem });
      return;
    }
    if (this.#seen.has(outcome.signature)) return;
    this.#seen.add(outcome.signature);
    this.tally.signatures++;
    if (this.#pool.length < MAX_POOL) this.#pool.push(bytes);
    else this.#pool[1 + this.#random.below(MAX_POOL - 1)] = bytes;
    if (isNew && this.tally.kept < MAX_FILES && keep(this.target.name, bytes)) this.tally.kept++;
  }
}
