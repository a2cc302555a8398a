/** Type URL of WDS addresses (workloads and services). */
export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
/** Type URL of L4 authorization policies. */
export const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';
/** Type URL of NetworkPolicies for proxies (Lateen's own). */
export const NETWORK_POLICY_TYPE = 'type.googleapis.com/lateen.policy.v1.NetworkPolicy';
/** Type URL of what a workload is to NetworkPolicies: the content of its extension. */
export const WORKLOAD_NETWORK_POLICY_TYPE = 'type.googleapis.com/lateen.policy.v1.WorkloadNetworkPolicy';
/** Type URL of route plans for waypoints (Lateen's own). */
export const SERVICE_PLAN_TYPE = 'type.googleapis.com/lateen.traffic.v1.ServicePlan';
/** How Lateen's control plane names itself (`DeltaDiscoveryResponse.control_plane`): it answers for every type, those of our own included. */
export const CONTROL_PLANE_IDENTIFIER = 'lateen';
