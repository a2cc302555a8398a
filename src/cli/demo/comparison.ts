import { table } from '../output.ts';
import type { StageName, StageReport } from './report.ts';

/** Twenty calls one after another: what one task of an agent costs in the article this demo answers. */
export const CHAIN_CALLS = 20;
/** Calls between pods in one request of the pipeline: to pre-processing, to the model, to post-processing. */
const HOPS = 3;
/** The article's arithmetic: 20 calls, each 0.88 − 0.20 = 0.68 ms quicker at P99 without sidecars. Its figure, not ours. */
const ARTICLE_SAVED_MS = 13.6;

/** One way to connect the same pipeline. Times in ms. */
export interface PathReport {
  readonly path: 'plain' | 'sidecars' | 'ambient' | 'ambient with waypoint';
  readonly p50_ms: number | null;
  readonly p90_ms: number | null;
  readonly p99_ms: number | null;
  /** The median's difference to `plain`, per call between two pods. */
  readonly added_per_hop_p50_ms: number | null;
  readonly added_per_hop_p99_ms: number | null;
  readonly proxy_cpu_ms_per_1000_requests: number;
  readonly proxy_memory_mb: number;
  readonly proxies: number;
  /** Median of whole chains of `chain_calls` requests one after another, each through the whole pipeline. */
  readonly chain_p50_ms: number | null;
}

export interface ComparisonReport {
  readonly paths: readonly PathReport[];
  readonly chain_calls: number;
  /** What leaving the sidecars saves a chain; null without the stage `sidecars`. */
  readonly chain_saved: {
    /** Of the measured chains of requests: `sidecars` − `ambient`. */
    readonly measured_ms: number | null;
    /** Computed as the article does, from our own measurements: calls × (added per hop with sidecars − in ambient), at P99 and at the median. */
    readonly computed_p99_ms: number | null;
    readonly computed_p50_ms: number | null;
    /** As published; measured elsewhere, by others. */
    readonly article_ms: number;
  } | null;
}

const PATHS: readonly (readonly [PathReport['path'], StageName])[] = [
  ['plain', 'plain'],
  ['sidecars', 'sidecars'],
  ['ambient', 'ambient'],
  ['ambient with waypoint', 'waypoint'],
];

/** Puts the stages that differ only in what connects the pods side by side. */
export const compare = (stages: readonly StageReport[]): ComparisonReport => {
  const plain = stages.find(({ name }) => name === 'plain');
  const paths = PATHS.flatMap(([path, name]): PathReport[] => {
    const stage = stages.find((one) => one.name === name);
    if (stage === undefined) return [];
    return [
      {
        path,
        p50_ms: stage.p50_ms,
        p90_ms: stage.p90_ms,
        p99_ms: stage.p99_ms,
        added_per_hop_p50_ms: perHop(stage.p50_ms, plain?.p50_ms),
        added_per_hop_p99_ms: perHop(stage.p99_ms, plain?.p99_ms),
        proxy_cpu_ms_per_1000_requests: path === 'plain' ? 0 : stage.proxy.cpu_ms_per_1000_requests,
        proxy_memory_mb: path === 'plain' ? 0 : stage.proxy.memory_mb,
        proxies: path === 'plain' ? 0 : stage.proxy.processes,
        chain_p50_ms: stage.chain_p50_ms,
      },
    ];
  });
  const sidecars = paths.find(({ path }) => path === 'sidecars');
  const ambient = paths.find(({ path }) => path === 'ambient');
  return {
    paths,
    chain_calls: CHAIN_CALLS,
    chain_saved:
      sidecars === undefined || ambient === undefined
        ? null
        : {
            measured_ms: difference(sidecars.chain_p50_ms, ambient.chain_p50_ms),
            computed_p99_ms: times(CHAIN_CALLS, difference(sidecars.added_per_hop_p99_ms, ambient.added_per_hop_p99_ms)),
            computed_p50_ms: times(CHAIN_CALLS, difference(sidecars.added_per_hop_p50_ms, ambient.added_per_hop_p50_ms)),
            article_ms: ARTICLE_SAVED_MS,
          },
  };
};

const perHop = (value: number | null, base: number | null | undefined): number | null =>
  value === null || base === null || base === undefined ? null : hundredths((value - base) / HOPS);
const difference = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : hundredths(a - b));
const times = (count: number, value: number | null): number | null => (value === null ? null : hundredths(count * value));
const hundredths = (value: number): number => Math.round(value * 100) / 100;

const text = (value: number | null, digits: number): string => (value === null ? '–' : value.toFixed(digits));

/** The paths side by side, for people. */
export const comparisonTable = ({ paths, chain_calls }: ComparisonReport): string =>
  table(
    ['PATH', 'P50 ms', 'P90 ms', 'P99 ms', 'ADDED PER HOP P50', 'PROXIES', 'PROXY CPU ms/1000', 'PROXY MiB', `CHAIN OF ${chain_calls} ms`],
    paths.map((one) => [
      one.path,
      text(one.p50_ms, 1),
      text(one.p90_ms, 1),
      text(one.p99_ms, 1),
      one.path === 'plain' ? '–' : text(one.added_per_hop_p50_ms, 2),
      String(one.proxies),
      one.proxy_cpu_ms_per_1000_requests.toFixed(0),
      one.proxy_memory_mb.toFixed(0),
      text(one.chain_p50_ms, 0),
    ]),
  );

/** What the second table means for a chain of calls; says of each figure where it comes from. */
export const chainLine = ({ chain_calls, chain_saved, paths }: ComparisonReport): string | undefined => {
  if (chain_saved === null) {
    const [plain, ambient] = (['plain', 'ambient'] as const).map((name) => paths.find(({ path }) => path === name)?.chain_p50_ms ?? null);
    const added = difference(ambient ?? null, plain ?? null);
    return added === null
      ? undefined
      : `${chain_calls} requests one after another take ${text(added, 1)} ms more in ambient than plain (measured).`;
  }
  return `${chain_calls} requests one after another: ${text(chain_saved.measured_ms, 1)} ms saved by leaving the sidecars (measured, three hops each); ${chain_calls} single hops: ${text(chain_saved.computed_p50_ms, 1)} ms at the median, ${text(chain_saved.computed_p99_ms, 1)} ms at P99 (computed from the measured table). The article says ${chain_saved.article_ms} ms (its own measurement, not ours).`;
};
