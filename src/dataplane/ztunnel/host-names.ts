/** Host names of workloads, resolved for a connection of a pod and counted (ambient contract 2.4b and 8.1). */
import type { Workload } from '../../mesh/index.ts';
import type { Counter, Registry } from '../../platform/telemetry/index.ts';
import { OnDemandDns, type Resolution } from '../core/on-demand-dns.ts';
import { systemDns } from '../core/system-dns.ts';
import { SOURCE_LABEL_NAMES, sourceLabels } from '../core/traffic-labels.ts';

const LABELS = [...SOURCE_LABEL_NAMES, 'hostname'] as const;

export class HostNames {
  readonly #dns: OnDemandDns;
  readonly #requests: Counter;

  constructor(telemetry: Registry, options: { readonly ipv6: boolean; readonly random: () => number }) {
    this.#dns = new OnDemandDns({ source: systemDns(), now: () => performance.now(), ...options });
    this.#requests = telemetry.counter('istio_on_demand_dns', 'The total number of requests that used on-demand DNS (unstable)', LABELS);
  }

  /** Calls `settle` once, perhaps at once. */
  resolve(source: Workload, hostname: string, preferFamily: 4 | 6, settle: (resolution: Resolution) => void): void {
    this.#requests.labels({ ...sourceLabels(source), hostname }).inc();
    this.#dns.resolve(hostname, preferFamily, settle);
  }
}
