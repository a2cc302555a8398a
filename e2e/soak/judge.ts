/** What a run has to fulfil. */
import type { ProxyResult, Sample, SoakResult } from './run.ts';
import { floor, growth, median, type Point } from './trend.ts';

/** Fitted growth of private memory over the measured time, whatever its length. */
export const MAX_GROWTH_MIB = 4;
export const MAX_DESCRIPTOR_GROWTH = 10;
export const MAX_CONNECTION_GROWTH = 10;
/** Descriptors an idle proxy may have more than before the load: a reconnected control plane, a file being read. */
export const MAX_LEFT_DESCRIPTORS = 8;
/** The heap reaches its working size first: this share of the run, within these bounds in seconds. */
const WARM_UP_SHARE = 0.15;
const WARM_UP_S = [60, 300] as const;
/** Memory is judged by its lowest point in each of so many stretches: what slow readers and transfers hold for a while is no leak. */
const STRETCHES = 30;
const MIN_STRETCH_S = 10;
/** Refusals that belong to injected causes. */
const EXPECTED_REFUSALS = new Set<string>([]);

export interface Verdict {
  readonly what: string;
  readonly found: string;
  readonly limit: string;
  readonly passed: boolean;
}

export const warmUp = (seconds: number): number => Math.min(Math.max(seconds * WARM_UP_SHARE, WARM_UP_S[0]), WARM_UP_S[1]);

export const series = (proxy: ProxyResult, seconds: number, pick: (sample: Sample) => number): Point[] =>
  proxy.samples.filter(({ at }) => at >= warmUp(seconds)).map((each) => ({ at: each.at, value: pick(each) }));

/** Fitted growth of what a proxy's memory goes back to, in MiB over the measured time. */
export const memoryGrowth = (proxy: ProxyResult, seconds: number): number =>
  growth(
    floor(
      series(proxy, seconds, ({ privateMib }) => privateMib),
      Math.max(seconds / STRETCHES, MIN_STRETCH_S),
    ),
  );

const number = (value: number, digits = 2): string => (Number.isFinite(value) ? value.toFixed(digits) : 'not measured');

/** A growth that is no number has not been measured, and fails. */
const below = (what: string, value: number, limit: number, unit: string): Verdict => ({
  what,
  found: `${number(value)}${unit}`,
  limit: `≤ ${limit}${unit}`,
  passed: value <= limit,
});

const equal = (what: string, found: number | null, wanted: number | null): Verdict => ({
  what,
  found: String(found),
  limit: String(wanted),
  passed: found === wanted,
});

export function judge(result: SoakResult): Verdict[] {
  const seconds = result.minutes * 60;
  const verdicts: Verdict[] = [equal('errors without a cause', result.unexplainedCount, 0)];
  for (const [kind, count] of Object.entries(result.traffic))
    verdicts.push({ what: `traffic: ${kind}`, found: String(count), limit: '> 0', passed: count > 0 });
  for (const proxy of result.proxies) {
    const { name, idleBefore, idleAfter } = proxy;
    verdicts.push(equal(`${name}: exit code`, proxy.exitCode, null));
    verdicts.push(below(`${name}: growth of private memory`, memoryGrowth(proxy, seconds), MAX_GROWTH_MIB, ' MiB'));
    verdicts.push(below(`${name}: growth of descriptors`, growth(series(proxy, seconds, (s) => s.descriptors)), MAX_DESCRIPTOR_GROWTH, ''));
    verdicts.push(
      below(`${name}: growth of open connections`, growth(series(proxy, seconds, (s) => s.openConnections)), MAX_CONNECTION_GROWTH, ''),
    );
    verdicts.push(equal(`${name}: open connections after the load`, idleAfter.openConnections, 0));
    verdicts.push(equal(`${name}: open sockets after the load`, idleAfter.openSockets, 0));
    verdicts.push(below(`${name}: descriptors left`, idleAfter.descriptors - idleBefore.descriptors, MAX_LEFT_DESCRIPTORS, ''));
    verdicts.push(equal(`${name}: connections ended by a bug`, proxy.faults, 0));
    for (const [reason, count] of Object.entries(proxy.refused))
      if (!EXPECTED_REFUSALS.has(reason)) verdicts.push(equal(`${name}: refused, ${reason}`, count, 0));
  }
  return verdicts;
}

/** Median private memory of the measured time. */
export const typicalMemory = (proxy: ProxyResult, seconds: number): number =>
  median(series(proxy, seconds, (s) => s.privateMib).map(({ value }) => value));
