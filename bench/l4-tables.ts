/** The tables of the L4 report, in Markdown: one of ratios, one per workload. */
import type { Block } from './arm.ts';
import { addedTo, blocksOf, type Pick } from './compare.ts';
import type { L4Result } from './l4-result.ts';
import { head, mebi, micros, percent, row } from './markdown.ts';
import { aboutBlocks, isSaturated, quietBlocks } from './result.ts';
import { median, pairedRatio, ratioText } from './stats.ts';

const P50: Pick = (block) => block.p50;
const P90: Pick = (block) => block.p90;
const P99: Pick = (block) => block.p99;
const P999: Pick = (block) => block.p999;
const QUANTILES = [P50, P90, P99, P999] as const;
const RPS: Pick = (block) => block.rps;
const CPU: Pick = (block) => block.cpuPerRequest;
const PRIVATE: Pick = (block) => block.privateKib;
const WHOLE: Pick = (block) => block.wholeKib ?? Number.NaN;

const isTimed = ({ kind }: L4Result) => kind === 'rate' || kind === 'chain';
/** Closed loops, whose rate is the outcome. */
const isPaced = ({ kind }: L4Result) => kind === 'rate' || kind === 'node';
const list = (values: readonly number[]) => values.map(micros).join(' / ');

/** What an idle connection takes, in KiB, of each block: against the arm before its first. */
const perConnection =
  (result: L4Result, arm: string): Pick =>
  (block) =>
    (block.privateKib - (result.idle.find((one) => one.arm === arm)?.privateKib ?? Number.NaN)) / Math.max(block.requests, 1);

/** Lateen against each peer. */
export function l4Ratios(results: readonly L4Result[]): string {
  const rows = results.flatMap((result) => {
    const { blocks } = quietBlocks(result);
    const ours = blocksOf(blocks, 'lateen');
    const peers = result.arms.map(({ name }) => name).filter((name) => name !== 'direct' && name !== 'lateen');
    return ours.length === 0 ? [] : peers.map((peer) => ratioRow(result, peer, ours, blocks));
  });
  const columns = ['workload', 'Lateen against', 'rate', 'added P50', 'added P90', 'added P99', 'added P99.9'];
  return [...head(...columns, 'CPU per request', 'private memory', 'whole memory'), ...rows].join('\n');
}

function ratioRow(result: L4Result, peer: string, ours: readonly Block[], blocks: readonly Block[]): string {
  const theirs = blocksOf(blocks, peer);
  const direct = blocksOf(blocks, 'direct');
  const of = (pick: Pick, pickTheirs = pick) => ratioText(pairedRatio(ours.map(pick), theirs.map(pickTheirs)));
  const plus = (pick: Pick) => ratioText(pairedRatio(addedTo(direct, ours, pick), addedTo(direct, theirs, pick)));
  const latency = () => {
    if (isSaturated(ours)) return QUANTILES.map(() => 'Lateen saturated');
    if (isSaturated(theirs)) return QUANTILES.map(() => 'peer saturated');
    return QUANTILES.map((pick) => (isTimed(result) ? plus(pick) : '–'));
  };
  if (result.kind === 'held') {
    const cells = [of(CPU), `per connection ${of(perConnection(result, 'lateen'), perConnection(result, peer))}`, of(WHOLE)];
    return row(result.name, peer, '–', ...latency(), ...cells);
  }
  return row(result.name, peer, isPaced(result) ? '–' : of(RPS), ...latency(), of(CPU), of(PRIVATE), of(WHOLE));
}

const title = (result: L4Result) => [`### ${result.name}`, '', aboutBlocks(result), ''];

export function l4WorkloadTable(result: L4Result): string {
  if (result.kind === 'held') return heldTable(result);
  if (result.kind === 'bulk') return bulkTable(result);
  return requestTable(result);
}

const memoryCells = (own: readonly Block[], proxies: boolean) =>
  proxies ? [PRIVATE, (block: Block) => block.pssKib, WHOLE].map((pick) => mebi(median(own.map(pick)))).join(' / ') : '–';
const errors = (own: readonly Block[]) => own.reduce((sum, block) => sum + block.errors, 0);
const MEMORY = 'proxies’ private / PSS / whole MiB';

function requestTable(result: L4Result): string {
  const { blocks } = quietBlocks(result);
  const direct = blocksOf(blocks, 'direct');
  const unit = result.kind === 'chain' ? 'chain' : result.kind === 'fresh' ? 'connection' : 'request';
  const rows = result.arms.map(({ name }) => {
    const own = blocksOf(blocks, name);
    const column = (pick: Pick) => median(own.map(pick));
    const isDirect = name === 'direct';
    const isOver = isSaturated(own);
    const plus = () => list(QUANTILES.map((pick) => median(addedTo(direct, own, pick))));
    return row(
      name,
      column(RPS).toFixed(column(RPS) < 100 ? 1 : 0),
      isOver ? 'saturated' : list(QUANTILES.map(column)),
      ...(isTimed(result) ? [isDirect ? '–' : isOver ? 'saturated' : plus()] : []),
      isDirect ? '–' : (column(CPU) / 1000).toFixed(3),
      (column((block) => block.softirqPerRequest) / 1000).toFixed(3),
      `${percent(column((block) => block.loadBusy))} / ${isDirect ? '–' : percent(column((block) => block.proxiesBusy))}`,
      memoryCells(own, !isDirect),
      errors(own),
    );
  });
  return [
    ...title(result),
    ...head(
      'arm',
      `${unit}s/s`,
      'P50 / P90 / P99 / P99.9 µs',
      ...(isTimed(result) ? ['added P50 / P90 / P99 / P99.9 µs'] : []),
      `proxies’ CPU s per 1000 ${unit}s`,
      `softirq of the machine s per 1000`,
      'busy: load / proxies',
      MEMORY,
      'errors',
    ),
    ...rows,
    '',
  ].join('\n');
}

/** A request of these blocks is a MiB. */
function bulkTable(result: L4Result): string {
  const { blocks } = quietBlocks(result);
  const rows = result.arms.map(({ name }) => {
    const own = blocksOf(blocks, name);
    const column = (pick: Pick) => median(own.map(pick));
    const isDirect = name === 'direct';
    const perGigabyte = (pick: Pick) => ((column(pick) * 1e9) / 1_048_576 / 1e6).toFixed(2);
    return row(
      name,
      ((column(RPS) * 1_048_576) / 1e9).toFixed(2),
      isDirect ? '–' : perGigabyte(CPU),
      perGigabyte((block) => block.softirqPerRequest),
      `${percent(column((block) => block.loadBusy))} / ${isDirect ? '–' : percent(column((block) => block.proxiesBusy))}`,
      memoryCells(own, !isDirect),
      errors(own),
    );
  });
  const columns = ['arm', 'GB/s', 'proxies’ CPU s per GB', 'softirq of the machine s per GB', 'busy: load / proxies', MEMORY, 'errors'];
  return [
    `### ${result.name}`,
    '',
    `${aboutBlocks(result).replace(/^Blocks of \d+ s, /, 'Blocks: ')}`,
    '',
    ...head(...columns),
    ...rows,
    '',
  ].join('\n');
}

/** A request of these blocks is an open connection, its processor time that of a second. */
function heldTable(result: L4Result): string {
  const { blocks } = quietBlocks(result);
  const rows = result.arms.map(({ name }) => {
    const own = blocksOf(blocks, name);
    const column = (pick: Pick) => median(own.map(pick));
    const before = result.idle.find((one) => one.arm === name);
    return row(
      name,
      column((block) => block.requests).toFixed(0),
      column(perConnection(result, name)).toFixed(2),
      (column((block) => block.cpuPerRequest * block.requests) / 1000).toFixed(2),
      mebi(before?.privateKib ?? Number.NaN),
      memoryCells(own, true),
      errors(own),
    );
  });
  const columns = [
    'arm',
    'connections',
    'private KiB per connection',
    'proxies’ CPU ms per second',
    'private MiB before',
    MEMORY,
    'not opened',
  ];
  return [...title(result), ...head(...columns), ...rows, ''].join('\n');
}
