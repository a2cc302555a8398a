import { table } from '../output.ts';
import type { ComparisonReport } from './comparison.ts';
import type { SplitReport } from './split.ts';

/** Traffic between the nodes during a stage, from a packet capture. */
export interface WireReport {
  readonly packets: number;
  /** TCP payload in both directions, acknowledgements excluded. */
  readonly bytes: number;
  readonly tls_bytes: number;
  /** Payload that is neither TLS nor another known ciphertext. */
  readonly plaintext_bytes: number;
  /** Times a sentence of the load was found readable. */
  readonly readable_sentences: number;
}

/** In the order in which they come; the last one only where there is an Envoy. */
export const STAGES = ['plain', 'ambient', 'deny', 'waypoint', 'split-80-20', 'ab-header', 'shift-100', 'unlabelled', 'sidecars'] as const;
export type StageName = (typeof STAGES)[number];
/** Stages in which the models are behind a waypoint. */
export const ROUTED: readonly StageName[] = ['waypoint', 'split-80-20', 'ab-header', 'shift-100'];

export interface StageReport {
  readonly name: StageName;
  readonly seconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly errors_by_code: Readonly<Record<string, number>>;
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
  readonly p99_ms: number | null;
  readonly correct: number;
  readonly per_version: Readonly<Record<string, number>>;
  /** Of the requests that asked for a version. */
  readonly per_version_asked: Readonly<Record<string, number>>;
  /** Requests the waypoint answered, those of the second caller included; null without a waypoint. */
  readonly waypoint_requests: number | null;
  /** As the node proxies count them; null behind sidecars, which they do not see. */
  readonly mtls_connections: number | null;
  readonly plaintext_connections: number | null;
  readonly wire: WireReport;
  /** Median of chains of twenty requests one after another; null where none were made. */
  readonly chain_p50_ms: number | null;
  readonly proxy: { readonly processes: number; readonly cpu_ms_per_1000_requests: number; readonly memory_mb: number };
}

export interface TransitionReport {
  readonly name: string;
  readonly seconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly errors_by_code: Readonly<Record<string, number>>;
}

export interface DenialReport {
  /** From the policy's creation to the first refused call of the denied caller. */
  readonly first_refusal_ms: number | null;
  /** From the policy's creation until its last open connection was closed. */
  readonly open_connections_closed_ms: number | null;
  readonly open_connections_left: number;
  /** Calls of the denied caller that succeeded although they began a second or more after the policy. */
  readonly answered_after_a_second: number;
  readonly refused: number;
  /** The reason in the access log, which names the policy. */
  readonly log_reason: string | null;
}

export interface PromiseReport {
  readonly promise: string;
  readonly kept: boolean;
  readonly detail: string;
}

export interface DemoReport {
  readonly stages: readonly StageReport[];
  readonly transitions: readonly TransitionReport[];
  readonly denial: DenialReport;
  /** What the route of the stage `split-80-20` did. */
  readonly split: SplitReport;
  readonly comparison: ComparisonReport;
  /** Why there is no stage `sidecars`; absent when there is one. */
  readonly sidecars_left_out?: string;
  readonly promises: readonly PromiseReport[];
  readonly seconds: number;
  readonly ok: boolean;
}

const tenths = (value: number | null): string => (value === null ? '–' : value.toFixed(1));
const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(0)} KiB`;

/** The stages side by side, for people. */
export const stageTable = (stages: readonly StageReport[]): string =>
  table(
    [
      'STAGE',
      'REQUESTS',
      'ERRORS',
      'P50 ms',
      'P90 ms',
      'P99 ms',
      'MUTUAL TLS',
      'PLAINTEXT',
      'BETWEEN NODES',
      'OF IT TLS',
      'READABLE',
      'PROXY CPU ms/1000',
      'PROXY MiB',
    ],
    stages.map((stage) => [
      stage.name,
      String(stage.requests),
      String(stage.errors),
      tenths(stage.p50_ms),
      tenths(stage.p90_ms),
      tenths(stage.p99_ms),
      `${stage.mtls_connections ?? '–'}`,
      `${stage.plaintext_connections ?? '–'}`,
      kilobytes(stage.wire.bytes),
      stage.wire.bytes === 0 ? '–' : `${((100 * stage.wire.tls_bytes) / stage.wire.bytes).toFixed(0)} %`,
      `${stage.wire.readable_sentences}`,
      stage.proxy.cpu_ms_per_1000_requests.toFixed(0),
      stage.proxy.memory_mb.toFixed(0),
    ]),
  );
