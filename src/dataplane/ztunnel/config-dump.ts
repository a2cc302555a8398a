/** `/config_dump`: everything the proxy knows, with the keys istioctl reads (ambient contract 8.4). */
import { type MeshRegistry, policyKey } from '../../mesh/index.ts';
import type { CertificateManager } from '../core/certificate-manager.ts';
import { dumpCertificates, dumpConfig, dumpNetworkPolicy, dumpPolicy, dumpService, dumpWorkload, type Json } from '../core/dump.ts';
import type { Config, WorkloadInfo } from './config.ts';
import type { ConnectionRecord, ConnectionTable } from './connection-record.ts';
import type { PodProxy } from './pod-proxy.ts';

const dumpConnection = ({ facts, isJoined }: ConnectionRecord): Json => ({
  src: facts.sourceAddress,
  originalDst: facts.originalDestination,
  actualDst: facts.destinationAddress,
  protocol: facts.protocol,
  ...(isJoined && { joined: true }),
});

const dumpTable = (table: ConnectionTable): Json[] => [...table.open].map(dumpConnection);

/** Open connections of one pod, as the dump shows them. */
export interface PodConnections {
  readonly inbound: readonly Json[];
  readonly outbound: readonly Json[];
}

export const podConnections = ({ inbound, outbound }: PodProxy): PodConnections => ({
  inbound: dumpTable(inbound),
  outbound: dumpTable(outbound),
});

const dumpPod = ({ info, connections }: DumpedPod): Json => ({
  state: connections === undefined ? 'Pending' : 'Up',
  connections: connections && { ...connections },
  info: { ...info },
});

export interface DumpedPod {
  readonly uid: string;
  readonly info: WorkloadInfo;
  /** undefined: it is not served. */
  readonly connections: PodConnections | undefined;
}

export interface DumpSources {
  readonly registry: MeshRegistry;
  readonly certificates: CertificateManager;
  readonly config: Config;
  readonly pods: Iterable<DumpedPod>;
}

/** Secrets are not in the configuration shown: no token, no keys. */
export function configDump({ registry, certificates, config, pods }: DumpSources): Json {
  return {
    workloads: registry.allWorkloads().map(dumpWorkload),
    services: registry.allServices().map((service) => dumpService(registry, service)),
    policies: registry.allPolicies().map((policy) => ({ key: policyKey(policy), ...(dumpPolicy(policy) as object) })),
    networkPolicies: registry.networkPolicies.all().map(dumpNetworkPolicy),
    stagedServices: Object.fromEntries(registry.stagedServices()),
    staticConfig: { workloads: [], services: [], policies: [], source: config.localXds?.source },
    version: { version: 'lateen', runtime: `bun ${Bun.version}` },
    config: dumpConfig(config),
    certificates: dumpCertificates(certificates),
    workloadState: Object.fromEntries([...pods].map((pod) => [pod.uid, dumpPod(pod)])),
  };
}
