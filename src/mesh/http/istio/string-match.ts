import type { FieldCondition, StringCondition } from '../plan.ts';
import type { IstioLookup } from './lookup.ts';
import type { Problems } from './problem.ts';
import type { IstioStringMatch, IstioStringMatches } from './virtual-service-object.ts';

const PRESENT: StringCondition = { kind: 'present', value: '' };

/** Reports what is wrong with a pattern; true when nothing is. */
export const regexAt = (problems: Problems, path: string, pattern: string, { checkRegex }: IstioLookup): boolean => {
  const fault = pattern === '' ? 'is empty' : checkRegex(pattern);
  if (fault === undefined) return true;
  problems.invalid(path, `${JSON.stringify(pattern)} is not a regular expression of RE2: ${fault}`);
  return false;
};

/** A StringMatch; nothing set, or the regex `*` (Istio's special case), asks for presence. Undefined: invalid, and reported. */
export const stringCondition = (
  problems: Problems,
  path: string,
  match: IstioStringMatch | null,
  lookup: IstioLookup,
): StringCondition | undefined => {
  const { exact, prefix, regex } = match ?? {};
  if ([exact, prefix, regex].filter((value) => value !== undefined).length > 1)
    return problems.invalid(path, 'has more than one of exact, prefix and regex');
  if (exact !== undefined) return { kind: 'exact', value: exact };
  if (prefix !== undefined) {
    return prefix === '' ? problems.invalid(`${path}.prefix`, 'is empty') : { kind: 'prefix', value: prefix };
  }
  if (regex === undefined || regex === '*') return PRESENT;
  return regexAt(problems, `${path}.regex`, regex, lookup) ? { kind: 'regex', value: regex } : undefined;
};

/** The conditions on named fields, sorted by name; `name` maps a written name to the one of the plan, or undefined when it was reported. */
export const fieldConditions = (
  problems: Problems,
  path: string,
  matches: IstioStringMatches,
  lookup: IstioLookup,
  name: (written: string) => string,
  isInverted = false,
): FieldCondition[] =>
  Object.entries(matches ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([written, match]) => {
      if (written === '') problems.invalid(path, 'has an empty name');
      const condition = stringCondition(problems, `${path}[${written}]`, match, lookup);
      return condition === undefined ? [] : [{ name: name(written), condition, ...(isInverted && { isInverted }) }];
    });
