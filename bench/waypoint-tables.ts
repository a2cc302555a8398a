/** The tables of the waypoint's report, in Markdown: one of ratios, one per workload. */
import type { Block } from './arm.ts';
import { addedTo, blocksOf, type Pick } from './compare.ts';
import { head, mebi, micros, percent, row, three } from './markdown.ts';
import { aboutBlocks, isSaturated, quietBlocks } from './result.ts';
import { median, pairedRatio, ratioText } from './stats.ts';
import { ROUTE_COUNTS, routesArmName, type WorkloadResult } from './waypoint-result.ts';

const P50: Pick = (block) => block.p50;
const P90: Pick = (block) => block.p90;
const P99: Pick = (block) => block.p99;
const QUANTILES = [P50, P90, P99] as const;
const delays = (series: 'delay' | 'uneven') =>
  (['p50', 'p90', 'p99'] as const).map(
    (key): Pick =>
      (block) =>
        block.series?.[series]?.[key] ?? Number.NaN,
  );
const waypointCpu: Pick = (block) => block.waypoint?.cpuPerRequest ?? Number.NaN;
const waypointMemory: Pick = (block) => block.waypoint?.privateKib ?? Number.NaN;
const pairOf =
  (all: Pick, own: (waypoint: NonNullable<Block['waypoint']>) => number): Pick =>
  (block) =>
    all(block) - (block.waypoint === undefined ? 0 : own(block.waypoint));

/** Lateen against each peer of the measurements with a direct arm. */
export function ratios(results: readonly WorkloadResult[]): string {
  const rows = results
    .filter(({ kind }) => kind !== 'routes')
    .flatMap((result) => {
      const { blocks } = quietBlocks(result);
      const direct = blocksOf(blocks, 'direct');
      const ours = blocksOf(blocks, 'lateen');
      const peers = result.arms.map(({ name }) => name).filter((name) => name !== 'direct' && name !== 'lateen');
      return ours.length === 0 ? [] : peers.flatMap((peer) => ratioRows(result, peer, direct, ours, blocksOf(blocks, peer)));
    });
  const columns = ['workload', 'Lateen against', 'requests/s', 'added P50', 'added P90', 'added P99'];
  return [...head(...columns, 'CPU per request', 'of it the waypoint', 'private memory'), ...rows].join('\n');
}

function ratioRows(
  result: WorkloadResult,
  peer: string,
  direct: readonly Block[],
  ours: readonly Block[],
  theirs: readonly Block[],
): readonly string[] {
  const isClosed = result.kind === 'peak' || result.kind === 'grpc';
  const of = (pick: Pick) => ratioText(pairedRatio(ours.map(pick), theirs.map(pick)));
  const plus = (pick: Pick) => ratioText(pairedRatio(addedTo(direct, ours, pick), addedTo(direct, theirs, pick)));
  const added = (picks: readonly Pick[]) => {
    if (isSaturated(ours)) return picks.map(() => 'Lateen saturated');
    if (isSaturated(theirs)) return picks.map(() => 'peer saturated');
    return picks.map((pick) => (isClosed ? '–' : plus(pick)));
  };
  const rps = isClosed ? of((block) => block.rps) : '–';
  const costs = [of((block) => block.cpuPerRequest), of(waypointCpu), of((block) => block.privateKib)];
  if (result.kind !== 'sse') return [row(result.name, peer, rps, ...added(QUANTILES), ...costs)];
  return [
    row(`first of ${result.name}`, peer, rps, ...added(QUANTILES), ...costs),
    row('later events of these', peer, rps, ...added(delays('delay')), '–', '–', '–'),
  ];
}

const title = (result: WorkloadResult, prefix = '') => [`### ${prefix}${result.name}`, '', aboutBlocks(result), ''];

/** Requests, chains or calls: rate, latency, processor time by role, memory. */
function requestTable(result: WorkloadResult): string {
  const { blocks } = quietBlocks(result);
  const direct = blocksOf(blocks, 'direct');
  const { kind, parts } = result;
  const hasAdded = kind === 'rate' || kind === 'chain';
  const unit = kind === 'chain' ? 'chain' : kind === 'grpc' ? 'call' : 'request';
  const rows = result.arms.map(({ name }) => {
    const own = blocksOf(blocks, name);
    const column = (pick: Pick) => median(own.map(pick));
    const isDirect = name === 'direct';
    const isOver = isSaturated(own);
    const plus = (pick: Pick) => median(addedTo(direct, own, pick));
    return row(
      name,
      column((block) => block.rps).toFixed(column((block) => block.rps) < 100 ? 1 : 0),
      ...(kind === 'grpc' && parts > 1 ? [column((block) => block.rps * parts).toFixed(0)] : []),
      isOver ? 'saturated' : three(QUANTILES.map(column)),
      ...(hasAdded ? [isDirect ? '–' : isOver ? 'saturated' : three(QUANTILES.map(plus))] : []),
      isDirect
        ? '–'
        : `${micros(
            column(
              pairOf(
                (block) => block.cpuPerRequest,
                (waypoint) => waypoint.cpuPerRequest,
              ),
            ),
          )} / ${micros(column(waypointCpu))}`,
      micros(column((block) => block.softirqPerRequest)),
      `${percent(column((block) => block.loadBusy))} / ${isDirect ? '–' : percent(column((block) => block.proxiesBusy))}`,
      isDirect
        ? '–'
        : `${mebi(
            column(
              pairOf(
                (block) => block.privateKib,
                (waypoint) => waypoint.privateKib,
              ),
            ),
          )} / ${mebi(column(waypointMemory))}`,
      own.reduce((sum, block) => sum + block.errors, 0),
    );
  });
  return [
    ...title(result),
    ...head(
      'arm',
      `${unit}s/s`,
      ...(kind === 'grpc' && parts > 1 ? ['messages/s'] : []),
      'P50 / P90 / P99 µs',
      ...(hasAdded ? ['added P50 / P90 / P99 µs'] : []),
      `CPU µs per ${unit}: pair / waypoint`,
      `softirq µs per ${unit}`,
      'cores busy: load / proxies',
      'private MiB: pair / waypoint',
      'errors',
    ),
    ...rows,
    '',
  ].join('\n');
}

function streamTable(result: WorkloadResult): string {
  const { blocks } = quietBlocks(result);
  const direct = blocksOf(blocks, 'direct');
  const rows = result.arms.map(({ name }) => {
    const own = blocksOf(blocks, name);
    const column = (pick: Pick) => median(own.map(pick));
    const isDirect = name === 'direct';
    const plus = (picks: readonly Pick[]) =>
      isDirect ? three(picks.map(column)) : `+${picks.map((pick) => micros(median(addedTo(direct, own, pick)))).join(' / +')}`;
    const perEvent =
      (pick: Pick): Pick =>
      (block) =>
        pick(block) / result.parts; // a request of this workload is a stream
    return row(
      name,
      plus(QUANTILES),
      plus(delays('delay')),
      plus(delays('uneven')),
      isDirect
        ? '–'
        : `${micros(
            column(
              perEvent(
                pairOf(
                  (block) => block.cpuPerRequest,
                  (waypoint) => waypoint.cpuPerRequest,
                ),
              ),
            ),
          )} / ${micros(column(perEvent(waypointCpu)))}`,
      micros(column(perEvent((block) => block.softirqPerRequest))),
      own.reduce((sum, block) => sum + block.errors, 0),
    );
  });
  return [
    ...title(result),
    'P50 / P90 / P99 in µs, of the direct arm as they are, of the others what they add. First event: from the request to it. Later events: from the moment the application wrote the event to its arrival. Gap: by how much the time between two arrivals differs from the',
    'time between their sendings.',
    '',
    ...head(
      'arm',
      'first event',
      'later events',
      'gap between events',
      'CPU µs per event: pair / waypoint',
      'softirq µs per event',
      'errors',
    ),
    ...rows,
    '',
  ].join('\n');
}

function routesTable(result: WorkloadResult): string {
  const { blocks } = quietBlocks(result);
  const waypoints = ['lateen', 'envoy'] as const;
  const rows = waypoints.flatMap((waypoint) => {
    const first = blocksOf(blocks, routesArmName(waypoint, 1));
    return ROUTE_COUNTS.map((routes) => routesArmName(waypoint, routes))
      .filter((name) => result.arms.some((arm) => arm.name === name))
      .map((name) => {
        const own = blocksOf(blocks, name);
        const column = (pick: Pick) => median(own.map(pick));
        const idle = result.idle.find((one) => one.arm === name)?.waypoint;
        const rps: Pick = (block) => block.rps;
        return row(
          name,
          column(rps).toFixed(0),
          ratioText(pairedRatio(own.map(rps), first.map(rps))),
          micros(column(waypointCpu)),
          `${mebi(idle?.privateKib ?? Number.NaN)} / ${mebi(idle?.pssKib ?? Number.NaN)}`,
          `${mebi(column(waypointMemory))} / ${mebi(column((block) => block.waypoint?.pssKib ?? Number.NaN))}`,
          own.reduce((sum, block) => sum + block.errors, 0),
        );
      });
  });
  const versus = ROUTE_COUNTS.flatMap((routes) => {
    const [ours, theirs] = waypoints.map((waypoint) => blocksOf(blocks, routesArmName(waypoint, routes)));
    if (!ours?.length || !theirs?.length) return [];
    const of = (pick: Pick) => ratioText(pairedRatio(ours.map(pick), theirs.map(pick)));
    return [
      row(
        routes,
        of((block) => block.rps),
        of(waypointCpu),
        of(waypointMemory),
      ),
    ];
  });
  return [
    ...title(result, 'routes: '),
    'Memory is that of the waypoint’s process alone. PSS divides pages that several processes of a run share; private memory does not know them.',
    '',
    ...head(
      'waypoint',
      'requests/s',
      'against 1 route',
      'its CPU µs per request',
      'idle: private / PSS MiB',
      'after load: private / PSS MiB',
      'errors',
    ),
    ...rows,
    '',
    ...(versus.length === 0
      ? []
      : [...head('routes', 'Lateen against Envoy: requests/s', 'the waypoint’s CPU per request', 'its private memory'), ...versus, '']),
  ].join('\n');
}

export function workloadTable(result: WorkloadResult): string {
  if (result.kind === 'routes') return routesTable(result);
  return result.kind === 'sse' ? streamTable(result) : requestTable(result);
}
