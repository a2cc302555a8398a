/** Kubernetes label selectors (`metav1.LabelSelector`): whom they match, and one spelling for those that mean the same. */
import { labelsMatch } from './object.ts';

export interface LabelRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?: readonly LabelRequirement[] | undefined;
}

/** `NotIn` also matches what lacks the key; an operator nobody knows admits nobody. */
export function requirementMatches({ key, operator, values = [] }: LabelRequirement, labels: Readonly<Record<string, string>>): boolean {
  // A label may be called `constructor`: only own ones count.
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** The empty selector matches everything. */
export const selectorMatches = (selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean =>
  labelsMatch(selector.matchLabels ?? {}, labels) &&
  (selector.matchExpressions ?? []).every((requirement) => requirementMatches(requirement, labels));

const OPERATORS: ReadonlySet<string> = new Set(['In', 'NotIn', 'Exists', 'DoesNotExist']);

/** What the API server would have refused, with the field; a selector with a problem must not be taken for one that selects nothing. */
export const selectorProblems = (selector: LabelSelector, field: string): string[] =>
  (selector.matchExpressions ?? []).flatMap(({ operator, values = [] }, i) => {
    const at = `${field}.matchExpressions[${i}]`;
    if (!OPERATORS.has(operator)) return [`${at}.operator: "${operator}" is none of ${[...OPERATORS].join(', ')}`];
    const takesValues = operator === 'In' || operator === 'NotIn';
    if (takesValues && values.length === 0) return [`${at}.values: ${operator} needs at least one`];
    return !takesValues && values.length > 0 ? [`${at}.values: ${operator} takes none`] : [];
  });

/** A value that could be taken for syntax is quoted, so that two selectors share a text only if they mean the same. */
const word = (text: string): string => (/^[A-Za-z0-9._/-]+$/.test(text) ? text : JSON.stringify(text));

/** The selector in `kubectl`'s notation, requirements in order; `*` is the empty one. */
export const selectorText = (selector: LabelSelector): string => {
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${word(key)}=${word(value)}`);
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    const set = `(${[...new Set(values)].sort().map(word).join(',')})`;
    switch (operator) {
      case 'In':
        return `${word(key)} in ${set}`;
      case 'NotIn':
        return `${word(key)} notin ${set}`;
      case 'Exists':
        return word(key);
      case 'DoesNotExist':
        return `!${word(key)}`;
      default:
        return `${word(key)} ${word(operator)}? ${set}`;
    }
  });
  return [...new Set([...labels, ...expressions])].sort().join(',') || '*';
};
