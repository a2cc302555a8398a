/** Can this machine run a cluster? Answers with one sentence and the remedy before anything is started. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { ClusterError } from '../error.ts';
import { readText } from '../files.ts';

/** Programs of the system that are called, and the package of each family of distributions that has them. */
const PROGRAMS: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  nft: 'nftables',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'util-linux',
};
const INSTALLERS: readonly (readonly [program: string, command: string, names: Readonly<Record<string, string>>])[] = [
  ['apt-get', 'apt-get install -y', {}],
  ['dnf', 'dnf install -y', { iproute2: 'iproute' }],
  ['yum', 'yum install -y', { iproute2: 'iproute' }],
  ['zypper', 'zypper install -y', {}],
  ['pacman', 'pacman -S --noconfirm', {}],
  ['apk', 'apk add', {}],
];
/** Administration programs live in `sbin`, which is not on every user's PATH. */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export function systemPath(env: NodeJS.ProcessEnv): string {
  const entries = (env['PATH'] ?? '').split(':').filter((entry) => entry !== '');
  return [...entries, ...SYSTEM_PATH.filter((entry) => !entries.includes(entry))].join(':');
}

const UNSHARE = 'unshare';
const NAMESPACES = ['--net', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];
const ROOTLESS = ['--user', '--map-root-user', ...NAMESPACES];

/** Checks the system and returns the command that opens the cluster's private namespaces. */
export function preflight(env: NodeJS.ProcessEnv, platform: string = process.platform): string[] {
  if (platform !== 'linux') {
    throw new ClusterError(
      'UNSUPPORTED_SYSTEM',
      `The embedded cluster runs on Linux only (x86-64 or arm64, kernel 5.11 or newer), this is ${platform}. Use a Linux machine, a Linux VM, or WSL 2 on Windows.`,
    );
  }
  const PATH = systemPath(env);
  const missing = Object.keys(PROGRAMS).filter((program) => Bun.which(program, { PATH }) === null);
  if (missing.length > 0)
    throw new ClusterError(
      'MISSING_PROGRAM',
      missingPrograms(missing, (program) => Bun.which(program, { PATH }) !== null, isRoot()),
    );
  const attempts = isRoot() ? [NAMESPACES, ROOTLESS] : [ROOTLESS];
  let reason = '';
  for (const flags of attempts) {
    const run = spawnSync(UNSHARE, [...flags, 'true'], { env: { PATH }, encoding: 'utf8' });
    if (run.status === 0) return [UNSHARE, ...flags];
    reason ||= run.stderr.trim().split('\n')[0] ?? '';
  }
  throw new ClusterError(
    'NO_PERMISSION',
    namespaceRemedy(reason, isRoot(), (file) => readText(file)?.trim()),
  );
}

const isRoot = (): boolean => process.getuid?.() === 0;

export function missingPrograms(missing: readonly string[], has: (program: string) => boolean, root: boolean): string {
  const installer = INSTALLERS.find(([program]) => has(program));
  const packages = [...new Set(missing.map((program) => PROGRAMS[program] ?? program))];
  const list = missing.map((program) => `\`${program}\``).join(' and ');
  if (installer === undefined)
    return `The program ${list} is not installed. Install ${packages.join(' and ')} with this system's package manager.`;
  const names = packages.map((name) => installer[2][name] ?? name).join(' ');
  return `The program ${list} is not installed. Run: ${root ? '' : 'sudo '}${installer[1]} ${names}`;
}

export function namespaceRemedy(reason: string, root: boolean, read: (file: string) => string | undefined): string {
  const what = `This system does not let ${root ? 'this process' : 'users'} create network namespaces (${reason || 'unshare failed'}).`;
  if (root)
    return `${what} In a container, start it with --privileged (or --cap-add SYS_ADMIN --cap-add NET_ADMIN and no seccomp profile).`;
  const switches: readonly (readonly [string, string, string])[] = [
    ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1', 'kernel.apparmor_restrict_unprivileged_userns=0'],
    ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone=1'],
    ['/proc/sys/user/max_user_namespaces', '0', 'user.max_user_namespaces=15000'],
  ];
  for (const [file, bad, setting] of switches) {
    if (read(file) === bad) return `${what} Run: sudo sysctl -w ${setting} (or run the command as root).`;
  }
  return `${what} Run the command as root.`;
}

/** Refuses a state directory that the private tmpfs over /run would hide. */
export function checkStateDir(state: string): void {
  let real = state;
  try {
    real = fs.realpathSync(state);
  } catch {
    // not created yet: the path as given is all there is to judge
  }
  if (/^(\/var)?\/run(\/|$)/.test(real)) {
    throw new ClusterError(
      'BAD_OPTION',
      `The state directory ${state} lies under /run, which the cluster covers with its own. Set LATEEN_STATE_DIR to a directory elsewhere.`,
    );
  }
}

/** The objects, the logs and what pods write to emptyDir volumes. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;

/** Refuses a disk that is full before it is found out half-way. The directory exists. */
export function checkFreeSpace(
  state: string,
  stat: (path: string) => { readonly bavail: number; readonly bsize: number } = fs.statfsSync,
): void {
  const { bavail, bsize } = stat(state);
  const free = bavail * bsize;
  if (free >= MIN_FREE_BYTES) return;
  throw new ClusterError(
    'NO_DISK_SPACE',
    `Only ${Math.floor(free / 1024 / 1024)} MiB are free for ${state}, the cluster needs at least ${MIN_FREE_BYTES / 1024 / 1024}. Free some or set LATEEN_STATE_DIR to a directory on another disk.`,
  );
}
