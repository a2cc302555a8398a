/** What one proxy tells another about a workload: the `baggage` header of tunnels (ambient contract 1.4). */
import type { Workload } from '../../mesh/index.ts';
import { type Baggage, encodeBaggage } from '../../protocol/index.ts';

const TYPES = { DEPLOYMENT: 'deployment', CRONJOB: 'cronjob', POD: 'pod', JOB: 'job' } as const;
const encoded = new WeakMap<Workload, string>();

/** What one proxy tells another about a workload. */
export const baggageOf = (workload: Workload): Baggage => ({
  clusterId: workload.clusterId,
  namespace: workload.namespace,
  workloadType: TYPES[workload.workloadType],
  workloadName: workload.workloadName,
  serviceName: workload.canonicalName,
  serviceVersion: workload.canonicalRevision,
  region: workload.locality.region,
  zone: workload.locality.zone,
});

/** The `baggage` header of a workload, encoded once; empty when nothing is known. */
export function baggageHeader(workload: Workload): string {
  let text = encoded.get(workload);
  if (text === undefined) {
    text = encodeBaggage(baggageOf(workload));
    encoded.set(workload, text);
  }
  return text;
}
