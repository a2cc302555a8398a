/** `lateen status`: processes, nodes and pods of the embedded cluster as plain data. */
import { KubeClient, NodeKind, PodKind } from '../../platform/kubernetes/index.ts';
import { adminConfig } from '../client-config.ts';
import { isConditionTrue } from '../conditions.ts';
import { type ClusterPaths, checkName, clusterName, clusterPaths, readConfig } from '../config.ts';
import { messageOf } from '../error.ts';
import type { ClusterOptions } from './down.ts';
import { enterCommand, innerStatus, namespaceInit, pidMap, runningSupervisor } from './inspect.ts';

export interface ClusterProcess {
  readonly name: string;
  /** As numbered outside the cluster; undefined while it is being restarted. */
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly startedAt: string | undefined;
  readonly lastExit: string | undefined;
}
export interface ClusterNode {
  readonly name: string;
  readonly ready: boolean;
  readonly address: string | undefined;
  /** Command prefix that runs a program in the node's network namespace. */
  readonly enter: readonly string[];
}
export interface ClusterStatus {
  readonly name: string;
  readonly state: 'stopped' | 'starting' | 'running';
  readonly stateDir: string;
  readonly server: string | undefined;
  readonly startedAt: string | undefined;
  readonly ports: { readonly api: number | undefined };
  readonly processes: readonly ClusterProcess[];
  readonly nodes: readonly ClusterNode[];
  readonly pods: { readonly total: number; readonly ready: number; readonly byPhase: Readonly<Record<string, number>> };
  /** Why nodes and pods could not be read, if so. */
  readonly problem: string | undefined;
}

const API_TIMEOUT_MS = 3_000;

export async function clusterStatus(options: ClusterOptions = {}): Promise<ClusterStatus> {
  const env = options.env ?? process.env;
  const name = options.name ?? clusterName(env);
  checkName(name);
  const paths = clusterPaths(env, name);
  const record = runningSupervisor(paths);
  const empty = { total: 0, ready: 0, byPhase: {} };
  if (record === undefined) {
    return {
      name,
      state: 'stopped',
      stateDir: paths.state,
      server: undefined,
      startedAt: undefined,
      ports: { api: readConfig(paths)?.port },
      processes: [],
      nodes: [],
      pods: empty,
      problem: undefined,
    };
  }
  const init = namespaceInit(record);
  const inner = innerStatus(paths);
  const outside = init === undefined ? new Map<number, number>() : pidMap(init);
  const processes: ClusterProcess[] = [
    { name: 'supervisor', pid: record.pid, restarts: 0, startedAt: record.startedAt, lastExit: undefined },
  ];
  for (const each of inner?.processes ?? []) processes.push({ ...each, pid: each.pid === undefined ? undefined : outside.get(each.pid) });
  const found = await readCluster(paths, record.port, init);
  return {
    name,
    state: inner?.apiReady === true && found.problem === undefined ? 'running' : 'starting',
    stateDir: paths.state,
    server: `https://127.0.0.1:${record.port}`,
    startedAt: record.startedAt,
    ports: { api: record.port },
    processes,
    nodes: found.nodes,
    pods: found.pods ?? empty,
    problem: found.problem,
  };
}

async function readCluster(
  paths: ClusterPaths,
  port: number,
  init: number | undefined,
): Promise<{ nodes: ClusterNode[]; pods?: ClusterStatus['pods']; problem: string | undefined }> {
  try {
    const client = new KubeClient(adminConfig(paths, port), 'lateen-status');
    const options = { timeoutMs: API_TIMEOUT_MS };
    const [nodes, pods] = await Promise.all([client.listAll(NodeKind, options), client.listAll(PodKind, options)]);
    const byPhase: Record<string, number> = {};
    let ready = 0;
    for (const pod of pods.items) {
      const phase = pod.status?.phase ?? 'Unknown';
      byPhase[phase] = (byPhase[phase] ?? 0) + 1;
      if (isConditionTrue(pod.status?.conditions, 'Ready')) ready++;
    }
    return {
      nodes: nodes.items.map((node) => ({
        name: node.metadata?.name ?? '',
        ready: isConditionTrue(node.status?.conditions, 'Ready'),
        address: node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address,
        enter: init === undefined ? [] : enterCommand(init, Number(/(\d+)$/.exec(node.metadata?.name ?? '')?.[1] ?? 1)),
      })),
      pods: { total: pods.items.length, ready, byPhase },
      problem: undefined,
    };
  } catch (error) {
    return { nodes: [], problem: messageOf(error) };
  }
}
