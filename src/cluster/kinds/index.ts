/** The kinds the embedded cluster's controllers and nodes read and write. */
import { defineResource } from '../../platform/kubernetes/index.ts';
import type { DaemonSet, Deployment, Job, ReplicaSet } from './apps.ts';
import type { ConfigMap, EndpointSlice, EventObject, Lease, Node, Secret, Service } from './core.ts';
import type { Condition, Pod } from './pod.ts';

export type * from './apps.ts';
export type * from './core.ts';
export type * from './pod.ts';

export const PODS = defineResource<Pod>('v1', 'Pod', 'pods');
export const NODES = defineResource<Node>('v1', 'Node', 'nodes', 'Cluster');
export const SERVICES = defineResource<Service>('v1', 'Service', 'services');
export const CONFIG_MAPS = defineResource<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const SECRETS = defineResource<Secret>('v1', 'Secret', 'secrets');
export const EVENTS = defineResource<EventObject>('v1', 'Event', 'events');
/** Where nodes keep their heartbeat. */
export const LEASE_NAMESPACE = 'kube-node-lease';
export const LEASES = defineResource<Lease>('coordination.k8s.io/v1', 'Lease', 'leases');
export const ENDPOINT_SLICES = defineResource<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices');
export const DEPLOYMENTS = defineResource<Deployment>('apps/v1', 'Deployment', 'deployments');
export const REPLICA_SETS = defineResource<ReplicaSet>('apps/v1', 'ReplicaSet', 'replicasets');
export const DAEMON_SETS = defineResource<DaemonSet>('apps/v1', 'DaemonSet', 'daemonsets');
export const JOBS = defineResource<Job>('batch/v1', 'Job', 'jobs');

export const isConditionTrue = (conditions: readonly Condition[] | undefined, type: string): boolean =>
  conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false;

/** Kubernetes timestamps have whole seconds. */
export const timestamp = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;
/** Leases and a few others carry microseconds. */
export const microTimestamp = (at: number): string => new Date(at).toISOString().replace('Z', '000Z');

/** Keeps `lastTransitionTime` of conditions whose status did not change. */
export function withTransitionTimes(next: readonly Condition[], previous: readonly Condition[] | undefined, now: string): Condition[] {
  return next.map((condition) => {
    const before = previous?.find(({ type }) => type === condition.type);
    const lastTransitionTime = before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
    return { ...condition, lastTransitionTime };
  });
}
