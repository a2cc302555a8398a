/** The node proxy: a drop-in replacement for Istio's ztunnel. */
import { Logging } from '../../platform/telemetry/index.ts';
import { ConfigError } from '../core/config.ts';
import { LogBatch } from '../core/log-batch.ts';
import { readLocalXds } from '../core/mesh-state.ts';
import { readConfig } from './config.ts';

/** Either kind of proxy: in one process, or supervising several. */
interface Program {
  run(): Promise<number>;
  shutdown(): Promise<void>;
}

/** Runs the node proxy until SIGTERM, SIGINT or `/quitquitquit`, and its drain. The exit code: 0, or 1 when it could not start or go on. */
export async function runZtunnel(env: NodeJS.ProcessEnv): Promise<number> {
  // Set by `workers/supervisor.ts` for the processes it starts.
  if (env['LATEEN_WORKER'] !== undefined) return (await import('./workers/worker.ts')).runWorker();
  let batch: LogBatch | undefined;
  let logging: Logging | undefined;
  let proxy: Program;
  try {
    const config = readConfig(env);
    const local = config.localXds && (await readLocalXds(config.localXds));
    const hasWorkers = config.workers > 1;
    batch = new LogBatch({ isShared: hasWorkers });
    const format = env['LOG_FORMAT'] === 'json' ? 'json' : 'plain';
    logging = new Logging({ filter: env['RUST_LOG'] || 'info', format, sink: batch.sink });
    // Each loads what it needs: memory counts on every node.
    if (hasWorkers) proxy = new (await import('./workers/supervisor.ts')).Supervisor(config, logging, format, local);
    else proxy = new (await import('./proxy.ts')).NodeProxy(config, logging, local);
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
    for (const problem of problems) process.stderr.write(`ztunnel: ${problem}\n`);
    return 1;
  }
  const stop = (): void => void proxy.shutdown();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    return await proxy.run();
  } finally {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
    logging.flushAtExit();
    batch.close();
  }
}
