import { stringify } from 'yaml';
import { type ConnectionOptions, connect } from '../connection.ts';
import { CliError, EXIT } from '../exit.ts';
import { note, print, table } from '../output.ts';
import { fetchDumps, findProxies, type NodeDump } from './config-dump.ts';
import {
  certificateReport,
  connectionReport,
  type DumpFilter,
  policyReport,
  type Report,
  serviceReport,
  workloadReport,
} from './tables.ts';

export interface ZtunnelConfigOptions extends ConnectionOptions, DumpFilter {
  readonly output: string;
  readonly node?: string;
  readonly meshNamespace: string;
}

const reports: Readonly<Record<string, (dumps: readonly NodeDump[], filter: DumpFilter) => Report>> = {
  workload: workloadReport,
  service: serviceReport,
  policy: policyReport,
  certificate: (dumps, filter) => certificateReport(dumps, filter, new Date()),
  connections: connectionReport,
};

/** `lateen ztunnel-config …`: what the node proxies know and do. */
export const ztunnelConfig = async (what: string, options: ZtunnelConfigOptions): Promise<void> => {
  if (!['table', 'json', 'yaml'].includes(options.output))
    throw new CliError(`-o ${options.output}: not an output format`, EXIT.usage, 'Use table, json or yaml.');
  const { client } = connect(options);
  const dumps = await fetchDumps(client, await findProxies(client, options.meshNamespace, options.node));
  const chosen = what === 'all' ? Object.keys(reports) : [what];
  const made = chosen.map((name) => ({ name, report: reports[name]!(dumps, options) }));
  if (options.output === 'table') {
    for (const [index, { name, report }] of made.entries()) {
      if (index > 0) print('');
      if (report.rows.length === 0) note(`No ${name} entries.`);
      else print(table(report.header, report.rows));
    }
    return;
  }
  const value = what === 'all' ? Object.fromEntries(made.map(({ name, report }) => [name, report.objects])) : made[0]!.report.objects;
  print(options.output === 'json' ? JSON.stringify(value, null, 4) : stringify(value).trimEnd());
};
