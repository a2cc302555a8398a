import { KubeClient, KubeConfigError, loadKubeConfig } from '../platform/kubernetes/index.ts';
import { processLogging } from '../platform/telemetry/index.ts';
import { AuthorityError } from './ca/authority.ts';
import { ConfigError, readConfig } from './config.ts';
import { ControlPlane } from './control-plane.ts';

export type { SyncStatus } from './debug.ts';

/** The API server may come up after us; until then the CA cannot be loaded. */
const START_RETRY_MS = 1000;

/** `lateen controlplane`: runs until SIGTERM or SIGINT. Exit code 0 after an orderly end, 1 when it could not start. */
export async function runControlPlane(env: NodeJS.ProcessEnv): Promise<number> {
  const logging = processLogging();
  const log = logging.logger('controlplane');
  const stopped = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopped.resolve());
  let controlPlane: ControlPlane | undefined;
  try {
    const config = readConfig(env);
    const client = new KubeClient(loadKubeConfig(env), 'lateen-controlplane');
    let isStopped = false;
    void stopped.promise.then(() => {
      isStopped = true;
    });
    for (;;) {
      controlPlane = new ControlPlane(config, client, logging);
      try {
        await controlPlane.start();
        break;
      } catch (error) {
        await controlPlane.stop();
        if (!isWorthRetrying(error) || isStopped) throw error;
        log.warn(`not started yet: ${(error as Error).message}`, { retry_ms: START_RETRY_MS });
        await Promise.race([Bun.sleep(START_RETRY_MS), stopped.promise]);
        if (isStopped) return 0;
      }
    }
    log.info('listening', { xds: controlPlane.xdsPort, http: controlPlane.httpPort, api_server: client.config.server });
  } catch (error) {
    log.error(describe(error));
    logging.flush();
    return 1;
  }
  await stopped.promise;
  log.info('stopping');
  await controlPlane.stop();
  logging.flush();
  return 0;
}

/** Only the API server's absence or refusal passes by itself; a wrong setting or a bad secret does not. */
const isWorthRetrying = (error: unknown): boolean => error instanceof Error && error.name === 'ApiError';

const describe = (error: unknown): string =>
  error instanceof ConfigError || error instanceof KubeConfigError || error instanceof AuthorityError
    ? error.message
    : String((error as Error).message ?? error);
