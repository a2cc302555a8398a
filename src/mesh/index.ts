/**
 * What the mesh means: identities, the registry, where connections go, and who may do what. Pure: time and randomness are arguments.
 * What only waypoints, only the control plane or only a local configuration need has doors of its own: `http`, `compile`, `local`.
 */
export * from './authorize.ts';
export { type CompiledPolicy, type Connection, compilePolicy, type PreparedConnection, prepareConnection } from './compile-policy.ts';
export { type EastWestTarget, resolveEastWest } from './east-west.ts';
export * from './enrolment.ts';
export { FAILURES, type Failure, type FailureReason, failure } from './failure.ts';
export { describeGateway, expectedIdentities } from './gateway.ts';
export * from './identity.ts';
export * from './inbound.ts';
export * from './ip.ts';
export * from './keys.ts';
export { requirementMatches, selectorMatches } from './label-selector.ts';
export { type Random, type Reach, rankEndpoint, reachWorkload, selectEndpoint, targetPort } from './load-balance.ts';
export { ALWAYS, NEVER } from './match.ts';
export type * from './model.ts';
export * from './network-policy/index.ts';
export { type Destination, type Endpoint, MeshRegistry, type RegistryChange } from './registry.ts';
export {
  HBONE_PORT,
  ILLEGAL_PORTS,
  isFromWaypoint,
  type OutboundOptions,
  resolveOutbound,
  type SocketDestination,
  serviceWaypoint,
} from './resolve.ts';
export { fail, ok, type Result } from './result.ts';
export {
  type DialTarget,
  type DoubleHboneRoute,
  type HboneRoute,
  type PassthroughRoute,
  type Route,
  type TcpRoute,
  targetText,
  withResolvedIp,
} from './route.ts';
export type { Trace, TraceStep } from './trace.ts';
export { resolveWaypointTarget, standsBefore, type WaypointTarget } from './waypoint-target.ts';
export * from './wds-decode.ts';
export * from './wds-decode-policy.ts';
