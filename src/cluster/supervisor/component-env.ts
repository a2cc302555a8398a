/** The environment of the programs inside the cluster. */
import path from 'node:path';
import { type ClusterConfig, type ClusterPaths, NETWORK } from '../config.ts';
import { nodeName } from './network.ts';
import { systemPath } from './preflight.ts';

export function componentEnv(env: NodeJS.ProcessEnv, paths: ClusterPaths, config: ClusterConfig): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) kept[name] = value;
  return {
    ...kept,
    PATH: systemPath(env),
    LATEEN_CLUSTER: config.name,
    LATEEN_STATE_DIR: paths.state,
    KUBELET_TOKEN_FILE: path.join(paths.apiServer, 'kubelet.token'),
  };
}

/** What the API server understands besides. */
export function apiServerEnv(paths: ClusterPaths, config: ClusterConfig): Record<string, string> {
  return {
    STATE_DIR: paths.apiServer,
    LISTEN_ADDRESS: NETWORK.hostAddress,
    ADVERTISE_ADDRESS: NETWORK.hostAddress,
    PORT: String(NETWORK.apiPort),
    UNIX_SOCKET: paths.apiSocket,
    SERVICE_CIDR: NETWORK.serviceCidr,
    NODE_NAMES: Array.from({ length: config.nodes }, (_, at) => nodeName(at + 1)).join(','),
  };
}
