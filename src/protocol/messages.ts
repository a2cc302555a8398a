/** The generated messages of xDS, WDS, authorisation, the CA and ZDS. Both `workload` and `security` have an `Address`: the latter is `AuthorizationAddress`. */
export {
  Action,
  ActionSchema,
  type Address as AuthorizationAddress,
  AddressSchema as AuthorizationAddressSchema,
  type Authorization,
  AuthorizationSchema,
  type Clause,
  ClauseSchema,
  type Match,
  MatchSchema,
  type Rule,
  RuleSchema,
  Scope,
  ScopeSchema,
  type ServiceAccountMatch,
  ServiceAccountMatchSchema,
  type StringMatch,
  StringMatchSchema,
} from './gen/authorization_pb.js';
export * from './gen/ca_pb.js';
export * from './gen/discovery_pb.js';
export { type ServicePlan as ServicePlanMessage, ServicePlanSchema as ServicePlanMessageSchema } from './gen/traffic_pb.js';
export * from './gen/workload_pb.js';
export * from './gen/zds_pb.js';

/** Type URL of WDS addresses (workloads and services). */
export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
/** Type URL of L4 authorization policies. */
export const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';
/** Type URL of route plans for waypoints (Lateen's own). */
export const SERVICE_PLAN_TYPE = 'type.googleapis.com/lateen.traffic.v1.ServicePlan';
