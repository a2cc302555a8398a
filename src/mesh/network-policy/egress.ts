/** NetworkPolicies at the proxy of the source: what of a route they can be asked about before it is taken. */
import type { Workload } from '../model.ts';
import type { MeshRegistry } from '../registry.ts';
import type { Route } from '../route.ts';
import type { Trace } from '../trace.ts';
import { decideEgress, NETWORK_ALLOWED, type NetworkDecision } from './decide.ts';

type Usable = Exclude<Route, { kind: 'failure' }>;

const portOf = (authority: string): number => Number(authority.slice(authority.lastIndexOf(':') + 1));

/**
 * Whether the egress rules of `source` let it go there. A waypoint of ours asks them about the endpoint it chooses, so there is nothing to ask before; any
 * other waypoint, and the gateway to another network, is an ordinary pod. `route.target` is resolved.
 */
export const decideRoute = (registry: MeshRegistry, route: Usable, source: Workload, sourceIp: string, trace?: Trace): NetworkDecision => {
  const { networkPolicies } = registry;
  if (networkPolicies.size === 0 || route.target.kind !== 'ip') return NETWORK_ALLOWED;
  const { ip } = route.target;
  let { port } = route.target;
  const dialled = dialledWorkload(route);
  // A connection is asked about again later: what it was opened to may have other labels by then, or be gone.
  const workload = dialled && registry.workload(dialled.uid);
  if (route.kind === 'hbone') {
    if (route.via === 'direct') port = portOf(route.authority);
    else if (workload?.networkPolicy?.enforces === true) return NETWORK_ALLOWED;
  }
  return decideEgress(networkPolicies, { source: { ip: sourceIp, workload: source }, destination: { ip, workload }, port }, trace);
};

const dialledWorkload = (route: Usable): Workload | undefined => {
  if (route.kind === 'passthrough') return undefined;
  return route.kind === 'double-hbone' ? route.gatewayWorkload : route.destinationWorkload;
};
