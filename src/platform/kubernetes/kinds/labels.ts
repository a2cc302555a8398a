import { selectorMatches } from '../../../mesh/index.ts';
import { type FieldProblem, invalid, notSupported, required } from './kind.ts';
import type { LabelSelector } from './meta.ts';

/** Names and label syntax of the Kubernetes API (RFC 1123 and qualified names). */
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const SUBDOMAIN_HELP =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_HELP =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_HELP =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_HELP =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/** Undefined when `value` is a DNS subdomain name, otherwise what is wrong. */
export function subdomainProblem(value: string): string | undefined {
  if (value.length > 253) return 'must be no more than 253 characters';
  return DNS_SUBDOMAIN.test(value) ? undefined : SUBDOMAIN_HELP;
}

export function dnsLabelProblem(value: string): string | undefined {
  if (value.length > 63) return 'must be no more than 63 characters';
  return DNS_LABEL.test(value) ? undefined : LABEL_HELP;
}

/** Label and annotation keys: `[prefix/]name`. */
export function qualifiedNameProblem(key: string): string | undefined {
  const parts = key.split('/');
  const name = parts.at(-1)!;
  if (parts.length > 2)
    return `a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/'`;
  if (parts.length === 2) {
    if (parts[0] === '') return 'prefix part must be non-empty';
    const problem = subdomainProblem(parts[0]!);
    if (problem !== undefined) return `prefix part ${problem}`;
  }
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 characters';
  return QUALIFIED.test(name) ? undefined : QUALIFIED_HELP;
}

export function labelValueProblem(value: string): string | undefined {
  if (value.length > 63) return 'must be no more than 63 characters';
  return value === '' || QUALIFIED.test(value) ? undefined : VALUE_HELP;
}

export function validateLabels(labels: Readonly<Record<string, string>> | undefined, field: string): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyProblem = qualifiedNameProblem(key);
    if (keyProblem !== undefined) problems.push(invalid(field, key, keyProblem));
    const valueProblem = labelValueProblem(value);
    if (valueProblem !== undefined) problems.push(invalid(field, value, valueProblem));
  }
  return problems;
}

/** `metav1.LabelSelector` against labels. Undefined selects nothing, the empty selector everything. */
export const matchesLabelSelector = (selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> | undefined): boolean =>
  selector !== undefined && selectorMatches(selector, labels ?? {});

/** A selector in the string form of `?labelSelector=`. */
export function labelSelectorString(selector: LabelSelector | undefined): string {
  if (selector === undefined) return '';
  const parts = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
    else parts.push(`${key} ${operator.toLowerCase()} (${(values ?? []).join(',')})`);
  }
  return parts.join(',');
}

export function validateLabelSelector(selector: LabelSelector | undefined, field: string): FieldProblem[] {
  if (selector === undefined) return [];
  const problems = validateLabels(selector.matchLabels, `${field}.matchLabels`);
  (selector.matchExpressions ?? []).forEach((expression, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    const needsValues = expression.operator === 'In' || expression.operator === 'NotIn';
    if (!['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(expression.operator)) {
      problems.push(notSupported(`${at}.operator`, expression.operator, ['DoesNotExist', 'Exists', 'In', 'NotIn']));
    } else if (needsValues && (expression.values ?? []).length === 0) {
      problems.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (!needsValues && (expression.values ?? []).length > 0) {
      problems.push({
        field: `${at}.values`,
        reason: 'FieldValueForbidden',
        message: "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
      });
    }
    const keyProblem = qualifiedNameProblem(expression.key);
    if (keyProblem !== undefined) problems.push(invalid(`${at}.key`, expression.key, keyProblem));
  });
  return problems;
}
