/** What one route object compiles to, before it meets the other routes of its services. */
import type { Condition } from '../../object.ts';
import type { HttpAction, HttpMatch, WeightedBackend } from '../plan.ts';
import type { RouteDependencies } from './lookup.ts';
import type { ParentReference, RouteKind } from './objects.ts';

export interface RouteIdentity {
  readonly kind: RouteKind;
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339, as the API server wrote it: the older of two routes comes first. */
  readonly creationTimestamp: string;
}

/** `HTTPRoute default/reviews`, for messages. */
export const describeRoute = ({ kind, namespace, name }: RouteIdentity): string => `${kind} ${namespace}/${name}`;

/** Why a value cannot be served: the field's path from the object's root, the condition's reason, a sentence. */
export interface RouteProblem {
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

/** Numbers by which matches of one kind of route are ordered, the greatest first. */
export type MatchRank = readonly number[];

export interface RankedRule {
  readonly match: HttpMatch;
  readonly rank: MatchRank;
  /** Index into the fragment's `actions`. */
  readonly action: number;
}

/** The part a route adds to a plan. Rules in the order of the object. */
export type RouteFragment =
  | { readonly kind: 'http'; readonly rules: readonly RankedRule[]; readonly actions: readonly HttpAction[] }
  | { readonly kind: 'tls'; readonly name: string; readonly hosts: readonly string[]; readonly backends: readonly WeightedBackend[] }
  | { readonly kind: 'tcp'; readonly name: string; readonly backends: readonly WeightedBackend[] };

/** A route on a port of a service. */
export interface RouteAttachment {
  /** `namespace/hostname`. */
  readonly service: string;
  /** 0: every port. */
  readonly port: number;
  /** The namespace whose clients a consumer route is for (GEP-1294); absent: a producer route, for all. */
  readonly consumer?: string;
  readonly fragment: RouteFragment;
}

/** `NoWaypoint`: nobody executes the route. `ProtocolMismatch`: the port has another kind of traffic than the route is for. */
export interface RouteObstacle {
  readonly reason: 'NoWaypoint' | 'ProtocolMismatch';
  readonly message: string;
}

/** One `parentRef` that is a service. */
export interface CompiledParent {
  readonly parentRef: ParentReference;
  /** Without those that depend on other routes, which `routeStatus` adds. */
  readonly conditions: readonly Condition[];
  /** Empty when the route does not attach. */
  readonly attachments: readonly RouteAttachment[];
  /** Why the attached route does nothing all the same. */
  readonly obstacle?: RouteObstacle;
}

export interface CompiledRoute {
  readonly route: RouteIdentity;
  readonly controllerName: string;
  /** In the order of the object; parents of other kinds are not there. */
  readonly parents: readonly CompiledParent[];
  /** Present: the object as it stands is refused and attaches nowhere. `keepLastGood` lets an earlier one serve on. */
  readonly refused?: readonly RouteProblem[];
  readonly dependencies: RouteDependencies;
}
