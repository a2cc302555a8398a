import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { parse } from 'yaml';

/** How to run a credential plugin (`client.authentication.k8s.io`). */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly installHint?: string;
  readonly provideClusterInfo: boolean;
  readonly interactiveMode: string;
}

/** Everything needed to reach one API server as one user. Certificates and keys are PEM text. */
export interface ClientConfig {
  readonly server: string;
  readonly caPem?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly proxyUrl?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  readonly token?: string;
  /** Read again for each use, so a rotated token is picked up. */
  readonly tokenFile?: string;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly exec?: ExecPlugin;
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[]; readonly uid?: string };
  /** The context's default namespace. */
  readonly namespace: string;
  /** Context name, or `in-cluster`. */
  readonly context: string;
}

export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
}

type Entry = Record<string, unknown>;
export interface NamedEntry {
  readonly name: string;
  readonly value: Entry;
  /** The folder relative paths are resolved against. */
  readonly folder: string;
}

/** Several kubeconfig files seen as one, by kubectl's rule: the first file that names a thing wins. */
export interface MergedKubeConfig {
  readonly currentContext: string;
  readonly contexts: ReadonlyMap<string, NamedEntry>;
  readonly clusters: ReadonlyMap<string, NamedEntry>;
  readonly users: ReadonlyMap<string, NamedEntry>;
}

export interface LoadOptions {
  /** As `--kubeconfig`: only this file, which must exist. */
  readonly kubeconfig?: string;
  /** As `--context`. */
  readonly context?: string;
  readonly serviceAccountDir?: string;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The files of `$KUBECONFIG`, or `~/.kube/config`. */
export function kubeConfigPaths(env: NodeJS.ProcessEnv): string[] {
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  return listed.length > 0 ? [...new Set(listed)] : [join(env['HOME'] ?? homedir(), '.kube', 'config')];
}

/** Parses and merges kubeconfig files; files that do not exist are skipped, as kubectl does. */
export function mergeKubeConfigs(paths: readonly string[]): MergedKubeConfig {
  let currentContext = '';
  const merged = { contexts: new Map<string, NamedEntry>(), clusters: new Map<string, NamedEntry>(), users: new Map<string, NamedEntry>() };
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const config = readKubeConfigFile(path);
    if (currentContext === '' && typeof config['current-context'] === 'string') currentContext = config['current-context'];
    collect(config['contexts'], 'context', path, merged.contexts);
    collect(config['clusters'], 'cluster', path, merged.clusters);
    collect(config['users'], 'user', path, merged.users);
  }
  return { currentContext, ...merged };
}

/** One kubeconfig file as a plain object; an empty file is an empty configuration. */
export function readKubeConfigFile(path: string): Entry {
  let config: unknown;
  try {
    config = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new KubeConfigError(
      `kubeconfig ${path} cannot be read: ${(error as Error).message}. Repair it or point KUBECONFIG at another file.`,
      { cause: error },
    );
  }
  if (config === null || config === undefined) return {};
  if (typeof config !== 'object' || Array.isArray(config))
    throw new KubeConfigError(`kubeconfig ${path} is not a mapping. Repair it or point KUBECONFIG at another file.`);
  return config as Entry;
}

function collect(list: unknown, field: string, path: string, into: Map<string, NamedEntry>): void {
  if (!Array.isArray(list)) return;
  for (const item of list as unknown[]) {
    const name = (item as Entry | null)?.['name'];
    if (typeof name !== 'string' || into.has(name)) continue;
    into.set(name, { name, value: ((item as Entry)[field] ?? {}) as Entry, folder: dirname(resolve(path)) });
  }
}

/**
 * Which API server to talk to, and as whom: `options.kubeconfig`, then `$KUBECONFIG`, then the pod's own service account when
 * running in a cluster, then `~/.kube/config`. (kubectl looks at the home directory before the service account; a pod whose
 * home directory is a user's must not become that user.)
 */
export function loadKubeConfig(env: NodeJS.ProcessEnv, options: LoadOptions = {}): ClientConfig {
  if (options.kubeconfig !== undefined && !existsSync(options.kubeconfig))
    throw new KubeConfigError(`kubeconfig ${options.kubeconfig} does not exist.`);
  const explicit = options.kubeconfig !== undefined || (env['KUBECONFIG'] ?? '') !== '';
  if (!explicit && options.context === undefined) {
    const inCluster = loadInCluster(env, options.serviceAccountDir ?? SERVICE_ACCOUNT_DIR);
    if (inCluster !== undefined) return inCluster;
  }
  const paths = options.kubeconfig !== undefined ? [options.kubeconfig] : kubeConfigPaths(env);
  const merged = mergeKubeConfigs(paths);
  const context = options.context ?? merged.currentContext;
  if (context === '') {
    throw new KubeConfigError(
      `No current context in ${paths.join(', ')}. Start the embedded cluster with "lateen up", choose one with "kubectl config use-context NAME", or set KUBECONFIG.`,
    );
  }
  return resolveContext(merged, context);
}

/** The pod's own identity, when there is one. */
export function loadInCluster(env: NodeJS.ProcessEnv, dir: string = SERVICE_ACCOUNT_DIR): ClientConfig | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  const tokenFile = join(dir, 'token');
  if (!host || !port || !existsSync(tokenFile)) return undefined;
  const namespaceFile = join(dir, 'namespace');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    caPem: readFileSync(join(dir, 'ca.crt'), 'utf8'),
    insecureSkipTlsVerify: false,
    tokenFile,
    namespace: existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8').trim() : 'default',
    context: 'in-cluster',
  };
}

/** One context of a merged configuration, with its files read. */
export function resolveContext(merged: MergedKubeConfig, name: string): ClientConfig {
  const context = merged.contexts.get(name);
  if (context === undefined)
    throw new KubeConfigError(`The kubeconfig has no context "${name}"; it has: ${[...merged.contexts.keys()].join(', ') || 'none'}.`);
  const clusterName = text(context.value['cluster']) ?? '';
  const cluster = merged.clusters.get(clusterName);
  const server = text(cluster?.value['server']);
  if (cluster === undefined || server === undefined)
    throw new KubeConfigError(`Context "${name}" names cluster "${clusterName}", which the kubeconfig does not define with a server.`);
  const userName = text(context.value['user']) ?? '';
  const user = merged.users.get(userName) ?? { name: userName, value: {}, folder: context.folder };
  if (user.value['auth-provider'] !== undefined) {
    throw new KubeConfigError(
      `User "${userName}" uses auth-provider, which Kubernetes removed. Use its credential plugin (exec) or a token instead.`,
    );
  }
  const caPem = pem(cluster, 'certificate-authority');
  const clientCertPem = pem(user, 'client-certificate');
  const clientKeyPem = pem(user, 'client-key');
  const tokenFile = text(user.value['tokenFile']);
  const token = text(user.value['token']);
  const tlsServerName = text(cluster.value['tls-server-name']);
  const proxyUrl = text(cluster.value['proxy-url']);
  const username = text(user.value['username']);
  const impersonated = text(user.value['as']);
  const impersonatedUid = text(user.value['as-uid']);
  return {
    server: server.replace(/\/+$/, ''),
    insecureSkipTlsVerify: cluster.value['insecure-skip-tls-verify'] === true,
    ...(caPem !== undefined && { caPem }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(proxyUrl !== undefined && { proxyUrl }),
    ...(clientCertPem !== undefined && { clientCertPem }),
    ...(clientKeyPem !== undefined && { clientKeyPem }),
    ...(tokenFile !== undefined ? { tokenFile: absolute(tokenFile, user.folder) } : token !== undefined && { token }),
    ...(username !== undefined && { basic: { username, password: text(user.value['password']) ?? '' } }),
    ...(user.value['exec'] !== undefined && { exec: execPlugin(user) }),
    ...(impersonated !== undefined && {
      impersonate: {
        user: impersonated,
        groups: strings(user.value['as-groups']),
        ...(impersonatedUid !== undefined && { uid: impersonatedUid }),
      },
    }),
    namespace: text(context.value['namespace']) ?? 'default',
    context: name,
  };
}

function execPlugin(user: NamedEntry): ExecPlugin {
  const exec = user.value['exec'] as Entry;
  const command = text(exec['command']);
  const apiVersion = text(exec['apiVersion']);
  if (command === undefined || apiVersion === undefined)
    throw new KubeConfigError(`User "${user.name}": exec needs the fields command and apiVersion.`);
  const installHint = text(exec['installHint']);
  return {
    apiVersion,
    command: command.includes('/') ? absolute(command, user.folder) : command,
    args: strings(exec['args']),
    env: (Array.isArray(exec['env']) ? (exec['env'] as Entry[]) : []).map((item) => ({
      name: String(item['name']),
      value: String(item['value'] ?? ''),
    })),
    ...(installHint !== undefined && { installHint }),
    provideClusterInfo: exec['provideClusterInfo'] === true,
    interactiveMode: text(exec['interactiveMode']) ?? 'IfAvailable',
  };
}

/** `<field>-data` (base64) wins over the file `<field>` names. */
function pem(entry: NamedEntry, field: string): string | undefined {
  const data = text(entry.value[`${field}-data`]);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const path = text(entry.value[field]);
  if (path === undefined) return undefined;
  const file = absolute(path, entry.folder);
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new KubeConfigError(`${field} of "${entry.name}" cannot be read from ${file}: ${(error as Error).message}`, { cause: error });
  }
}

const text = (value: unknown): string | undefined => (value === undefined || value === null || value === '' ? undefined : String(value));
const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const absolute = (path: string, folder: string): string => (isAbsolute(path) ? path : join(folder, path));
