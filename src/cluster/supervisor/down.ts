/** `lateen down`: ends everything and leaves nothing behind. */
import fs from 'node:fs';
import { removeContext } from '../../platform/kubernetes/index.ts';
import { checkName, clusterName, clusterPaths, contextName } from '../config.ts';
import { ClusterError, explainFileError } from '../error.ts';
import { readJson } from '../files.ts';
import { endProcess, isRunning, processRef } from '../processes.ts';
import { namespaceInit } from './inspect.ts';
import { takeLock } from './lock.ts';
import type { SupervisorRecord } from './outer.ts';

export interface ClusterOptions {
  readonly name?: string;
  readonly env?: NodeJS.ProcessEnv;
}
export interface DownOptions extends ClusterOptions {
  /** Keep the objects of the API server (and its keys) for the next `up`. */
  readonly keep?: boolean;
}

/** The outer supervisor gives the inner one 8 s; after this it is ended by force. */
const STOP_LIMIT_MS = 12_000;

/** Says whether there was anything to end. */
export async function down(options: DownOptions = {}): Promise<boolean> {
  const env = options.env ?? process.env;
  const name = options.name ?? clusterName(env);
  checkName(name);
  const paths = clusterPaths(env, name);
  const record = readJson<SupervisorRecord>(paths.supervisor);
  const existed = record !== undefined || fs.existsSync(paths.config);
  if (record !== undefined) {
    // Known before the supervisor ends: afterwards nobody could tell which processes were its own.
    const initPid = isRunning(record) ? namespaceInit(record) : undefined;
    const init = initPid === undefined ? undefined : processRef(initPid);
    await endProcess(record, STOP_LIMIT_MS);
    if (record.namespaces !== undefined) await endProcess(record.namespaces, 0, 'SIGKILL');
    if (init !== undefined) await endProcess(init, 0, 'SIGKILL');
  }
  await removeContext(env, contextName(name));
  if (!existed) return false;
  const lock = await takeLock(paths.lock);
  if (lock === undefined)
    throw new ClusterError('ALREADY_RUNNING', `Another command is starting the cluster in ${paths.state}. Wait for it and run down again.`);
  try {
    fs.rmSync(paths.apiSocket, { force: true });
    for (const file of [paths.supervisor, paths.status, paths.failure]) fs.rmSync(file, { force: true });
    fs.rmSync(paths.pods, { recursive: true, force: true });
    if (options.keep !== true) fs.rmSync(paths.state, { recursive: true, force: true });
  } catch (error) {
    throw explainFileError(error, paths.state);
  } finally {
    fs.closeSync(lock);
  }
  return existed;
}
