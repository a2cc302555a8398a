import { down } from '../../cluster/index.ts';
import { KubeClient, loadKubeConfig } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';
import { note, print } from '../output.ts';
import { labelNamespaces } from './enrolment.ts';
import { LoadClient } from './load-client.ts';
import { NAMESPACES } from './pipeline.ts';
import { runDemo } from './run.ts';
import { lineProgress, showNextSteps, showReport } from './show.ts';

export interface DemoFlags {
  readonly json?: boolean;
  readonly quick?: boolean;
  readonly live?: boolean;
  readonly down?: boolean;
  readonly nodes?: string;
}

const LIVE_LINE_MS = 10_000;

/** `lateen demo`: exit code 0 only when every promise was kept. */
export const demo = async (flags: DemoFlags): Promise<number> => {
  const nodes = flags.nodes === undefined ? undefined : Number(flags.nodes);
  if (nodes !== undefined && (!Number.isInteger(nodes) || nodes < 1 || nodes > 64))
    throw new CliError(`--nodes ${flags.nodes}: must be a whole number from 1 to 64`, EXIT.usage);
  if (flags.live === true && flags.json === true) throw new CliError('--live and --json exclude each other', EXIT.usage);
  try {
    const report = await runDemo(
      { ...(nodes !== undefined && { nodes }), quick: flags.quick === true || flags.live === true },
      lineProgress(),
    );
    if (flags.json === true) print(JSON.stringify(report, null, 2));
    else showReport(report);
    if (flags.live === true) await stayLive();
    else if (flags.down !== true) note('The cluster stays up; "lateen down" ends it.');
    return report.ok ? EXIT.ok : EXIT.failure;
  } finally {
    if (flags.down === true) await down({});
  }
};

/** Puts the namespaces back into the mesh and reports the load until the user leaves. */
const stayLive = async (): Promise<void> => {
  const client = new KubeClient(loadKubeConfig(process.env, { context: 'lateen' }));
  await labelNamespaces(client, NAMESPACES, 'ambient');
  showNextSteps();
  const load = await LoadClient.find(client, 'ai-clients', 'load');
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  process.once('SIGINT', resolve);
  process.once('SIGTERM', resolve);
  let leaving = false;
  void asked.then(() => {
    leaving = true;
  });
  while (!leaving) {
    await Promise.race([asked, Bun.sleep(LIVE_LINE_MS)]);
    if (leaving) break;
    const now = Date.now();
    const line = await load.look(now - LIVE_LINE_MS, now).then(
      ({ requests, errors, p50_ms, p99_ms }) =>
        `${new Date(now).toLocaleTimeString()}  ${requests} requests, ${errors} errors, p50 ${p50_ms?.toFixed(1)} ms, p99 ${p99_ms?.toFixed(1)} ms`,
      (error: Error) => `the load generator cannot be asked: ${error.message}`,
    );
    note(line);
  }
  load.close();
  note('\nThe cluster stays up. "bin/lateen down" ends it; "bin/lateen demo --live" comes back to this view.');
};
