/** The shell script that turns a fresh mount namespace into a container's view of the file system and then becomes its program. */

export interface Mount {
  readonly source: string;
  /** Absolute, without symbolic links. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly isFile: boolean;
}
/** Where a mount point has to come from, found out on the machine beforehand. */
export type Placement =
  | { readonly kind: 'existing' }
  /** Below /run, which is a new tmpfs in each container. */
  | { readonly kind: 'run' }
  /** Missing: made in a layer over the nearest directory that exists (`/` means a new root). */
  | { readonly kind: 'missing'; readonly over: string };
export interface ContainerScript {
  readonly mounts: readonly (Mount & { readonly placement: Placement })[];
  readonly pidFile: string;
  readonly errorFile: string;
  readonly workingDir: string;
  /** As `setpriv` takes them; empty when the process stays what it is. */
  readonly identity: readonly string[];
  readonly path: string;
}

export const shellQuote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const STAGE = '/run/lateen-stage';
const LAYER = '/run/lateen-layer';
const ROOT = '/run/lateen-root';

/** The program and its arguments are the script's own arguments. */
export function containerScript(script: ContainerScript): string {
  const mounts = [...script.mounts].sort((a, b) => a.target.split('/').length - b.target.split('/').length);
  const place = (kind: Placement['kind']) => mounts.filter((mount) => mount.placement.kind === kind);
  const missing = place('missing');
  const overRoot = missing.filter(({ placement }) => placement.kind === 'missing' && placement.over === '/');
  const overDirectory = missing.filter((mount) => !overRoot.includes(mount));
  const layers = [...new Set(overDirectory.map(({ placement }) => (placement.kind === 'missing' ? placement.over : '')))].sort();

  const lines = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH',
    `exec 8>${shellQuote(script.pidFile)} 9>${shellQuote(script.errorFile)}`,
    'fail() { echo "$*" >&9; exit 128; }',
    `mkdir -p ${STAGE} ${LAYER} ${ROOT} || fail "cannot prepare the mount namespace"`,
    `mount -n -t tmpfs -o mode=755 lateen ${LAYER} || fail "cannot mount a tmpfs"`,
    `mount -n -t tmpfs -o mode=755 lateen ${STAGE} || fail "cannot mount a tmpfs"`,
    ...place('run').map((mount) => bind(mount, `${STAGE}${mount.target.slice('/run'.length)}`, true)),
    ...layers.map((directory, index) => layer(directory, index)),
    ...place('existing').map((mount) => bind(mount, mount.target, false)),
    ...overDirectory.map((mount) => bind(mount, mount.target, true)),
  ];
  if (overRoot.length > 0) {
    lines.push(`mkdir ${STAGE}/lateen-root && mount -n -t tmpfs -o mode=755 lateen ${STAGE}/lateen-root || fail "cannot mount a new root"`);
  }
  // The sources lie below the old /run: held where they stay visible.
  const held = overRoot.map((mount, index) => ({ ...mount, source: `/run/lateen-held/${index}` }));
  for (const [index, mount] of overRoot.entries()) lines.push(bind({ ...mount, readOnly: false }, `${STAGE}/lateen-held/${index}`, true));
  lines.push(`mount -n --move ${STAGE} /run || fail "cannot cover /run"`);
  if (overRoot.length > 0) lines.push(MIRROR, ...held.map((mount) => bind(mount, `${ROOT}${mount.target}`, true)));
  lines.push(
    `echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" >&8`,
    'exec 8>&-',
    'shell=$(command -v sh) chroot=$(command -v chroot) setpriv=$(command -v setpriv)',
    `PATH=${shellQuote(script.path)}; export PATH`,
  );
  const enter = overRoot.length > 0 ? `"$chroot" ${ROOT} ` : '';
  const identity = script.identity.length > 0 ? `"$setpriv" ${script.identity.map(shellQuote).join(' ')} -- ` : '';
  lines.push(`exec ${enter}${identity}"$shell" -c 'cd "$1" || exit 126; shift; exec "$@"' sh ${shellQuote(script.workingDir)} "$@" 9>&-`);
  return `${lines.join('\n')}\n`;
}

function bind(mount: Mount, at: string, create: boolean): string {
  const target = shellQuote(at);
  const steps: string[] = [];
  if (create) {
    const parent = shellQuote(at.slice(0, at.lastIndexOf('/')) || '/');
    steps.push(mount.isFile ? `mkdir -p ${parent} && { [ -e ${target} ] || : > ${target}; }` : `mkdir -p ${target}`);
  }
  steps.push(`mount -n --${mount.isFile ? '' : 'r'}bind ${shellQuote(mount.source)} ${target}`);
  if (mount.readOnly) steps.push(`mount -n -o remount,bind,ro ${target}`);
  return `{ ${steps.join(' && ')}; } || fail "cannot mount ${mount.target.replaceAll(/["$`\\]/g, '')}"`;
}

/** An overlay where the kernel lets us, otherwise a tmpfs with a link to each thing that was there. */
function layer(directory: string, index: number): string {
  const at = shellQuote(directory);
  const own = `${LAYER}/${index}`;
  return `mkdir -p ${own}/upper ${own}/work ${own}/lower
mount -n -t overlay -o lowerdir=${at},upperdir=${own}/upper,workdir=${own}/work lateen ${at} 2>/dev/null || {
  mount -n --rbind / ${own}/lower && mount -n -t tmpfs -o mode=755 lateen ${at} || fail "cannot cover ${directory}"
  mkdir -p ${at}/.lateen && mount -n --move ${own}/lower ${at}/.lateen
  for e in ${at}/.lateen${at}/*; do ln -s "$e" ${at}/; done
}`;
}

/** A new root that shows every entry of the old one, for mount points directly below `/`. */
const MIRROR = `for e in /* /.[!.]*; do
  n=\${e#/}
  if [ -L "$e" ]; then ln -s "$(readlink "$e")" "${ROOT}/$n"
  elif [ -d "$e" ]; then mkdir "${ROOT}/$n" && mount -n --rbind "$e" "${ROOT}/$n"
  elif [ -f "$e" ]; then : > "${ROOT}/$n" && mount -n --bind "$e" "${ROOT}/$n"
  fi || fail "cannot mirror $e"
done`;
