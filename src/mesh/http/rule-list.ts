/** Rules that share their place in the index, in the table's order. Long lists that differ in the value of a header are looked up by it. */
import type { CompiledRule } from './compiled-rule.ts';
import type { HttpRule } from './plan.ts';

/** Below this a scan is cheaper than a lookup. */
const LEAST_GROUPED = 8;
/** Each group costs a header lookup per request, so headers with few values are not worth one. */
const LEAST_IN_GROUP = 4;

interface HeaderGroup {
  readonly name: string;
  readonly byValue: ReadonlyMap<string, readonly CompiledRule[]>;
}

const exactHeader = (rule: HttpRule): { name: string; value: string } | undefined => {
  for (const { name, condition, isInverted } of rule.match.headers ?? [])
    if (condition.kind === 'exact' && !condition.ignoreCase && !isInverted) return { name, value: condition.value };
  return undefined;
};

export class RuleList {
  /** Ascending by order. */
  plain: readonly CompiledRule[];
  groups: readonly HeaderGroup[] | undefined = undefined;

  constructor() {
    this.plain = [];
  }

  add(rule: CompiledRule): void {
    // Owned by this object until `finish`.
    (this.plain as CompiledRule[]).push(rule);
  }

  /** To be called once, when all rules are in. */
  finish(rules: readonly HttpRule[]): void {
    if (this.plain.length < LEAST_GROUPED) return;
    const byName = new Map<string, Map<string, CompiledRule[]>>();
    const sizes = new Map<string, number>();
    for (const rule of this.plain) {
      const header = exactHeader(rules[rule.order]!);
      if (header === undefined) continue;
      sizes.set(header.name, (sizes.get(header.name) ?? 0) + 1);
      const values = byName.get(header.name) ?? new Map<string, CompiledRule[]>();
      byName.set(header.name, values);
      const same = values.get(header.value);
      if (same === undefined) values.set(header.value, [rule]);
      else same.push(rule);
    }
    const isGrouped = (name: string): boolean => (sizes.get(name) ?? 0) >= LEAST_IN_GROUP;
    const groups = [...byName].filter(([name]) => isGrouped(name)).map(([name, byValue]) => ({ name, byValue }));
    if (groups.length === 0) return;
    this.groups = groups;
    this.plain = this.plain.filter((rule) => {
      const header = exactHeader(rules[rule.order]!);
      return header === undefined || !isGrouped(header.name);
    });
  }
}
