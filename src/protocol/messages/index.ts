/**
 * The generated messages of xDS, WDS, authorisation, the CA and ZDS, for whoever uses the whole library: control plane, node agent, tests. Proxies have
 * `decodeMessage` and the tables.
 * Both `workload` and `security` have an `Address`: the latter is `AuthorizationAddress`.
 */
export {
  type Address as AuthorizationAddress,
  type Authorization,
  AuthorizationSchema,
  type Match,
  MatchSchema,
  type StringMatch,
  StringMatchSchema,
} from '../gen/authorization_pb.js';
export * from '../gen/ca_pb.js';
export * from '../gen/discovery_pb.js';
export {
  type NetworkPolicyDirection,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  type NetworkPolicyRange,
  NetworkPolicySchema as NetworkPolicyMessageSchema,
  WorkloadNetworkPolicySchema,
} from '../gen/network_policy_pb.js';
export { ServicePlanSchema as ServicePlanMessageSchema } from '../gen/traffic_pb.js';
export * from '../gen/workload_pb.js';
export * from '../gen/zds_pb.js';
