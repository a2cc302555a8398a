/** Selectors of nodes, percentages and template hashes. */
import { createHash } from 'node:crypto';
import { requirementMatches } from '../../mesh/index.ts';
import type { IntOrString, LabelSelector, PodTemplateSpec } from '../../platform/kubernetes/index.ts';

type NodeRequirement = NonNullable<LabelSelector['matchExpressions']>[number];

/** Selectors of nodes compare numbers as well. */
export function nodeRequirementMatches(requirement: NodeRequirement, labels: Readonly<Record<string, string>>): boolean {
  const { key, operator, values } = requirement;
  if (operator !== 'Gt' && operator !== 'Lt') return requirementMatches(requirement, labels);
  const value = Object.hasOwn(labels, key) ? Number(labels[key]) : Number.NaN;
  const bound = Number(values?.[0]);
  return operator === 'Gt' ? value > bound : value < bound;
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
