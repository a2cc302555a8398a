/** The report of the L4 measurement, in Markdown: budgets, ratios, then what they come from. */
import type { L4Result } from './l4-result.ts';
import { l4Ratios, l4WorkloadTable } from './l4-tables.ts';
import { l4Targets } from './l4-targets.ts';
import { quietBlocks } from './result.ts';

const MET = { yes: 'met', no: '**missed**', undecided: 'undecided', 'not measured': 'not measured' } as const;

/** `families`: what to know of each, by name. `notes` is what a person found out about misses. */
export function l4Report(results: readonly L4Result[], families: Readonly<Record<string, string>>, notes = ''): string {
  const about = results[0]?.circumstances;
  if (about === undefined) return '# Results: L4\n\nNothing was measured.\n';
  const rows = l4Targets((id) => results.find((result) => result.id === id));
  const loud = results.filter((result) => {
    const { rounds, disturbed } = quietBlocks(result);
    return disturbed === rounds;
  });
  const warning =
    loud.length === 0
      ? ''
      : `\nOthers used the machine during these, which are not to be quoted: ${loud.map(({ id }) => id).join(', ')}.\n`;
  const shown = [...new Set(results.map(({ family }) => family))];
  return `# Results: L4

What L4 hops with mutual TLS cost: \`npm run bench -- l4\`. Ratios are medians over paired blocks of one run with a 95 % bootstrap interval; below 1 is less than the peer, for rates (requests, connections, octets per second) above 1 is more.
Absolute columns compare only with their neighbours in this run. How to read and repeat this, and where the time goes: [docs/performance.md](../docs/performance.md).

Circumstances: ${about.processor}, two cores, both kept from halting by a loop at idle priority; Linux ${about.kernel}, Bun ${about.bun}; node namespaces joined by a link, pods by veth pairs, MTU 1500, nft REDIRECT in every arm with proxies; TLS 1.3 with P-256 keys;
1 KiB answers over HTTP/1.1; arms interleaved forwards and backwards. Lateen and the real ztunnel run with one ALLOW policy, metrics and access log on, Envoy with its stock statistics and no access log. At fixed rates requests have intended start times with
jitter and latency counts from these; an arm that answers less than 99 % of what was offered is called saturated and gets no latency. Processor time is the scheduler’s, user plus system, with the soft interrupts that ran in the proxy’s place; the soft interrupts of
the whole machine stand beside it. Whole memory: private memory of each proxy and what they share once, as if they were alone.

## Budgets

Undecided: the interval reaches over the bound.
${warning}
| budget | measured | |
|---|---|---|
${rows.map(({ target, seen, met }) => `| ${target} | ${seen} | ${MET[met]} |`).join('\n')}
${notes === '' ? '' : `\n${notes.trim()}\n`}
## Ratios

${l4Ratios(results)}

## Medians

${shown.map((name) => familyPart(results, name, families[name] ?? '')).join('\n')}`;
}

function familyPart(results: readonly L4Result[], family: string, about: string): string {
  const own = results.filter((result) => result.family === family);
  const arms = new Map(own.flatMap((result) => result.arms.map((arm) => [arm.name, arm.about] as const)));
  const ciphers = new Map(own.flatMap((result) => Object.entries(result.ciphers)));
  const cipher = (name: string) => (ciphers.has(name) ? ` (${ciphers.get(name)})` : '');
  return `${about}

${[...arms].map(([name, text]) => `- **${name}**: ${text}${cipher(name)}`).join('\n')}

${own.map(l4WorkloadTable).join('\n')}`;
}
