/** What the whole proxy shares: built once at start, handed to every pod's part. */
import type { MeshRegistry } from '../../mesh/index.ts';
import type { Counter, Logger, Logging, Registry } from '../../platform/telemetry/index.ts';
import type { CertificateSource } from '../core/certificate-source.ts';
import type { TrafficMetrics } from '../core/traffic-metrics.ts';
import type { Config } from './config.ts';
import type { DnsService } from './dns/index.ts';
import type { HostNames } from './host-names.ts';
import type { SameNode } from './same-node.ts';
import type { SocketBudget } from './socket-budget.ts';

export interface ProxyContext {
  readonly config: Config;
  readonly registry: MeshRegistry;
  readonly certificates: CertificateSource;
  readonly metrics: TrafficMetrics;
  readonly telemetry: Registry;
  /** Connections and streams turned away before they were ones: failed handshakes, bad requests, protocol faults. */
  readonly refusals: Counter;
  readonly logging: Logging;
  readonly access: Logger;
  readonly log: Logger;
  readonly sockets: SocketBudget;
  /** undefined: every connection takes its tunnel. */
  readonly sameNode: SameNode | undefined;
  /** Set before the first pod is served; undefined where DNS is left alone. */
  dns: DnsService | undefined;
  readonly hostNames: HostNames;
  /** A number from 0 (inclusive) to 1. */
  readonly random: () => number;
}
