/** The outer supervisor: the daemon in the user's namespaces. It owns the port on loopback and the life of everything inside. */
import fs from 'node:fs';
import { type ClusterPaths, clusterName, clusterPaths, DEFAULT_PORT, readConfig, writeConfig } from '../config.ts';
import { ClusterError, messageOf } from '../error.ts';
import { readJson, writeJson } from '../files.ts';
import { endProcess, type ProcessRef, processRef } from '../processes.ts';
import { clusterProgram } from '../program.ts';
import { forwardPort } from './forward.ts';
import { takeLock } from './lock.ts';
import { preflight, systemPath } from './preflight.ts';

export interface SupervisorRecord extends ProcessRef {
  readonly port: number;
  readonly startedAt: string;
  /** The process that holds the private namespaces open, in this process's pid namespace. */
  readonly namespaces: ProcessRef | undefined;
}

/** What the inner supervisor needs to end its children in order. */
const STOP_LIMIT_MS = 8_000;
/** Ends earlier than this after its start count as failures to start. */
const EARLY_END_MS = 5_000;
const MAX_EARLY_ENDS = 3;

/** A first process that passes our stdin on and collects the orphans of the pid namespace; when it ends the kernel ends all others in it. */
const INIT = '"$@" <&0 & wait $!; exit $?';
const INIT_KEEPING_STDIN = `exec 3<&0; ${INIT.replace('<&0', '<&3 3<&-')}`;

export async function runSupervisor(env: NodeJS.ProcessEnv): Promise<number> {
  const paths = clusterPaths(env, clusterName(env));
  const lock = await takeLock(paths.lock);
  if (lock === undefined) {
    console.error(`The cluster in ${paths.state} already runs.`);
    return 3;
  }
  fs.rmSync(paths.failure, { force: true });
  try {
    return await supervise(env, paths);
  } catch (error) {
    const code = error instanceof ClusterError ? error.code : 'START_FAILED';
    writeJson(paths.failure, { code, message: messageOf(error) });
    console.error(messageOf(error));
    return 1;
  } finally {
    fs.rmSync(paths.supervisor, { force: true });
    fs.rmSync(paths.status, { force: true });
    fs.rmSync(paths.apiSocket, { force: true });
  }
}

async function supervise(env: NodeJS.ProcessEnv, paths: ClusterPaths): Promise<number> {
  const config = readConfig(paths);
  if (config === undefined) throw new ClusterError('START_FAILED', `${paths.config} is missing. Start the cluster with: lateen up`);
  const namespaces = preflight(env);
  const listener = forwardPort(config.port || DEFAULT_PORT, env['LATEEN_PORT_EXACT'] === '1', paths.apiSocket);
  if (listener.port !== config.port) writeConfig(paths, { ...config, port: listener.port });

  const stop = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.resolve());
  let stopping = false;
  void stop.promise.then(() => {
    stopping = true;
  });

  let earlyEnds = 0;
  while (!stopping) {
    const startedAt = Date.now();
    const child = Bun.spawn([...namespaces, 'sh', '-c', INIT_KEEPING_STDIN, 'lateen-init', ...clusterProgram('inner')], {
      env: { ...passOn(env), PATH: systemPath(env) },
      stdin: 'pipe',
      stdout: 'inherit',
      stderr: 'inherit',
    });
    const ref = processRef(child.pid);
    const own = processRef(process.pid)!;
    const record: SupervisorRecord = { ...own, port: listener.port, startedAt: new Date(startedAt).toISOString(), namespaces: ref };
    writeJson(paths.supervisor, record);
    await Promise.race([stop.promise, child.exited]);
    if (stopping) {
      child.stdin.write('stop\n');
      child.stdin.end();
      await Promise.race([child.exited, Bun.sleep(STOP_LIMIT_MS)]);
    }
    if (ref !== undefined) await endProcess(ref, 0, 'SIGKILL');
    if (stopping) break;
    const failure = readJson<{ message?: string }>(paths.failure);
    earlyEnds = Date.now() - startedAt < EARLY_END_MS ? earlyEnds + 1 : 0;
    console.error(`The inner supervisor ended (exit code ${child.exitCode}); starting it again.`);
    if (earlyEnds >= MAX_EARLY_ENDS || (earlyEnds > 0 && failure?.message !== undefined)) {
      throw new ClusterError('START_FAILED', failure?.message ?? `The cluster ends as soon as it starts. See ${paths.logs}/supervisor.log`);
    }
  }
  listener.stop(true);
  return 0;
}

/** The variables the inner programs understand; the user's others (keys, tokens) stay outside. */
function passOn(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && /^(LATEEN_|XDG_STATE_HOME$|HOME$|USER$|LANG$|LC_|TZ$|TMPDIR$)/.test(name)) kept[name] = value;
  }
  return kept;
}
