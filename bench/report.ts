/** The table of a measurement, in Markdown: ratios with their spread first, no absolute time outside its run. */
import type { Arm, Block, Workload } from './arm.ts';
import { median, pairedRatio, ratioText } from './stats.ts';

export interface Circumstances {
  readonly blocks: number;
  readonly seconds: number;
  readonly kernel: string;
  readonly processor: string;
  readonly bun: string;
}

const micros = (value: number) => (Number.isFinite(value) ? value.toFixed(0) : '–');

function blocksOf(blocks: readonly Block[], arm: string, workload: string): readonly Block[] {
  return blocks.filter((block) => block.arm === arm && block.workload === workload);
}

/** Latency the proxies of an arm add to the direct path, block by block (same position in the run). */
function added(own: readonly Block[], direct: readonly Block[], key: 'p50' | 'p90' | 'p99'): number[] {
  return own.map((block, index) => block[key] - direct[index]![key]);
}

export function workloadTable(arms: readonly Arm[], workload: Workload, blocks: readonly Block[]): string {
  const direct = blocksOf(blocks, 'direct', workload.name);
  const rows = arms.map((arm) => {
    const own = blocksOf(blocks, arm.name, workload.name);
    const column = (pick: (block: Block) => number) => median(own.map(pick));
    const plus = (key: 'p50' | 'p90' | 'p99') => (arm.name === 'direct' ? '–' : micros(median(added(own, direct, key))));
    return `| ${arm.name} | ${column((b) => b.rps).toFixed(0)} | ${micros(column((b) => b.p50))} / ${micros(column((b) => b.p90))} / ${micros(column((b) => b.p99))} | ${plus('p50')} / ${plus('p90')} / ${plus('p99')} | ${arm.proxies.length === 0 ? '–' : micros(column((b) => b.cpuPerRequest))} | ${arm.proxies.length === 0 ? '–' : `${(column((b) => b.pssKib) / 1024).toFixed(0)} / ${(column((b) => b.privateKib) / 1024).toFixed(0)}`} | ${own.reduce((sum, b) => sum + b.errors, 0)} |`;
  });
  return [
    `### ${workload.name}`,
    '',
    '| arm | requests/s | P50 / P90 / P99 µs | added P50 / P90 / P99 µs | proxies’ CPU µs per request | proxies’ PSS / private MiB | errors |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

export function ratioTable(arms: readonly Arm[], workloads: readonly Workload[], blocks: readonly Block[]): string {
  const peers = arms.filter((arm) => arm.name !== 'direct' && arm.name !== 'lateen');
  const rows = workloads.flatMap((workload) =>
    peers.map((peer) => {
      const ours = blocksOf(blocks, 'lateen', workload.name);
      const theirs = blocksOf(blocks, peer.name, workload.name);
      const direct = blocksOf(blocks, 'direct', workload.name);
      const of = (pick: (block: Block) => number) => ratioText(pairedRatio(ours.map(pick), theirs.map(pick)));
      const plus = (key: 'p50' | 'p90' | 'p99') => ratioText(pairedRatio(added(ours, direct, key), added(theirs, direct, key)));
      const latency = workload.rate > 0 ? [plus('p50'), plus('p90'), plus('p99')] : ['–', '–', '–'];
      return `| ${workload.name} | ${peer.name} | ${workload.rate > 0 ? '–' : of((b) => b.rps)} | ${latency.join(' | ')} | ${of((b) => b.cpuPerRequest)} | ${of((b) => b.privateKib)} |`;
    }),
  );
  return [
    '| workload | Lateen against | requests/s | added P50 | added P90 | added P99 | CPU per request | private memory |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

/** The whole report. Absolute columns compare only inside this run. */
export function l4Report(arms: readonly Arm[], workloads: readonly Workload[], blocks: readonly Block[], about: Circumstances): string {
  return `# Results: L4

What two L4 hops with mutual TLS cost: \`npm run bench -- l4\`. Ratios are medians over paired blocks of one run with a 95 % bootstrap interval; below 1 is less than the peer, for requests/s above 1 is more.
Absolute columns compare only with their neighbours in this run.

Circumstances: ${about.processor}, two cores (client and origin on core 0, all proxies of an arm on core 1, both kept from halting by a loop at idle priority), Linux ${about.kernel}, Bun ${about.bun}; two node namespaces and a client and a server pod per arm, MTU 1500, nft REDIRECT in
every arm with proxies; TLS 1.3 with P-256 keys; 1 KiB answers over HTTP/1.1; ${about.blocks} blocks of ${about.seconds} s per arm, arms interleaved forwards and backwards. Lateen runs with policy, metrics and access log on; Envoy with its stock
statistics and no access log, one worker.

${arms.map((arm) => `- **${arm.name}**: ${arm.about}`).join('\n')}

## Ratios

${ratioTable(arms, workloads, blocks)}

## Medians

${workloads.map((workload) => workloadTable(arms, workload, blocks)).join('\n')}`;
}
