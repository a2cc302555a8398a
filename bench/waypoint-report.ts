/** The report of the waypoint's measurement, in Markdown. */
import type { Arm, Block, Workload } from './arm.ts';
import { type Circumstances, ratioTable, workloadTable } from './report.ts';

export function waypointReport(
  arms: readonly Arm[],
  workloads: readonly Workload[],
  blocks: readonly Block[],
  about: Circumstances,
): string {
  return `# Results: waypoint

What an L7 hop in the mesh costs: \`npm run bench -- waypoint\`. Ratios are medians over paired blocks of one run with a 95 % bootstrap interval; below 1 is less than the peer, for requests/s above 1 is more. Absolute columns compare only with their
neighbours in this run. CPU and memory are those of all proxies of an arm.

Circumstances: ${about.processor}, two cores (client and origin on core 0, all proxies of an arm on core 1, both kept from halting by a loop at idle priority), Linux ${about.kernel}, Bun ${about.bun}; two node namespaces and a client, a server and a waypoint pod per arm,
MTU 1500, nft REDIRECT in every arm with proxies; TLS 1.3 with P-256 keys; 1 KiB answers over HTTP/1.1; ${about.blocks} blocks of ${about.seconds} s per arm, arms interleaved forwards and backwards.

${arms.map((arm) => `- **${arm.name}**: ${arm.about}`).join('\n')}

## Ratios

${ratioTable(arms, workloads, blocks)}

## Medians

${workloads.map((workload) => workloadTable(arms, workload, blocks)).join('\n')}`;
}
