/** What compiling one rule needs to know of its surroundings. */
import type { RouteLookup } from './lookup.ts';
import type { RouteKind } from './objects.ts';
import type { RouteProblems } from './problems.ts';

export interface RouteScope {
  readonly kind: RouteKind;
  /** Of the route. */
  readonly namespace: string;
  readonly name: string;
  /** Of the parent service: its services need no ReferenceGrant, the traffic is theirs already. */
  readonly parentNamespace: string;
  readonly lookup: RouteLookup;
  readonly problems: RouteProblems;
}

export interface RuleScope extends RouteScope {
  readonly index: number;
  /** `spec.rules[2]`. */
  readonly field: string;
  /** `HTTPRoute/default/reviews/2`; the rule's name instead of the number where it has one. */
  readonly title: string;
}

export const ruleScope = (scope: RouteScope, index: number, name: string | undefined): RuleScope => ({
  ...scope,
  index,
  field: `spec.rules[${index}]`,
  title: `${scope.kind}/${scope.namespace}/${scope.name}/${name ?? index}`,
});
