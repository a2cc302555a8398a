/** NetworkPolicies: what proxies decide with. What the control plane makes them with stands behind `mesh/compile`. */
export * from './admit.ts';
export * from './decide.ts';
export * from './decode.ts';
export * from './egress.ts';
export { isExpandedNetworkPolicy } from './expanded-name.ts';
export type * from './model.ts';
export { networkPolicyKey } from './table.ts';
