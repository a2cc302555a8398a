import { table } from '../output.ts';

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

export interface StageReport {
  readonly name: 'plain' | 'ambient' | 'deny' | 'unlabelled';
  readonly seconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly errors_by_code: Readonly<Record<string, number>>;
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
  readonly p99_ms: number | null;
  readonly correct: number;
  readonly per_version: Readonly<Record<string, number>>;
  readonly mtls_connections: number;
  readonly plaintext_connections: number;
  readonly wire: WireReport;
  readonly proxy: { readonly cpu_ms_per_1000_requests: number; readonly memory_mb: number };
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
  readonly promises: readonly PromiseReport[];
  readonly seconds: number;
  readonly ok: boolean;
}

/** A refusal later than this is a broken promise. */
export const DENIAL_LIMIT_MS = 1_000;
/** Small models miss a sentence now and then; fewer right answers than this mean that something else is wrong. */
const CORRECT_SHARE = 0.8;

/** What the mesh promises, held against what was measured. */
export const judge = (stages: readonly StageReport[], transitions: readonly TransitionReport[], denial: DenialReport): PromiseReport[] => {
  const stage = (name: StageReport['name']) => stages.find((one) => one.name === name);
  const ambient = stage('ambient');
  const plain = stage('plain');
  const unlabelled = stage('unlabelled');
  const failed = [...stages, ...transitions].filter(({ errors }) => errors > 0);
  const requests = stages.reduce((sum, one) => sum + one.requests, 0);
  const correct = stages.reduce((sum, one) => sum + one.correct, 0);
  const closed = denial.open_connections_closed_ms;
  return [
    {
      promise: 'no request of the regular load fails, label flips and policy included',
      kept: stages.length > 0 && requests > 0 && failed.length === 0,
      detail:
        failed.length === 0
          ? `0 errors in ${requests} measured requests and ${transitions.length} transitions`
          : failed.map(({ name, errors }) => `${name}: ${errors}`).join(', '),
    },
    {
      promise: 'in ambient every pod-to-pod connection is mutual TLS',
      kept: ambient !== undefined && ambient.mtls_connections > 0 && ambient.plaintext_connections === 0,
      detail: `${ambient?.mtls_connections ?? 0} mutual TLS, ${ambient?.plaintext_connections ?? 0} plaintext`,
    },
    {
      promise: 'in ambient nothing readable is on the wire between nodes',
      kept:
        ambient !== undefined &&
        ambient.wire.tls_bytes > 0 &&
        ambient.wire.plaintext_bytes === 0 &&
        ambient.wire.readable_sentences === 0 &&
        (plain?.wire.readable_sentences ?? 0) > 0,
      detail: `sentences readable in the capture: ${plain?.wire.readable_sentences ?? 0} plain, ${ambient?.wire.readable_sentences ?? 0} ambient; ${ambient?.wire.tls_bytes ?? 0} of ${ambient?.wire.bytes ?? 0} bytes were TLS`,
    },
    {
      promise: 'a denied caller is refused within a second, open connections included',
      kept:
        denial.first_refusal_ms !== null &&
        denial.first_refusal_ms <= DENIAL_LIMIT_MS &&
        denial.answered_after_a_second === 0 &&
        denial.open_connections_left === 0 &&
        (closed === null || closed <= DENIAL_LIMIT_MS),
      detail: `first refusal after ${ms(denial.first_refusal_ms)}, open connections closed after ${ms(closed)}, ${denial.open_connections_left} left`,
    },
    {
      promise: 'the access log names the policy',
      kept: denial.log_reason !== null,
      detail: denial.log_reason ?? 'no line of it in the access log',
    },
    {
      promise: 'without the labels no connection goes through the mesh',
      kept: unlabelled !== undefined && unlabelled.mtls_connections === 0 && unlabelled.requests > 0,
      detail: `${unlabelled?.mtls_connections ?? 0} mutual TLS connections after the labels were removed`,
    },
    {
      promise: 'the models answer',
      kept: requests > 0 && correct / requests >= CORRECT_SHARE,
      detail: `${correct} of ${requests} sentences named correctly`,
    },
  ];
};

const ms = (value: number | null | undefined): string => (value === null || value === undefined ? '–' : `${Math.round(value)} ms`);
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
      `${stage.mtls_connections}`,
      `${stage.plaintext_connections}`,
      kilobytes(stage.wire.bytes),
      stage.wire.bytes === 0 ? '–' : `${((100 * stage.wire.tls_bytes) / stage.wire.bytes).toFixed(0)} %`,
      `${stage.wire.readable_sentences}`,
      stage.proxy.cpu_ms_per_1000_requests.toFixed(0),
      stage.proxy.memory_mb.toFixed(0),
    ]),
  );
