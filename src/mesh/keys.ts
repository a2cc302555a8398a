import { networkIpKey } from './ip.ts';
import type { Authorization, Service, Workload } from './model.ts';

/** Primary WDS resource names (4.4). */
export const workloadKey = (workload: Workload): string => workload.uid;
export const serviceKey = (service: Pick<Service, 'namespace' | 'hostname'>): string => `${service.namespace}/${service.hostname}`;
export const policyKey = (policy: Pick<Authorization, 'namespace' | 'name'>): string => `${policy.namespace}/${policy.name}`;

/** The uid Istio gives a pod; the group is empty, hence the double slash. */
export const podUid = (clusterId: string, namespace: string, name: string): string => `${clusterId}//Pod/${namespace}/${name}`;

/** `network/ip` names under which a resource can be asked for on demand. CIDR VIPs have none. */
export const workloadAliases = (workload: Workload): string[] => workload.addresses.map((ip) => networkIpKey(workload.network, ip));
export const serviceAliases = (service: Service): string[] =>
  service.vips.filter((vip) => vip.length === undefined).map((vip) => networkIpKey(vip.network, vip.address));
