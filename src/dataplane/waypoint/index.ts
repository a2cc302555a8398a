/** The waypoint: an L7 proxy for the services and workloads that ask for it, in the place of Istio's Envoy waypoint. */
import { Logging } from '../../platform/telemetry/index.ts';
import { ConfigError } from '../core/config.ts';
import { LogBatch } from '../core/log-batch.ts';
import { readLocalXds } from '../core/mesh-state.ts';
import { readConfig } from './config.ts';
import { Waypoint } from './waypoint.ts';

/** Runs the waypoint until SIGTERM, SIGINT or `/quitquitquit`, and its drain. The exit code: 0, or 1 when it could not start or go on. */
export async function runWaypoint(env: NodeJS.ProcessEnv): Promise<number> {
  const batch = new LogBatch();
  let logging: Logging | undefined;
  let waypoint: Waypoint;
  try {
    const config = readConfig(env);
    const local = config.localXds && (await readLocalXds(config.localXds));
    logging = new Logging({ filter: env['RUST_LOG'] || 'info', format: env['LOG_FORMAT'] === 'json' ? 'json' : 'plain', sink: batch.sink });
    waypoint = new Waypoint(config, logging, batch.sink, local);
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)];
    for (const problem of problems) process.stderr.write(`waypoint: ${problem}\n`);
    return 1;
  }
  const stop = (): void => void waypoint.shutdown();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    return await waypoint.run();
  } finally {
    process.off('SIGTERM', stop);
    process.off('SIGINT', stop);
    logging.flushAtExit();
    batch.close();
  }
}
