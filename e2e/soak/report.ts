/** The report of a soak run, in Markdown. */
import { MAX_GROWTH_MIB, memoryGrowth, series, typicalMemory, warmUp } from './judge.ts';
import type { SoakResult } from './run.ts';

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [`| ${head.join(' | ')} |`, `|${head.map(() => '---|').join('')}`, ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');

const counts = (record: Readonly<Record<string, number>>): (string | number)[][] => Object.entries(record);

export function soakReport(result: SoakResult): string {
  const seconds = result.minutes * 60;
  const failed = result.verdicts.filter(({ passed }) => !passed);
  const memory = result.proxies.map((proxy) => {
    const points = series(proxy, seconds, ({ privateMib }) => privateMib);
    const grown = memoryGrowth(proxy, seconds);
    const measured = (points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0);
    return [
      proxy.name,
      typicalMemory(proxy, seconds).toFixed(1),
      grown.toFixed(2),
      ((grown / measured) * 3600).toFixed(2),
      proxy.idleBefore.privateMib.toFixed(1),
      proxy.idleAfter.privateMib.toFixed(1),
      `${proxy.idleBefore.descriptors} / ${proxy.idleAfter.descriptors}`,
      proxy.cpuSeconds.toFixed(0),
      proxy.logLines,
    ];
  });
  return `# Results: soak

\`npm run soak -- --minutes ${result.minutes} --cpu ${result.cpuWanted}\`: mixed load through two node proxies in network namespaces while certificates rotate (lifetime ${result.certificateSeconds} s), policies are pushed, workloads updated, the
control plane is restarted, and pods come and go – a third of them in order, a third with open connections, a third because their network namespace vanished. Every error an application sees and every warning or error a proxy logs is matched
to what was done on purpose; one that is not fails the run, as does growing memory.

**${failed.length === 0 ? 'Passed' : `Failed: ${failed.map(({ what }) => what).join('; ')}`}.** ${result.machine}, Bun ${result.bun}; load and proxies used ${result.cpuUsed.toFixed(0)} % of the processors; clients and servers, one process, were held up for ${result.longestStallMs.toFixed(0)} ms at most.

## Memory

Private memory in MiB. After the first ${warmUp(seconds).toFixed(0)} s the lowest value of each stretch of time is taken (transfers and slow readers hold buffers for a while); growth is the slope through these (median of the slopes of all pairs) times the time measured; at
most ${MAX_GROWTH_MIB} is allowed.

${table(['proxy', 'typical', 'growth', 'growth per hour', 'before the load', 'after it', 'descriptors before / after', 'CPU s', 'log lines'], memory)}

## Load

${table(['kind', 'completed'], counts(result.traffic))}

## Changes

${table(['change', 'times'], counts(result.churn))}

## Errors by cause

${table(['cause (seen by)', 'errors'], counts(result.explained))}

${result.unexplainedCount === 0 ? 'None without a cause.' : `**Without a cause: ${result.unexplainedCount}**\n\n${result.unexplained.map(({ at, where, text }) => `- ${new Date(at).toISOString()} ${where}: \`${text.replaceAll('`', "'")}\``).join('\n')}`}

## Verdicts

${table(
  ['what', 'found', 'allowed', ''],
  result.verdicts.map(({ what, found, limit, passed }) => [what, found, limit, passed ? 'passed' : '**failed**']),
)}
`;
}
