/** What was found wrong with a route while it compiled. */
import type { RouteProblem } from './compiled-route.ts';

/** Problems a status message spells out; the rest is counted. */
const SPELLED_OUT = 8;

export const describeProblems = (problems: readonly RouteProblem[]): string => {
  const said = problems.slice(0, SPELLED_OUT).map(({ field, message }) => `${field}: ${message}`);
  const more = problems.length - said.length;
  return more > 0 ? `${said.join('; ')}; and ${more} more` : said.join('; ');
};

class ProblemList {
  readonly #problems = new Map<string, RouteProblem>();

  /** A rule that is compiled for several prefixes finds the same twice. */
  add(problem: RouteProblem): void {
    this.#problems.set(`${problem.field} ${problem.message}`, problem);
  }

  get list(): readonly RouteProblem[] {
    return [...this.#problems.values()];
  }
}

/** Three grades: what refuses the route, what breaks a rule and is answered with 500, and references that do not resolve. */
export class RouteProblems {
  readonly #refused = new ProblemList();
  readonly #unresolved = new ProblemList();
  readonly #broken = new ProblemList();
  readonly #brokenRules = new Set<number>();

  /** The route is not accepted: a value that cannot be served as it is written. */
  refuse(field: string, message: string, reason = 'UnsupportedValue'): void {
    this.#refused.add({ field, reason, message });
  }

  /** A reference to what does not exist, is of a kind nobody knows, or may not be referred to. */
  unresolved(field: string, reason: string, message: string): void {
    this.#unresolved.add({ field, reason, message });
  }

  /** A rule that cannot do what it says: its requests fail. */
  breakRule(index: number, field: string, message: string): void {
    this.#brokenRules.add(index);
    this.#broken.add({ field, reason: 'UnsupportedValue', message });
  }

  get refusals(): readonly RouteProblem[] {
    return this.#refused.list;
  }

  get unresolvedReferences(): readonly RouteProblem[] {
    return this.#unresolved.list;
  }

  get broken(): readonly RouteProblem[] {
    return this.#broken.list;
  }

  get brokenRuleCount(): number {
    return this.#brokenRules.size;
  }
}
