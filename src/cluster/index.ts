/** The embedded cluster. The long-running programs are loaded on demand: each process carries only its own code. */

type Program = (env: NodeJS.ProcessEnv) => Promise<number>;

/** All programs run until SIGTERM (or, the inner supervisor, until its standard input ends) and answer the exit code. */
export const runApiServer: Program = async (env) => (await import('./apiserver/index.ts')).runApiServer(env);
export const runControllers: Program = async (env) => (await import('./controllers/index.ts')).runControllers(env);
export const runNode: Program = async (env) => (await import('./node/index.ts')).runNode(env);
export const runSupervisor: Program = async (env) => (await import('./supervisor/outer.ts')).runSupervisor(env);
export const runInnerSupervisor: Program = async (env) => (await import('./supervisor/inner.ts')).runInnerSupervisor(env);

export { DEFAULT_CLUSTER, DEFAULT_PORT } from './config.ts';
export { ClusterError, type ClusterErrorCode } from './error.ts';
export type { ClusterOptions, DownOptions } from './supervisor/down.ts';
export type { ClusterNode, ClusterProcess, ClusterStatus } from './supervisor/status.ts';
export type { UpOptions, UpProgress, UpResult } from './supervisor/up.ts';

/** Starts the cluster, or finds it running; resolves when nodes, mesh and manifests are ready. Failures are `ClusterError`s. */
export const up: typeof import('./supervisor/up.ts').up = async (options, progress) =>
  (await import('./supervisor/up.ts')).up(options, progress);
/** Ends the cluster and removes what is left of it; false when there was none. */
export const down: typeof import('./supervisor/down.ts').down = async (options) => (await import('./supervisor/down.ts')).down(options);
export const clusterStatus: typeof import('./supervisor/status.ts').clusterStatus = async (options) =>
  (await import('./supervisor/status.ts')).clusterStatus(options);
