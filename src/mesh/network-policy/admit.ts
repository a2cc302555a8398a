/** NetworkPolicies at the proxy of the destination: who the source is, and for whom it may speak. */
import { sameIdentity, workloadIdentity } from '../identity.ts';
import type { Identity, Workload } from '../model.ts';
import type { MeshRegistry } from '../registry.ts';
import type { Trace } from '../trace.ts';
import { standsBefore } from '../waypoint-target.ts';
import { decideNetwork, NETWORK_ALLOWED, type NetworkDecision } from './decide.ts';

export interface NetworkArrival {
  readonly sourceIp: string;
  /** Of the certificate; undefined for plain text. */
  readonly identity?: Identity | undefined;
  readonly destinationIp: string;
  readonly port: number;
}

/**
 * The pod behind a source address. The address of a pod that has just gone may be another's already: a certificate that is not that pod's makes the source
 * one that is known by its address only.
 */
export const networkSource = (
  registry: MeshRegistry,
  network: string,
  ip: string,
  identity: Identity | undefined,
): Workload | undefined => {
  const found = registry.workloadByAddress(network, ip);
  return found === undefined || identity === undefined || sameIdentity(workloadIdentity(found), identity) ? found : undefined;
};

/** A waypoint of the destination that has evaluated the policies for the client and the endpoint: it does so for each request. */
const hasDecided = (registry: MeshRegistry, source: Workload, sourceIp: string, destination: Workload): boolean =>
  source.networkPolicy?.enforces === true &&
  (standsBefore(registry, destination, source, sourceIp) ||
    registry.servicesOf(destination).some((service) => standsBefore(registry, service, source, sourceIp)));

/** Whether a connection may reach the pod `destination`, which this proxy serves. */
export const admitNetwork = (
  registry: MeshRegistry,
  source: Workload | undefined,
  destination: Workload,
  { sourceIp, identity, destinationIp, port }: NetworkArrival,
  trace?: Trace,
): NetworkDecision => {
  const { networkPolicies } = registry;
  if (networkPolicies.size === 0) return NETWORK_ALLOWED;
  // Without a certificate anybody could have sent it from a waypoint's address.
  if (source !== undefined && identity !== undefined && hasDecided(registry, source, sourceIp, destination)) {
    trace?.push({
      rule: 'networkpolicy',
      text: `${source.namespace}/${source.name} is the destination's waypoint and has decided: allowed`,
    });
    return NETWORK_ALLOWED;
  }
  return decideNetwork(
    networkPolicies,
    { source: { ip: sourceIp, workload: source }, destination: { ip: destinationIp, workload: destination }, port },
    trace,
  );
};
