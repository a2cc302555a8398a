import type { Capture } from './capture.ts';
import { wireBetween } from './capture.ts';
import type { LoadClient } from './load-client.ts';
import type { ProxyMetrics } from './proxy-metrics.ts';
import { readUsage } from './proxy-usage.ts';
import type { StageReport, TransitionReport } from './report.ts';

/** Everything a stage is measured with. */
export interface Instruments {
  readonly load: LoadClient;
  readonly capture: Capture;
  readonly metrics: ProxyMetrics;
  readonly proxyPids: readonly number[];
}

/** Measures one stage while `during` runs, for at least `seconds`. */
export const measureStage = async (
  tools: Instruments,
  name: StageReport['name'],
  seconds: number,
  during: () => Promise<void> = async () => {},
): Promise<{ report: StageReport; from: number; to: number }> => {
  const [wireBefore, connectionsBefore] = await Promise.all([tools.capture.totals(), tools.metrics.connections()]);
  const usageBefore = readUsage(tools.proxyPids);
  const from = Date.now();
  await Promise.all([Bun.sleep(seconds * 1000), during()]);
  const to = Date.now();
  const usageAfter = readUsage(tools.proxyPids);
  const [wireAfter, connectionsAfter, window] = await Promise.all([
    tools.capture.totals(),
    tools.metrics.connections(),
    tools.load.window(from, to),
  ]);
  const wire = wireBetween(wireBefore, wireAfter);
  const report: StageReport = {
    name,
    seconds: (to - from) / 1000,
    requests: window.requests,
    errors: window.errors + window.pending,
    errors_by_code: window.errorsByCode,
    p50_ms: round(window.p50_ms),
    p90_ms: round(window.p90_ms),
    p99_ms: round(window.p99_ms),
    correct: window.correct,
    per_version: window.perVersion,
    mtls_connections: connectionsAfter.mutualTls - connectionsBefore.mutualTls,
    // What the proxies let through unencrypted, and what passed between the nodes without any proxy.
    plaintext_connections:
      connectionsAfter.plaintext - connectionsBefore.plaintext + wireAfter.plaintext_connections - wireBefore.plaintext_connections,
    wire,
    proxy: {
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
