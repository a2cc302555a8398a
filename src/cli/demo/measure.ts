import type { Capture } from './capture.ts';
import { wireBetween } from './capture.ts';
import { CHAIN_CALLS } from './comparison.ts';
import type { LoadClient } from './load-client.ts';
import type { ProxyMetrics } from './proxy-metrics.ts';
import { findProxyPids, type ProxyKind, readUsage } from './proxy-usage.ts';
import type { StageReport, TransitionReport } from './report.ts';

/** Everything a stage is measured with. */
export interface Instruments {
  readonly load: LoadClient;
  readonly capture: Capture;
  readonly metrics: ProxyMetrics;
  /** Processes of the cluster: the proxies are found among those that share their process namespaces. */
  readonly clusterPids: readonly number[];
  /** Requests the waypoint's replicas have answered; absent while there is none. */
  waypointRequests?: () => Promise<number>;
}

export interface StagePlan {
  readonly name: StageReport['name'];
  readonly seconds: number;
  /** Whose time and memory count. */
  readonly proxies?: readonly ProxyKind[];
  /** False where the node proxies do not see the connections. */
  readonly areConnectionsSeen?: boolean;
  /** Chains of calls made after the window; 0 leaves them out. */
  readonly chains?: number;
  readonly during?: () => Promise<void>;
}

/** Measures one stage while `during` runs, for at least its seconds. */
export const measureStage = async (tools: Instruments, plan: StagePlan): Promise<{ report: StageReport; from: number; to: number }> => {
  const pids = findProxyPids(tools.clusterPids, plan.proxies ?? ['ztunnel', 'waypoint']);
  const routedBefore = await tools.waypointRequests?.();
  const [wireBefore, connectionsBefore] = await Promise.all([tools.capture.totals(), tools.metrics.connections()]);
  const usageBefore = readUsage(pids);
  const from = Date.now();
  await Promise.all([Bun.sleep(plan.seconds * 1000), plan.during?.()]);
  const to = Date.now();
  const usageAfter = readUsage(pids);
  const [wireAfter, connectionsAfter, window] = await Promise.all([
    tools.capture.totals(),
    tools.metrics.connections(),
    tools.load.window(from, to),
  ]);
  const routedAfter = await tools.waypointRequests?.();
  const chain = (plan.chains ?? 0) > 0 ? await tools.load.chain(CHAIN_CALLS, plan.chains ?? 0) : undefined;
  const wire = wireBetween(wireBefore, wireAfter);
  const isSeen = plan.areConnectionsSeen ?? true;
  const report: StageReport = {
    name: plan.name,
    seconds: (to - from) / 1000,
    requests: window.requests,
    errors: window.errors + window.pending + (chain?.errors ?? 0),
    errors_by_code: window.errorsByCode,
    p50_ms: round(window.p50_ms),
    p90_ms: round(window.p90_ms),
    p99_ms: round(window.p99_ms),
    correct: window.correct,
    per_version: window.perVersion,
    per_version_asked: window.perVersionAsked,
    waypoint_requests: routedBefore === undefined || routedAfter === undefined ? null : routedAfter - routedBefore,
    mtls_connections: isSeen ? connectionsAfter.mutualTls - connectionsBefore.mutualTls : null,
    // What the proxies let through unencrypted, and what passed between the nodes without any proxy.
    plaintext_connections: isSeen
      ? connectionsAfter.plaintext - connectionsBefore.plaintext + wireAfter.plaintext_connections - wireBefore.plaintext_connections
      : null,
    wire,
    chain_p50_ms: round(chain?.p50_ms ?? null),
    proxy: {
      processes: pids.length,
      cpu_ms_per_1000_requests: window.requests === 0 ? 0 : Math.round(((usageAfter.cpuMs - usageBefore.cpuMs) / window.requests) * 1000),
      memory_mb: Math.round(usageAfter.memoryBytes / 1024 / 1024),
    },
  };
  return { report, from, to };
};

export const measureTransition = async (load: LoadClient, name: string, from: number, to: number): Promise<TransitionReport> => {
  const window = await load.window(from, to);
  return {
    name,
    seconds: (to - from) / 1000,
    requests: window.requests,
    errors: window.errors + window.pending,
    errors_by_code: window.errorsByCode,
  };
};

const round = (value: number | null): number | null => (value === null ? null : Math.round(value * 100) / 100);
