/** The report of the waypoint's measurement, in Markdown: targets, ratios, then what they come from. */
import { quietBlocks } from './result.ts';
import type { WorkloadResult } from './waypoint-result.ts';
import { ratios, workloadTable } from './waypoint-tables.ts';
import { targets } from './waypoint-targets.ts';

/** `notes` is what a person found out about misses; it stands beside the figures. */
export function waypointReport(results: readonly WorkloadResult[], notes = ''): string {
  const about = results[0]?.circumstances;
  if (about === undefined) return '# Results: waypoint\n\nNothing was measured.\n';
  const arms = new Map(results.flatMap((result) => result.arms.map((arm) => [arm.name, arm.about] as const)));
  const rows = targets((id) => results.find((result) => result.id === id));
  const loud = results.filter((result) => {
    const { rounds, disturbed } = quietBlocks(result);
    return disturbed === rounds;
  });
  const warning =
    loud.length === 0
      ? ''
      : `\nOthers used the machine during these, which are not to be quoted: ${loud.map(({ id }) => id).join(', ')}.\n`;
  return `# Results: waypoint

What an L7 hop in the mesh costs: \`npm run bench -- waypoint\`. Ratios are medians over paired blocks of one run with a 95 % bootstrap interval; below 1 is less than the peer, for requests/s above 1 is more.
Absolute columns compare only with their neighbours in this run.

Circumstances: ${about.processor}, two cores (client and origin on core 0, all proxies of an arm on core 1, both kept from halting by a loop at idle priority), Linux ${about.kernel}, Bun ${about.bun}; two node namespaces and a client, a server and a waypoint pod per arm,
MTU 1500, nft REDIRECT in every arm with proxies; TLS 1.3 with P-256 keys; 1 KiB answers over HTTP/1.1 where nothing else is said; arms interleaved forwards and backwards. Requests per second are those of one core, which an arm’s proxies share.
At fixed rates requests have intended start times with jitter and latency counts from these; an arm that answers less than 99 % of what was offered is called saturated and gets no latency.

## Targets

Lateen’s node proxies and waypoint against real ztunnels and Envoy as waypoint; memory of the waypoint alone against Envoy’s. Undecided: the interval reaches over the target.
${warning}
| target | seen | met? |
|---|---|---|
${rows.map(({ target, seen, met }) => `| ${target} | ${seen} | ${met} |`).join('\n')}
${notes === '' ? '' : `\n${notes.trim()}\n`}
## Ratios

${ratios(results)}

## Medians

${[...arms].map(([name, text]) => `- **${name}**: ${text}`).join('\n')}

${results.map(workloadTable).join('\n')}`;
}
