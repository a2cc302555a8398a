/** Gateway API routes → route plans: one object at a time, then merged for each service. */

export { compileRoute } from './compile-route.ts';
export { type CompiledParent, type CompiledRoute, describeRoute, type RouteIdentity, type RouteProblem } from './compiled-route.ts';
export type { RouteDependencies, RoutedPort, RouteLookup, RouteTarget, ServiceKind } from './lookup.ts';
export { type MergedRoutes, mergeRoutes, type RouteConflict } from './merge-routes.ts';
export type { ReferenceGrantObject, RouteKind, RouteObjects } from './objects.ts';
export { CONFLICTED, keepLastGood, PROGRAMMED, type RouteParentStatus, type RouteStatus, routeStatus } from './route-status.ts';
