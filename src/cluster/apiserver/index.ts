import { join, resolve } from 'node:path';
import { startServer } from './server.ts';

export { type RunningServer, type ServerOptions, startServer } from './server.ts';

const DEFAULTS = {
  address: '10.240.0.1',
  port: 6443,
  serviceCidr: '10.96.0.0/16',
  issuer: 'https://kubernetes.default.svc.cluster.local',
  nodes: 8,
} as const;
const listOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** Runs the API server until SIGTERM or SIGINT. Answers the exit code. */
export async function runApiServer(env: NodeJS.ProcessEnv): Promise<number> {
  const stateDir = env['STATE_DIR'] ?? '';
  if (stateDir === '') {
    console.error('apiserver: STATE_DIR is not set: give the directory that keeps the cluster state');
    return 2;
  }
  const port = Number(env['PORT'] ?? DEFAULTS.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    console.error(`apiserver: PORT is "${env['PORT']}": give a number from 0 to 65535`);
    return 2;
  }
  const listenAddress = env['LISTEN_ADDRESS'] ?? DEFAULTS.address;
  const nodeNames =
    env['NODE_NAMES'] === undefined ? Array.from({ length: DEFAULTS.nodes }, (_, index) => `node${index + 1}`) : listOf(env['NODE_NAMES']);
  const stop = new Promise<void>((resolveStop) => {
    process.once('SIGTERM', () => resolveStop());
    process.once('SIGINT', () => resolveStop());
  });
  let server: Awaited<ReturnType<typeof startServer>>;
  try {
    server = await startServer({
      stateDir: resolve(stateDir),
      listenAddress,
      port,
      ...(env['UNIX_SOCKET'] === undefined || env['UNIX_SOCKET'] === '' ? {} : { unixSocket: env['UNIX_SOCKET'] }),
      advertiseAddress: env['ADVERTISE_ADDRESS'] ?? (listenAddress === '0.0.0.0' ? '127.0.0.1' : listenAddress),
      servingNames: listOf(env['SERVING_SANS']),
      serviceCidr: env['SERVICE_CIDR'] ?? DEFAULTS.serviceCidr,
      issuer: env['SERVICE_ACCOUNT_ISSUER'] ?? DEFAULTS.issuer,
      kubeletTokenFile: env['KUBELET_TOKEN_FILE'] ?? join(stateDir, 'kubelet.token'),
      nodeNames,
      log: (message) => console.error(`apiserver: ${message}`),
    });
  } catch (error) {
    console.error(`apiserver: ${startupProblem(error, listenAddress, port, stateDir)}`);
    return 1;
  }
  console.log(`apiserver: ready on https://${listenAddress}:${server.port}`);
  await stop;
  await server.stop();
  return 0;
}

function startupProblem(error: unknown, address: string, port: number, stateDir: string): string {
  const code = (error as { code?: unknown }).code;
  if (code === 'EADDRINUSE') return `${address}:${port} is in use: stop what listens there, or set PORT`;
  if (code === 'EADDRNOTAVAIL') return `${address} is not an address of this network namespace: set LISTEN_ADDRESS`;
  if (code === 'EACCES' || code === 'EROFS' || code === 'SQLITE_CANTOPEN')
    return `${stateDir} cannot be written: set STATE_DIR to a writable directory`;
  if (code === 'ENOSPC' || code === 'SQLITE_FULL') return `the disk that holds ${stateDir} is full: free some space`;
  return error instanceof Error ? error.message : String(error);
}
