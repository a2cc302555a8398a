/** Where an embedded cluster keeps its files, and its settings. */
import crypto from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { ClusterError } from './error.ts';
import { readJson, writeJson } from './files.ts';

export const DEFAULT_CLUSTER = 'lateen';
export const DEFAULT_PORT = 16443;
/** The Kubernetes version whose API the cluster serves. */
export const KUBERNETES_VERSION = { major: '1', minor: '34', gitVersion: 'v1.34.0-lateen' } as const;
/** The kernel's limit on the path of a unix socket is 108 bytes with the final zero. */
const MAX_SOCKET_PATH = 100;

/** Addresses inside the cluster's private namespaces; the same in every cluster because nothing outside can see them. */
export const NETWORK = {
  bridge: 'lateen0',
  hostAddress: '10.240.0.1',
  nodePrefix: 24,
  podCidr: '10.244.0.0/16',
  serviceCidr: '10.96.0.0/16',
  kubernetesService: '10.96.0.1',
  dnsService: '10.96.0.10',
  apiPort: 6443,
  kubeletPort: 10250,
  domain: 'cluster.local',
  nodeAddress: (index: number): string => `10.240.0.${10 + index}`,
  nodePodCidr: (index: number): string => `10.244.${index}.0/24`,
  nodeGateway: (index: number): string => `10.244.${index}.1`,
} as const;

/** One /24 of the node bridge less the first ten addresses. */
export const MAX_NODES = 64;

/** Private to the cluster (a tmpfs of the inner supervisor's mount namespace), so it ends with it. */
export const RUN_DIR = '/run/lateen';
export const nodeRunDir = (index: number): string => `${RUN_DIR}/nodes/${index}`;
/** hostPath `/X` on node N is this directory plus `/X`. */
export const nodeHostDir = (index: number): string => `${nodeRunDir(index)}/host`;

export interface ClusterConfig {
  readonly name: string;
  readonly nodes: number;
  readonly port: number;
  /** Image name (an optional `:*` suffix matches any tag) to the command that stands for it. */
  readonly images: Readonly<Record<string, string>>;
}

export interface ClusterPaths {
  readonly state: string;
  readonly config: string;
  readonly lock: string;
  /** Process and port of the outer supervisor. */
  readonly supervisor: string;
  /** Why the last start failed, for `up` to tell. */
  readonly failure: string;
  /** Written by the inner supervisor. */
  readonly status: string;
  readonly logs: string;
  readonly pods: string;
  readonly apiServer: string;
  readonly apiSocket: string;
}

export function clusterPaths(env: NodeJS.ProcessEnv, name: string): ClusterPaths {
  const base = env['XDG_STATE_HOME'] || path.join(env['HOME'] || os.homedir(), '.local/state');
  const state = path.resolve(env['LATEEN_STATE_DIR'] || path.join(base, 'lateen', name));
  let apiSocket = path.join(state, 'api.sock');
  if (Buffer.byteLength(apiSocket) > MAX_SOCKET_PATH) {
    apiSocket = `/tmp/lateen-${crypto.createHash('sha256').update(state).digest('hex').slice(0, 12)}.sock`;
  }
  return {
    state,
    config: path.join(state, 'cluster.json'),
    lock: path.join(state, 'lock'),
    supervisor: path.join(state, 'supervisor.json'),
    failure: path.join(state, 'failure.json'),
    status: path.join(state, 'status.json'),
    logs: path.join(state, 'logs'),
    pods: path.join(state, 'pods'),
    apiServer: path.join(state, 'apiserver'),
    apiSocket,
  };
}

export function clusterName(env: NodeJS.ProcessEnv): string {
  const name = env['LATEEN_CLUSTER'] || DEFAULT_CLUSTER;
  checkName(name);
  return name;
}

/** The name of the kubeconfig context: never one a user is likely to have for another cluster. */
export const contextName = (cluster: string): string => (cluster === DEFAULT_CLUSTER ? DEFAULT_CLUSTER : `${DEFAULT_CLUSTER}-${cluster}`);

export function checkName(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) {
    throw new ClusterError(
      'BAD_OPTION',
      `Cluster name ${JSON.stringify(name)} is not a name: use up to 40 lower-case letters, digits and dashes.`,
    );
  }
}

export function readConfig(paths: ClusterPaths): ClusterConfig | undefined {
  return readJson<ClusterConfig>(paths.config);
}

export function writeConfig(paths: ClusterPaths, config: ClusterConfig): void {
  writeJson(paths.config, config);
}
