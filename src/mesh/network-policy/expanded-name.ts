/** Names of NetworkPolicies in other words (`expand.ts`). */
/** No Kubernetes object can have such a name, so nothing of a user's is mistaken for one. */
const PREFIX = 'converted_network_policy_';
export const ingressAuthorizationName = (pod: string): string => `${PREFIX}ingress_${pod}`;
export const egressAuthorizationName = (pod: string): string => `${PREFIX}egress_${pod}`;
/** Whether an Authorization is a NetworkPolicy in other words: whoever knows NetworkPolicies has no need of it. */
export const isExpandedNetworkPolicy = (name: string): boolean => name.startsWith(PREFIX);
