import type { Condition } from '../../object.ts';
import type { IstioSource } from './lookup.ts';

/**
 * Something about an object that is not in force as written. `invalid`: nobody could honour it, the object is refused as a whole.
 * `unsupported`: a waypoint cannot do it, that part is left out. `unresolved`: it names something that does not exist.
 * `conflict`: another object has said otherwise and wins.
 */
export interface ConfigProblem {
  readonly kind: 'invalid' | 'unsupported' | 'unresolved' | 'conflict';
  /** `spec.http[0].match[1].uri.regex`. */
  readonly path: string;
  /** What is wrong and what happens instead. */
  readonly reason: string;
  /** What to write; empty when the reason says it. */
  readonly remedy: string;
}

export interface SourcedProblem extends ConfigProblem {
  readonly source: IstioSource;
}

/** Text of one problem, as status messages list them. */
export const problemText = ({ path, reason, remedy }: ConfigProblem): string => `${path}: ${reason}${remedy === '' ? '' : ` (${remedy})`}`;

/** The problems of one object, each once: the same field is looked at for every service and port. */
export class Problems {
  readonly list: ConfigProblem[] = [];
  readonly #seen = new Set<string>();

  invalid(path: string, reason: string, remedy = ''): undefined {
    return this.#add('invalid', path, reason, remedy);
  }

  unsupported(path: string, reason: string, remedy = ''): undefined {
    return this.#add('unsupported', path, reason, remedy);
  }

  unresolved(path: string, reason: string, remedy = ''): undefined {
    return this.#add('unresolved', path, reason, remedy);
  }

  get isInvalid(): boolean {
    return this.list.some(({ kind }) => kind === 'invalid');
  }

  #add(kind: ConfigProblem['kind'], path: string, reason: string, remedy: string): undefined {
    const key = `${kind} ${path} ${reason}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.list.push({ kind, path, reason, remedy });
  }
}

/** Kubernetes refuses condition messages longer than 32768; this leaves room for the rest of the sentence. */
const MAX_MESSAGE_LENGTH = 30_000;

const listed = (problems: readonly ConfigProblem[]): string => {
  const text = problems.map(problemText).join('. ');
  return text.length <= MAX_MESSAGE_LENGTH ? text : `${text.slice(0, MAX_MESSAGE_LENGTH)}…`;
};

const accepted = (status: 'True' | 'False', reason: string, message: string): Condition => ({
  type: 'WaypointAccepted',
  status,
  reason,
  message,
});

/** The condition of an object of which something is in force, or which is refused because something is invalid. */
export const acceptance = (problems: readonly ConfigProblem[]): Condition => {
  const invalid = problems.filter(({ kind }) => kind === 'invalid');
  if (invalid.length > 0) return accepted('False', 'Invalid', `refused as a whole: ${listed(invalid)}`);
  if (problems.length === 0) return accepted('True', 'Accepted', 'attached to waypoints');
  const reason = problems.some(({ kind }) => kind === 'unsupported')
    ? 'UnsupportedValue'
    : problems.some(({ kind }) => kind === 'conflict')
      ? 'Conflicted'
      : 'DestinationNotFound';
  return accepted('True', reason, `in force except: ${listed(problems)}`);
};

/** The condition of a valid object of which nothing is in force. */
export const notAttached = (reason: string, message: string): Condition => accepted('False', reason, message);
