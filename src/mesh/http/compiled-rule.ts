/** One rule of a table, ready to be tested: what its place in the index does not already say. */
import type { HeaderList } from '../../protocol/index.ts';
import { TextCondition } from './condition.ts';
import type { FieldCondition, HttpAction, HttpRule, PathMatch, RequestView } from './plan.ts';
import { headerValue, queryValue } from './request-field.ts';

/** The same object for every request that takes the rule. */
export interface RouteMatch {
  readonly action: HttpAction;
  /** Index into the table's rules. */
  readonly rule: number;
  /** The rule's path condition: what a prefix rewrite replaces, and by which rules. */
  readonly path: PathMatch | undefined;
}

export class FieldCheck {
  readonly name: string;
  readonly #condition: TextCondition;
  readonly #isInverted: boolean;
  readonly #isPresence: boolean;

  constructor({ name, condition, isInverted }: FieldCondition) {
    this.name = name;
    this.#condition = new TextCondition(condition);
    this.#isInverted = isInverted === true;
    this.#isPresence = condition.kind === 'present';
  }

  /** An inverted condition looks at a field that is not there as if it were empty (Istio `withoutHeaders`). */
  holds(value: string | undefined): boolean {
    if (!this.#isInverted) return this.#condition.test(value);
    return !this.#condition.test(this.#isPresence ? value : (value ?? ''));
  }

  /**
   * Of several fields of the name it is enough that one is as wanted, or all of them as one list: a second field must neither hide what an inverted
   * condition keeps out nor undo what was there.
   */
  holdsAmong(headers: HeaderList): boolean {
    let count = 0;
    let first: string | undefined;
    for (let i = 0; i < headers.length; i++) {
      const field = headers[i]!;
      if (field[0] !== this.name) continue;
      if (++count === 1) first = field[1];
    }
    if (count < 2) return this.holds(first);
    const isMet =
      headers.some((field) => field[0] === this.name && this.#condition.test(field[1])) ||
      this.#condition.test(headerValue(headers, this.name));
    return isMet !== this.#isInverted;
  }
}

const NONE: readonly FieldCheck[] = [];
const checksOf = (conditions: readonly FieldCondition[] | undefined): readonly FieldCheck[] =>
  conditions === undefined || conditions.length === 0 ? NONE : conditions.map((condition) => new FieldCheck(condition));
const conditionOf = (condition: ConstructorParameters<typeof TextCondition>[0] | undefined): TextCondition | undefined =>
  condition && new TextCondition(condition);

const headersHold = (checks: readonly FieldCheck[], headers: HeaderList): boolean => {
  for (let i = 0; i < checks.length; i++) {
    if (!checks[i]!.holdsAmong(headers)) return false;
  }
  return true;
};

const queryHolds = (checks: readonly FieldCheck[], path: string): boolean => {
  for (let i = 0; i < checks.length; i++) {
    const check = checks[i]!;
    if (!check.holds(queryValue(path, check.name))) return false;
  }
  return true;
};

/** `path` and `hosts` are tested by the index, but for a path's regular expression. */
export class CompiledRule {
  /** Its place in the table. */
  readonly order: number;
  readonly result: RouteMatch;
  readonly #method: TextCondition | undefined;
  readonly #authority: TextCondition | undefined;
  readonly #scheme: TextCondition | undefined;
  readonly #headers: readonly FieldCheck[];
  readonly #query: readonly FieldCheck[];
  readonly #sourceNamespace: string | undefined;
  readonly #path: TextCondition | undefined;

  constructor({ match }: HttpRule, order: number, action: HttpAction) {
    this.order = order;
    const { path } = match;
    this.result = { action, rule: order, path };
    this.#method = conditionOf(match.method);
    this.#authority = conditionOf(match.authority);
    this.#scheme = conditionOf(match.scheme);
    this.#headers = checksOf(match.headers);
    this.#query = checksOf(match.query);
    this.#sourceNamespace = match.sourceNamespace;
    this.#path =
      path?.kind === 'regex'
        ? new TextCondition({ kind: 'regex', value: path.value, ...(path.ignoreCase ? { ignoreCase: true } : {}) })
        : undefined;
  }

  /** `pathLength`: where the request's path ends and its query begins. */
  holds(request: RequestView, sourceNamespace: string | undefined, pathLength: number): boolean {
    if (this.#method !== undefined && !this.#method.test(request.method)) return false;
    if (this.#sourceNamespace !== undefined && this.#sourceNamespace !== sourceNamespace) return false;
    if (this.#headers !== NONE && !headersHold(this.#headers, request.headers)) return false;
    if (this.#query !== NONE && !queryHolds(this.#query, request.path)) return false;
    if (this.#authority !== undefined && !this.#authority.test(request.authority)) return false;
    if (this.#scheme !== undefined && !this.#scheme.test(request.scheme)) return false;
    return (
      this.#path === undefined || this.#path.test(pathLength === request.path.length ? request.path : request.path.slice(0, pathLength))
    );
  }
}
