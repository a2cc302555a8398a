/** Metrics of one process as plain values, to be added up in another: how a group of processes answers as one. */
import type { MetricType, Registry } from './metrics.ts';

export interface SeriesSnapshot {
  /** In the order of the family's label names. */
  readonly values: readonly (string | undefined)[];
  /** Of a counter or a gauge; the sum of a histogram's observations. */
  readonly value: number;
  /** Of a histogram: observations per bucket, not cumulative. */
  readonly counts?: Float64Array;
}

export interface FamilySnapshot {
  readonly type: MetricType;
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** Of a histogram. */
  readonly bounds?: Float64Array;
  readonly series: readonly SeriesSnapshot[];
}

export type MetricsSnapshot = readonly FamilySnapshot[];

/** A copy of everything, after running the collectors. */
export const takeSnapshot = (registry: Registry): MetricsSnapshot =>
  registry.gather().map((family) => {
    const { type, name, help, labelNames } = family;
    const shape: Omit<FamilySnapshot, 'series'> = { type, name, help, labelNames: [...labelNames] };
    if (family.type !== 'histogram') return { ...shape, series: [...family.series()].map(({ values, value }) => ({ values, value })) };
    const series = [...family.series()].map(({ values, sum, counts }) => ({ values, value: sum, counts: Float64Array.from(counts) }));
    return { ...shape, bounds: Float64Array.from(family.bounds), series };
  });

/**
 * Adds a snapshot to a registry, series by series: every kind of metric is summed. `gauges` false leaves those out, which end with their process.
 * Throws when a family has another shape in the registry: that is a bug, as one program counts alike in all its processes.
 */
export function addSnapshot(registry: Registry, snapshot: MetricsSnapshot, gauges = true): void {
  for (const { type, name, help, labelNames, bounds, series } of snapshot) {
    if (type === 'gauge' && !gauges) continue;
    const labelsOf = ({ values }: SeriesSnapshot) => Object.fromEntries(labelNames.map((label, i) => [label, values[i]]));
    if (type !== 'histogram') {
      const family = type === 'counter' ? registry.counter(name, help, labelNames) : registry.gauge(name, help, labelNames);
      for (const one of series) family.labels(labelsOf(one)).inc(one.value);
      continue;
    }
    const family = registry.histogram(name, help, [...bounds!], labelNames);
    if (family.bounds.join() !== bounds!.join()) throw new Error(`metric ${name} has different buckets in two processes`);
    for (const one of series) family.labels(labelsOf(one)).add(one.counts!, one.value);
  }
}
