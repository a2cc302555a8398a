/** NetworkPolicies at the proxy of the source: what of a route they can be asked about before it is taken. */
import type { Workload } from '../model.ts';
import type { Route } from '../route.ts';
import type { Trace } from '../trace.ts';
import { decideEgress, NETWORK_ALLOWED, type NetworkDecision } from './decide.ts';
import type { NetworkPolicyTable } from './table.ts';

type Usable = Exclude<Route, { kind: 'failure' }>;

const portOf = (authority: string): number => Number(authority.slice(authority.lastIndexOf(':') + 1));

/**
 * Whether the egress rules of `source` let it go there. A waypoint of ours asks them about the endpoint it chooses, so there is nothing to ask before; any
 * other waypoint, and the gateway to another network, is an ordinary pod. `route.target` is resolved.
 */
export const decideRoute = (
  table: NetworkPolicyTable,
  route: Usable,
  source: Workload,
  sourceIp: string,
  trace?: Trace,
): NetworkDecision => {
  if (table.size === 0 || route.target.kind !== 'ip') return NETWORK_ALLOWED;
  const { ip } = route.target;
  let { port } = route.target;
  let workload: Workload | undefined;
  if (route.kind === 'double-hbone') workload = route.gatewayWorkload;
  else if (route.kind !== 'passthrough') workload = route.destinationWorkload;
  if (route.kind === 'hbone') {
    if (route.via === 'direct') port = portOf(route.authority);
    else if (workload?.networkPolicy?.enforces === true) return NETWORK_ALLOWED;
  }
  return decideEgress(table, { source: { ip: sourceIp, workload: source }, destination: { ip, workload }, port }, trace);
};
