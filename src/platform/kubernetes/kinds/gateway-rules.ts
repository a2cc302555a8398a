import type { BackendObjectReference, HttpRequestMirrorFilter, ParentReference, SessionPersistence } from './gateway-common.ts';
import { type FieldProblem, invalid } from './kind.ts';

/** Rules that several kinds of the Gateway API share: what their definitions say in CEL. */

/** A rule about an object or a list as a whole: the API server shows only what sort of thing it is. */
export function broken(field: string, value: unknown, detail: string): FieldProblem {
  const shown = Array.isArray(value) ? 'array' : typeof value === 'object' ? 'object' : value;
  return invalid(field, shown, detail);
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
/** A GEP-2257 duration in milliseconds; undefined when it is none. */
export function gatewayDurationMilliseconds(value: string): number | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(value)) return undefined;
  let total = 0;
  for (const [, amount, unit] of value.matchAll(/(\d+)(ms|h|m|s)/g)) total += Number(amount) * UNITS[unit!]!;
  return total;
}

/** Parents must be told apart: two references to one object differ in section or port, and both say it in the same way. */
export function parentProblems(parents: readonly ParentReference[] | undefined, field: string): FieldProblem[] {
  const byTarget = new Map<string, ParentReference[]>();
  for (const parent of parents ?? []) {
    const target = JSON.stringify([parent.group, parent.kind, parent.namespace ?? '', parent.name]);
    byTarget.set(target, [...(byTarget.get(target) ?? []), parent]);
  }
  for (const same of byTarget.values()) {
    if (same.length < 2) continue;
    const hasSection = same.filter((parent) => (parent.sectionName ?? '') !== '').length;
    const hasPort = same.filter((parent) => parent.port !== undefined).length;
    if ((hasSection !== 0 && hasSection !== same.length) || (hasPort !== 0 && hasPort !== same.length))
      return [broken(field, parents, 'sectionName or port must be given in each of several references to the same parent')];
    const places = new Set(same.map((parent) => JSON.stringify([parent.sectionName ?? '', parent.port ?? 0])));
    if (places.size < same.length) return [broken(field, parents, 'sectionName or port must differ between references to the same parent')];
  }
  return [];
}

export function backendProblems(backend: BackendObjectReference | undefined, field: string): FieldProblem[] {
  if (backend === undefined || (backend.group ?? '') !== '' || (backend.kind ?? 'Service') !== 'Service' || backend.port !== undefined)
    return [];
  return [broken(field, backend, 'port must be given for a reference to a Service')];
}

export function mirrorProblems(mirror: HttpRequestMirrorFilter | undefined, field: string): FieldProblem[] {
  if (mirror === undefined) return [];
  const problems = backendProblems(mirror.backendRef, `${field}.backendRef`);
  const { percent, fraction } = mirror;
  if (percent !== undefined && fraction !== undefined) problems.push(broken(field, mirror, 'only one of percent or fraction may be given'));
  if (fraction !== undefined && (fraction.numerator ?? 0) > (fraction.denominator ?? 100))
    problems.push(broken(`${field}.fraction`, fraction, 'numerator must be less than or equal to denominator'));
  return problems;
}

export function sessionProblems(session: SessionPersistence | undefined, field: string): FieldProblem[] {
  if (session?.cookieConfig === undefined) return [];
  const problems: FieldProblem[] = [];
  if (session.cookieConfig.lifetimeType === 'Permanent' && session.absoluteTimeout === undefined)
    problems.push(broken(field, session, 'absoluteTimeout must be given when the lifetimeType of the cookie is Permanent'));
  if (session.type === 'Header') problems.push(broken(field, session, 'cookieConfig can only be given with type Cookie'));
  return problems;
}

/** Each type of filter has a field of its own: exactly that one must be there. */
export function pairingProblems<F extends { readonly type: string }>(
  filter: F,
  field: string,
  fieldOfType: Readonly<Record<string, keyof F & string>>,
): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [type, name] of Object.entries(fieldOfType)) {
    if (filter.type === type && filter[name] === undefined)
      problems.push(broken(field, filter, `filter.${name} must be given when filter.type is ${type}`));
    if (filter.type !== type && filter[name] !== undefined)
      problems.push(broken(field, filter, `filter.${name} must not be given when filter.type is not ${type}`));
  }
  return problems;
}

export function repetitionProblems(filters: readonly { readonly type: string }[], field: string, once: readonly string[]): FieldProblem[] {
  return once
    .filter((type) => filters.filter((filter) => filter.type === type).length > 1)
    .map((type) => broken(field, filters, `${type} filter cannot be repeated`));
}

/** Most matches all rules of a route may have together. */
const MATCHES = 128;
/** Rules have different names, and not too many matches together. */
export function ruleListProblems(
  rules: readonly { readonly name?: string; readonly matches?: readonly unknown[] }[],
  field: string,
): FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (rules.reduce((sum, rule) => sum + (rule.matches?.length ?? 0), 0) > MATCHES)
    problems.push(broken(field, rules, `all rules together may have at most ${MATCHES} matches`));
  const names = rules.flatMap((rule) => (rule.name === undefined ? [] : [rule.name]));
  if (new Set(names).size < names.length) problems.push(broken(field, rules, 'rule names must be unique within the route'));
  return problems;
}
