/**
 * What a run of the tests makes outside of itself, written down by identity, so that the next run can take away what one that was killed has left:
 * processes by number and start, namespaces by inode and time, clusters by their own folder. Never by name, which a run that is alive may be using.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dir, '../..');

export type Leftover =
  | { readonly kind: 'process'; readonly pid: number; readonly start: string }
  | { readonly kind: 'namespace'; readonly name: string; readonly identity: string }
  | { readonly kind: 'cluster'; readonly folder: string; readonly env: Readonly<Record<string, string>> };

const folder = (): string => process.env['LATEEN_E2E_LEFTOVERS'] ?? path.join(os.tmpdir(), `lateen-e2e-leftovers-${process.getuid?.()}`);

/** When a process began, in the kernel's ticks; undefined when there is none. Numbers are used again, these two together are not. */
export function startOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the start is the 22nd field.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Which namespace a name stands for; undefined for none. Inodes are used again, so with the time it was made. */
function identityOf(namespace: string): string | undefined {
  try {
    const { ino, ctimeMs } = fs.statSync(`/run/netns/${namespace}`);
    return `${ino} ${ctimeMs}`;
  } catch {
    return undefined;
  }
}

let own: string | undefined;

function remember(leftover: Leftover): void {
  if (own === undefined) {
    fs.mkdirSync(folder(), { recursive: true, mode: 0o700 });
    sweep();
    const file = path.join(folder(), `${process.pid}-${startOf(process.pid)}`);
    own = file;
    process.on('exit', () => fs.rmSync(file, { force: true }));
  }
  fs.appendFileSync(own, `${JSON.stringify(leftover)}\n`);
}

export function rememberProcess(pid: number): void {
  const start = startOf(pid);
  if (start !== undefined) remember({ kind: 'process', pid, start });
}

export const rememberNamespace = (name: string): void => remember({ kind: 'namespace', name, identity: identityOf(name) ?? '' });

export const rememberCluster = (home: string, env: Readonly<Record<string, string>>): void =>
  remember({ kind: 'cluster', folder: home, env });

/** Takes away what runs that are no more have left. */
export function sweep(): void {
  if (!fs.existsSync(folder())) return;
  for (const name of fs.readdirSync(folder())) {
    const [pid = '', start = ''] = name.split('-');
    if (startOf(Number(pid)) === start) continue;
    const claimed = path.join(folder(), `${process.pid}-${startOf(process.pid)}-${name}`);
    try {
      fs.renameSync(path.join(folder(), name), claimed);
    } catch {
      continue; // another run was faster
    }
    const left = fs.readFileSync(claimed, 'utf8').split('\n').filter(Boolean);
    for (const line of left.reverse()) remove(JSON.parse(line) as Leftover);
    fs.rmSync(claimed, { force: true });
  }
}

function remove(leftover: Leftover): void {
  switch (leftover.kind) {
    case 'process':
      if (startOf(leftover.pid) === leftover.start) process.kill(leftover.pid, 'SIGKILL');
      return;
    case 'namespace':
      if (identityOf(leftover.name) === leftover.identity) Bun.spawnSync(['ip', 'netns', 'del', leftover.name]);
      return;
    case 'cluster':
      if (!fs.existsSync(leftover.folder)) return;
      Bun.spawnSync([path.join(ROOT, 'bin/lateen'), 'down'], { env: { ...process.env, ...leftover.env }, timeout: 60_000 });
      fs.rmSync(leftover.folder, { recursive: true, force: true });
  }
}
