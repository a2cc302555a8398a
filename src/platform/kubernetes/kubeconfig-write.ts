import { chmodSync, closeSync, existsSync, mkdirSync, openSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { stringify } from 'yaml';
import { KubeConfigError, kubeConfigPaths, readKubeConfigFile } from './kubeconfig.ts';

/** A context to write: cluster, user and context share `name`, as kind does. */
export interface ContextEntry {
  readonly name: string;
  readonly server: string;
  readonly caPem: string;
  readonly token?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  readonly namespace?: string;
}

type Config = Record<string, unknown>;
type Named = { name: string } & Record<string, unknown>;
const SECTIONS = ['clusters', 'users', 'contexts'] as const;
/** kubectl's own lock file convention; a lock older than this was left by a process that died. */
const LOCK_STALE_MS = 10_000;
const LOCK_WAIT_MS = 15_000;

/** Adds or replaces the context in the first file of `$KUBECONFIG` (or `~/.kube/config`) and makes it current. Returns that file. */
export async function mergeContext(env: NodeJS.ProcessEnv, entry: ContextEntry): Promise<string> {
  const path = kubeConfigPaths(env)[0]!;
  await edit(path, (config) => {
    const user: Config = {};
    if (entry.token !== undefined) user['token'] = entry.token;
    if (entry.clientCertPem !== undefined) user['client-certificate-data'] = base64(entry.clientCertPem);
    if (entry.clientKeyPem !== undefined) user['client-key-data'] = base64(entry.clientKeyPem);
    put(config, 'clusters', { name: entry.name, cluster: { server: entry.server, 'certificate-authority-data': base64(entry.caPem) } });
    put(config, 'users', { name: entry.name, user });
    put(config, 'contexts', {
      name: entry.name,
      context: { cluster: entry.name, user: entry.name, ...(entry.namespace !== undefined && { namespace: entry.namespace }) },
    });
    config['current-context'] = entry.name;
    return true;
  });
  return path;
}

/** Removes the context, its cluster and its user from every file; a current context that named it becomes empty. */
export async function removeContext(env: NodeJS.ProcessEnv, name: string): Promise<void> {
  for (const path of kubeConfigPaths(env)) {
    if (!existsSync(path)) continue;
    await edit(path, (config) => {
      let changed = false;
      for (const section of SECTIONS) {
        const list = named(config, section);
        const kept = list.filter((item) => item.name !== name);
        if (kept.length === list.length) continue;
        config[section] = kept;
        changed = true;
      }
      if (config['current-context'] === name) {
        config['current-context'] = '';
        changed = true;
      }
      return changed;
    });
  }
}

function put(config: Config, section: (typeof SECTIONS)[number], item: Named): void {
  const list = named(config, section);
  const at = list.findIndex((other) => other.name === item.name);
  if (at < 0) list.push(item);
  else list[at] = item;
  config[section] = list;
}

const named = (config: Config, section: string): Named[] => (Array.isArray(config[section]) ? (config[section] as Named[]) : []);
const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

/** Reads, changes and replaces a file in one step for every reader, under kubectl's lock file. */
async function edit(path: string, change: (config: Config) => boolean): Promise<void> {
  const target = existsSync(path) ? realpathSync(path) : path; // a symbolic link stays one
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const lock = `${target}.lock`;
  await acquire(lock);
  try {
    const config = existsSync(target) ? readKubeConfigFile(target) : {};
    config['apiVersion'] ??= 'v1';
    config['kind'] ??= 'Config';
    if (!change(config)) return;
    const temporary = `${target}.lateen-${process.pid}`;
    // YAML 1.1 quoting, because kubectl's parser still reads a bare `on` or `1e3` as something else than text.
    writeFileSync(temporary, stringify(config, { version: '1.1', lineWidth: 0 }), { mode: 0o600 });
    chmodSync(temporary, 0o600);
    renameSync(temporary, target);
  } finally {
    rmSync(lock, { force: true });
  }
}

async function acquire(lock: string): Promise<void> {
  const deadline = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      closeSync(openSync(lock, 'wx', 0o600));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new KubeConfigError(
          `Cannot write beside the kubeconfig (${lock}): ${(error as Error).message}. Set KUBECONFIG to a file you may write.`,
          { cause: error },
        );
      }
    }
    if (isStale(lock)) rmSync(lock, { force: true });
    else if (Date.now() > deadline)
      throw new KubeConfigError(`The kubeconfig is locked by another program (${lock}). Remove that file if none is running.`);
    else await Bun.sleep(50);
  }
}

function isStale(lock: string): boolean {
  const file = Bun.file(lock);
  return existsSync(lock) && Date.now() - file.lastModified > LOCK_STALE_MS;
}
