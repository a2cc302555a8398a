/** `/config_dump` of a waypoint: what it knows, which routes it has, and how its destinations are. */
import { type MeshRegistry, policyKey, type Workload } from '../../mesh/index.ts';
import type { CertificateManager } from '../core/certificate-manager.ts';
import { dumpCertificates, dumpConfig, dumpNetworkPolicy, dumpPolicy, dumpService, dumpWorkload, type Json } from '../core/dump.ts';
import type { Config } from './config.ts';
import type { Traffic } from './traffic.ts';

export interface DumpSources {
  readonly registry: MeshRegistry;
  readonly traffic: Traffic;
  readonly certificates: CertificateManager;
  readonly config: Config;
  readonly self: Workload | undefined;
}

/** Secrets are not shown: no token, no keys. */
export function configDump({ registry, traffic, certificates, config, self }: DumpSources): Json {
  return {
    self: self?.uid,
    workloads: registry.allWorkloads().map(dumpWorkload),
    services: registry.allServices().map((service) => dumpService(registry, service)),
    policies: registry.allPolicies().map((policy) => ({ key: policyKey(policy), ...(dumpPolicy(policy) as object) })),
    networkPolicies: registry.networkPolicies.all().map(dumpNetworkPolicy),
    // Plans are JSON values.
    plans: traffic.plans() as unknown as Json,
    clusters: [...traffic.upstreams()].map(({ backend, active, cluster }) => ({
      ...backend,
      active,
      endpoints: [...cluster.states].map((state) => ({
        workload: state.workload.uid,
        address: `${state.workload.addresses[0] ?? state.workload.hostname}:${state.targetPort}`,
        active: state.active,
        ejected: state.isEjected,
      })),
    })),
    version: { version: 'lateen', runtime: `bun ${Bun.version}` },
    config: dumpConfig(config),
    certificates: dumpCertificates(certificates),
  };
}
