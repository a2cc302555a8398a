/** Who the cluster's own programs are to the API server: its certificate and one token per program, from the API server's state directory. */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientConfig } from '../platform/kubernetes/index.ts';
import { type ClusterPaths, NETWORK } from './config.ts';
import { ClusterError } from './error.ts';
import { readText } from './files.ts';

/** `node` names the node. */
export type Component = { readonly kind: 'admin' } | { readonly kind: 'controllers' } | { readonly kind: 'node'; readonly node: string };

function tokenFile(paths: ClusterPaths, component: Component): string {
  if (component.kind === 'admin') return path.join(paths.apiServer, 'admin.token');
  return path.join(paths.apiServer, 'components', `${component.kind === 'node' ? `node-${component.node}` : component.kind}.token`);
}

function config(paths: ClusterPaths, component: Component, server: string): ClientConfig {
  const caPem = readText(path.join(paths.apiServer, 'pki', 'ca.crt'));
  const token = readText(tokenFile(paths, component))?.trim();
  if (caPem === undefined || token === undefined || token === '') {
    throw new ClusterError('NOT_READY', `The API server has not written its keys to ${paths.apiServer} yet.`);
  }
  return { server, caPem, token, insecureSkipTlsVerify: false, namespace: 'default', context: `embedded-${component.kind}` };
}

/** For programs inside the cluster's namespaces. */
export function insideConfig(paths: ClusterPaths, component: Component): ClientConfig {
  return config(paths, component, `https://${NETWORK.hostAddress}:${NETWORK.apiPort}`);
}

/** For the user's side, through the outer supervisor's port. */
export function adminConfig(paths: ClusterPaths, port: number): ClientConfig {
  return config(paths, { kind: 'admin' }, `https://127.0.0.1:${port}`);
}

/** Waits for the API server's first start to write the keys. */
export async function keysWritten(paths: ClusterPaths, component: Component, limitMs: number): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!fs.existsSync(tokenFile(paths, component)) && Date.now() < deadline) await Bun.sleep(20);
}
