/** The inner supervisor: builds the private network, then keeps the API server, the controllers and the nodes running. */
import fs from 'node:fs';
import path from 'node:path';
import {
  type ClusterConfig,
  type ClusterPaths,
  clusterName,
  clusterPaths,
  NETWORK,
  nodeHostDir,
  nodeRunDir,
  readConfig,
} from '../config.ts';
import { ClusterError, messageOf } from '../error.ts';
import { writeJson } from '../files.ts';
import { clusterProgram } from '../program.ts';
import { apiServerEnv, componentEnv } from './component-env.ts';
import { buildNetwork, nodeName, nodeNetns } from './network.ts';
import { type ProcessInfo, SupervisedProcess } from './supervised-process.ts';

export interface InnerStatus {
  readonly apiReady: boolean;
  readonly processes: readonly ProcessInfo[];
}

const API_WAIT_MS = 30_000;
const STOP_LIMIT_MS = 3_000;

export async function runInnerSupervisor(env: NodeJS.ProcessEnv): Promise<number> {
  const paths = clusterPaths(env, clusterName(env));
  const stopped = untilToldToStop();
  try {
    const config = readConfig(paths);
    if (config === undefined) throw new ClusterError('START_FAILED', `${paths.config} is missing. Start the cluster with: lateen up`);
    await runInside(env, paths, config, stopped);
    return 0;
  } catch (error) {
    writeJson(paths.failure, { code: 'START_FAILED', message: messageOf(error) });
    console.error(messageOf(error));
    return 1;
  }
}

async function runInside(env: NodeJS.ProcessEnv, paths: ClusterPaths, config: ClusterConfig, stopped: Promise<void>): Promise<void> {
  const base = componentEnv(env, paths, config);
  buildNetwork(config.nodes, base);
  fs.rmSync(paths.apiSocket, { force: true });
  const processes: SupervisedProcess[] = [];
  let apiReady = false;
  let ending = false;
  const report = (): void => {
    if (!ending) writeJson(paths.status, { apiReady, processes: processes.map((each) => each.info()) } satisfies InnerStatus);
  };
  const launch = (name: string, command: readonly string[], extra: Readonly<Record<string, string>> = {}): void => {
    const child = new SupervisedProcess({
      name,
      command,
      env: { ...base, ...extra },
      logFile: path.join(paths.logs, `${name}.log`),
      onChange: report,
    });
    processes.push(child);
    child.start();
  };

  launch('apiserver', clusterProgram('apiserver'), apiServerEnv(paths, config));
  apiReady = await Promise.race([stopped.then(() => false), waitForApiServer()]);
  report();
  launch('controllers', clusterProgram('controllers'));
  for (let index = 1; index <= config.nodes; index++) {
    launch(nodeName(index), ['nsenter', `--net=${nodeNetns(index)}`, ...clusterProgram('node')], {
      LATEEN_NODE_NAME: nodeName(index),
      LATEEN_NODE_INDEX: String(index),
      LATEEN_NODE_RUN_DIR: nodeRunDir(index),
      LATEEN_NODE_HOST_DIR: nodeHostDir(index),
    });
  }
  await stopped;
  ending = true;
  // The node runtimes first: they would see the API server's end as a fault.
  await Promise.all(processes.slice(1).map((each) => each.stop(STOP_LIMIT_MS)));
  await processes[0]!.stop(STOP_LIMIT_MS);
}

/** True once the API server says it is ready; false after the limit (it is still supervised, and the nodes keep trying). */
async function waitForApiServer(): Promise<boolean> {
  const deadline = Date.now() + API_WAIT_MS;
  while (Date.now() < deadline) {
    try {
      const response = await fetch(`https://${NETWORK.hostAddress}:${NETWORK.apiPort}/readyz`, {
        tls: { rejectUnauthorized: false },
        signal: AbortSignal.timeout(1_000),
      });
      if (response.status === 200 || response.status === 401 || response.status === 403) return true;
    } catch {
      // not listening yet
    }
    await Bun.sleep(30);
  }
  return false;
}

/** The outer supervisor holds the other end of our stdin: a line or its end (the outer is gone) means stop. */
function untilToldToStop(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.on('data', () => resolve());
    process.stdin.on('end', () => resolve());
    process.stdin.on('error', () => resolve());
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve());
  });
}
