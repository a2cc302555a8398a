/** Host names of workloads, resolved for a connection of a pod and counted (ambient contract 2.4b and 8.1). */
import { type Workload, workloadSpiffeId } from '../../mesh/index.ts';
import type { Counter, Registry } from '../../platform/telemetry/index.ts';
import { OnDemandDns, type Resolution } from '../core/on-demand-dns.ts';
import { systemDns } from '../core/system-dns.ts';

const LABELS = [
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'hostname',
] as const;

const known = (value: string): string => value || 'unknown';

export class HostNames {
  readonly #dns: OnDemandDns;
  readonly #requests: Counter;

  constructor(telemetry: Registry, options: { readonly ipv6: boolean; readonly random: () => number }) {
    this.#dns = new OnDemandDns({ source: systemDns(), now: () => performance.now(), ...options });
    this.#requests = telemetry.counter('istio_on_demand_dns', 'The total number of requests that used on-demand DNS (unstable)', LABELS);
  }

  /** Calls `settle` once, perhaps at once. */
  resolve(source: Workload, hostname: string, preferFamily: 4 | 6, settle: (resolution: Resolution) => void): void {
    const app = known(source.canonicalName);
    const version = known(source.canonicalRevision);
    const labels = {
      source_workload: known(source.workloadName),
      source_canonical_service: app,
      source_canonical_revision: version,
      source_workload_namespace: known(source.namespace),
      source_principal: workloadSpiffeId(source),
      source_app: app,
      source_version: version,
      source_cluster: known(source.clusterId),
      hostname,
    };
    this.#requests.labels(labels).inc();
    this.#dns.resolve(hostname, preferFamily, settle);
  }
}
