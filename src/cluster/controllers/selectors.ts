/** Label selectors, percentages and template hashes. */
import { createHash } from 'node:crypto';
import type { IntOrString, LabelSelector, PodTemplateSpec } from '../../platform/kubernetes/index.ts';

export function matchesSelector(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>> | undefined): boolean {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) if (labels?.[key] !== value) return false;
  return (selector?.matchExpressions ?? []).every((expression) => matchesExpression(expression, labels ?? {}));
}

export function matchesExpression(
  expression: NonNullable<LabelSelector['matchExpressions']>[number],
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[expression.key];
  switch (expression.operator) {
    case 'In':
      return value !== undefined && (expression.values ?? []).includes(value);
    case 'NotIn':
      return value === undefined || !(expression.values ?? []).includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(expression.values?.[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(expression.values?.[0]);
    default:
      return false;
  }
}

/** The selector as a query parameter of the API. */
export function selectorText(selector: LabelSelector | undefined): string {
  const parts = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values } of selector?.matchExpressions ?? []) {
    if (operator === 'In') parts.push(`${key} in (${(values ?? []).join(',')})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${(values ?? []).join(',')})`);
    else if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
  }
  return parts.join(',');
}

/** A count, or a percentage of `total`. */
export function scaledValue(value: IntOrString | undefined, total: number, fallback: IntOrString, round: 'up' | 'down'): number {
  const given = value ?? fallback;
  if (typeof given === 'number') return given;
  const percent = /^(\d+)%$/.exec(given)?.[1];
  if (percent === undefined) return Number(given) || 0;
  const exact = (Number(percent) * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

/** JSON with sorted keys: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (each === null || typeof each !== 'object' || Array.isArray(each)) return each;
    const object = each as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      Object.keys(object)
        .sort()
        .map((key) => [key, object[key]]),
    );
  });
}

/** Letters and digits Kubernetes uses in generated names: no vowels, nothing that is easily confused. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

export function templateHash(template: PodTemplateSpec): string {
  const digest = createHash('sha256').update(canonicalJson(template)).digest();
  return [...digest.subarray(0, 10)].map((byte) => SAFE[byte % SAFE.length]).join('');
}

export function randomSuffix(length = 5): string {
  return [...crypto.getRandomValues(new Uint8Array(length))].map((byte) => SAFE[byte % SAFE.length]).join('');
}
