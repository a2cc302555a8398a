/** Type URL of WDS addresses (workloads and services). */
export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
/** Type URL of L4 authorization policies. */
export const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';
/** Type URL of route plans for waypoints (Lateen's own). */
export const SERVICE_PLAN_TYPE = 'type.googleapis.com/lateen.traffic.v1.ServicePlan';
