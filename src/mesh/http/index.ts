/** HTTP routing: the route plan, its compilers, its matcher and its load balancers. Re-exported by the room. */

export type { PickContext } from './balancer.ts';
export { chooseBackend, isMirrored } from './choose-backend.ts';
export { Cluster, type ClusterOptions } from './cluster.ts';
export { type CombinedPlan, combinePlans, type IstioPlan, type PlanConflict } from './combine.ts';
export type { RouteMatch } from './compiled-rule.ts';
export { matchTcp, matchTls } from './connection-route.ts';
export { corsPreflight, corsResponseEdit } from './cors.ts';
export { type EndpointState, endpointKey } from './endpoint-state.ts';
export { explainMatch, matchText } from './explain-route.ts';
export { decideFault, type FaultDecision } from './fault.ts';
export * from './gateway-api/index.ts';
export { makeHashCookie, requestHash } from './hash-source.ts';
export { editHeaders } from './header-edit.ts';
export * from './istio/index.ts';
export { normalizePath } from './normalize-path.ts';
export type { Outcome } from './outlier.ts';
export type * from './plan.ts';
export { decodeServicePlan, encodeServicePlan } from './plan-codec.ts';
export { PLAN_LIMITS } from './plan-schema.ts';
export { checkRegex, checkRegexSubstitution, compileRegex, REGEX_LIMITS, type Regex } from './regex.ts';
export { type AttemptFailure, type AttemptOutcome, isRetriable, retryDelay } from './retry.ts';
export { redirectLocation, rewritePath } from './rewrite.ts';
export { compileHttpTable, type RouteTable } from './route-table.ts';
export { cookieValue, decodeSession, encodeSession, readSession, type Session, writeSession } from './session.ts';
