/** One endpoint as a cluster knows it: kept as long as workload and port stay, whatever else changes. */
import type { Workload } from '../model.ts';
import type { Endpoint } from '../registry.ts';

export class EndpointState {
  /** `<workload uid>:<target port>`: what a session cookie names. */
  readonly key: string;
  readonly targetPort: number;
  /** The newest the registry knows. */
  endpoint: Endpoint;
  /** When it was first seen, milliseconds; warm-up counts from here. */
  readonly since: number;
  /** Requests in flight: the data path adds and subtracts one. */
  active = 0;
  /** Consecutive failures, by kind. */
  serverErrors = 0;
  gatewayErrors = 0;
  localFailures = 0;
  /** How often it was ejected of late: multiplies the time. */
  ejections = 0;
  isEjected = false;
  /** When the ejection ends, or would have the next time it is looked at. */
  ejectedUntil = 0;
  /** No longer an endpoint of the cluster; requests under way end as they will. */
  isGone = false;

  constructor(endpoint: Endpoint, targetPort: number, since: number) {
    this.key = endpointKey(endpoint.workload.uid, targetPort);
    this.endpoint = endpoint;
    this.targetPort = targetPort;
    this.since = since;
  }

  get workload(): Workload {
    return this.endpoint.workload;
  }

  /** Its share of the traffic. */
  get weight(): number {
    return this.endpoint.workload.capacity;
  }
}

export const endpointKey = (uid: string, targetPort: number): string => `${uid}:${targetPort}`;
