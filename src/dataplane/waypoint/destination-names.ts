/** How an endpoint and a destination are called in logs, metrics and traces. */
import type { Backend, EndpointState } from '../../mesh/http/index.ts';

export const addressOf = ({ workload, targetPort }: EndpointState): string => `${workload.addresses[0] ?? workload.hostname}:${targetPort}`;

/** The name an Istio waypoint gives the destination. */
export const clusterName = ({ service, port, subset }: Backend, kind: 'http' | 'tcp'): string =>
  `inbound-vip|${port}|${kind}${subset === undefined ? '' : `/${subset}`}|${service.slice(service.indexOf('/') + 1)}`;
