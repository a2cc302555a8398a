/** What the control plane and the command line make of objects: policies, bindings, names, route plans. No proxy loads this. */
export { type CombinedPlan, combinePlans, type IstioPlan, type PlanConflict } from '../http/combine.ts';
export { explainMatch, matchText } from '../http/explain-route.ts';
export * from '../http/gateway-api/index.ts';
export * from '../http/istio/index.ts';
export { encodeServicePlan } from '../http/plan-codec.ts';
export { checkRegex, checkRegexSubstitution } from '../http/regex.ts';
export { type CompiledNetworkPolicy, compileNetworkPolicy } from '../network-policy/compile.ts';
export { encodeNetworkFacts, encodeNetworkPolicy } from '../network-policy/encode.ts';
export {
  type DecidingWaypoint,
  type ExpandedPod,
  expandEgress,
  expandIngress,
} from '../network-policy/expand.ts';
export { egressAuthorizationName, ingressAuthorizationName } from '../network-policy/expanded-name.ts';
export { coversNamespace, isInGroup, type LabelledNamespace, type PodGroup } from '../network-policy/group.ts';
export { byAge, type Condition, type ObjectMeta } from '../object.ts';
export * from '../peer-authentication-conversion.ts';
export * from '../policy-conversion.ts';
export type * from '../policy-object.ts';
export * from '../waypoint-binding.ts';
export * from '../wds-encode.ts';
export * from '../workload-naming.ts';
