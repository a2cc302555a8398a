/** Turns a container's spec into what is needed to start it. */
import fs from 'node:fs';
import path from 'node:path';
import type { Container, Pod } from '../../platform/kubernetes/index.ts';
import { NETWORK } from '../config.ts';
import { readText } from '../files.ts';
import type { StartRequest } from './container-process.ts';
import type { Mount } from './container-script.ts';
import { containerEnvironment, expand, type PodFacts } from './environment.ts';
import type { ImageFile } from './image-directory.ts';
import { resolveImage } from './images.ts';
import { planMounts } from './mount-plan.ts';
import type { NodeContext } from './node-context.ts';
import { DEFAULT_TOKEN_VOLUME, SERVICE_ACCOUNT_PATH } from './volumes.ts';

export class ImageError extends Error {
  override readonly name = 'ImageError';
}

export type ContainerSetup = Pick<StartRequest, 'mounts' | 'argv' | 'env' | 'workingDir' | 'identity' | 'path'>;

export function containerSetup(
  context: NodeContext,
  pod: Pod,
  container: Container,
  facts: PodFacts,
  volumes: ReadonlyMap<string, string>,
  podDir: string,
): ContainerSetup {
  const image = resolveImage(container, context.images());
  if (!image.ok) throw new ImageError(image.message);
  const hostname = podHostname(pod);
  const env = containerEnvironment(pod, container, facts, context.sources, {
    ...context.containerEnv,
    ...image.env,
    HOSTNAME: pod.spec?.hostNetwork === true ? facts.nodeName : hostname,
    KUBERNETES_SERVICE_HOST: NETWORK.kubernetesService,
    KUBERNETES_SERVICE_PORT: '443',
    KUBERNETES_SERVICE_PORT_HTTPS: '443',
    KUBERNETES_PORT: `tcp://${NETWORK.kubernetesService}:443`,
  });
  const argv = image.argv.map((word) => expand(word, env));
  const workingDir = container.workingDir ?? image.workingDir ?? '/';
  const program = argv[0] ?? '';
  const PATH = env['PATH'] ?? '';
  const mountsCover = (at: string): boolean => (container.volumeMounts ?? []).some(({ mountPath }) => at.startsWith(mountPath));
  const candidates = program.includes('/')
    ? [path.resolve(workingDir, program)]
    : PATH.split(':').map((directory) => path.join(directory, program));
  const isInImage = image.files.some(({ target }) => candidates.includes(target));
  if (!isInImage && !mountsCover(program) && Bun.which(program, { PATH, cwd: fs.existsSync(workingDir) ? workingDir : '/' }) === null) {
    throw new StartError(
      `exec: "${program}": ${program.includes('/') ? 'no such file or directory' : 'executable file not found in $PATH'} (it has to exist on this machine)`,
    );
  }
  return {
    mounts: planMounts(withImageFiles(mountsOf(container, volumes, podDir), image.files)),
    argv,
    env,
    workingDir,
    identity: identityOf(pod, container),
    path: PATH,
  };
}

/** Reason RunContainerError: the program cannot be started; counts as a failed run. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

function mountsOf(container: Container, volumes: ReadonlyMap<string, string>, podDir: string): Mount[] {
  const mounts: Mount[] = [];
  for (const mount of container.volumeMounts ?? []) {
    const volume = volumes.get(mount.name);
    if (volume === undefined) throw new StartError(`volumeMount "${mount.mountPath}" names a volume "${mount.name}" the pod does not have`);
    const source = mount.subPath === undefined ? volume : path.join(volume, path.normalize(`/${mount.subPath}`));
    if (!fs.existsSync(source)) fs.mkdirSync(source, { recursive: true });
    mounts.push({
      source: fs.realpathSync(source),
      target: path.normalize(mount.mountPath).replace(/(.)\/$/, '$1'),
      readOnly: mount.readOnly === true,
      isFile: !fs.statSync(source).isDirectory(),
    });
  }
  const hasTarget = (target: string): boolean => mounts.some((mount) => mount.target === target);
  const token = volumes.get(DEFAULT_TOKEN_VOLUME);
  if (token !== undefined && !hasTarget(SERVICE_ACCOUNT_PATH))
    mounts.push({ source: token, target: SERVICE_ACCOUNT_PATH, readOnly: true, isFile: false });
  for (const name of ['hosts', 'resolv.conf', 'hostname']) {
    if (!hasTarget(`/etc/${name}`))
      mounts.push({ source: path.join(podDir, 'etc', name), target: `/etc/${name}`, readOnly: false, isFile: true });
  }
  return mounts;
}

/** A volume hides what the image has at or below its mount point. */
function withImageFiles(mounts: readonly Mount[], files: readonly ImageFile[]): Mount[] {
  const isHidden = (at: string): boolean => mounts.some(({ target }) => at === target || at.startsWith(`${target}/`));
  return [...mounts, ...files.filter(({ target }) => !isHidden(target)).map((file) => ({ ...file, readOnly: true, isFile: true }))];
}

/** Writes what every container of the pod sees as its own hosts, resolv.conf and hostname. */
export function writePodFiles(pod: Pod, podDir: string, podIP: string): void {
  const etc = path.join(podDir, 'etc');
  fs.mkdirSync(etc, { recursive: true });
  fs.writeFileSync(path.join(etc, 'hosts'), hostsFile(pod, podIP));
  fs.writeFileSync(path.join(etc, 'resolv.conf'), resolvConf(pod, readText('/etc/resolv.conf') ?? ''));
  fs.writeFileSync(path.join(etc, 'hostname'), `${podHostname(pod)}\n`);
}

export const podHostname = (pod: Pod): string => (pod.spec?.hostname ?? pod.metadata?.name ?? 'pod').slice(0, 63).replace(/[-.]+$/, '');

export function hostsFile(pod: Pod, podIP: string): string {
  const hostname = podHostname(pod);
  const { subdomain } = pod.spec ?? {};
  const full =
    subdomain === undefined ? hostname : `${hostname}.${subdomain}.${pod.metadata?.namespace}.svc.${NETWORK.domain}\t${hostname}`;
  const aliases = (pod.spec?.hostAliases ?? []).map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}\n`).join('');
  return `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${podIP}\t${full}\n${aliases}`;
}

export function resolvConf(pod: Pod, host: string): string {
  const { dnsPolicy = 'ClusterFirst', dnsConfig, hostNetwork } = pod.spec ?? {};
  const cluster = dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && hostNetwork !== true);
  const domain = NETWORK.domain;
  const nameservers: string[] = cluster ? [NETWORK.dnsService] : [];
  const searches: string[] = cluster ? [`${pod.metadata?.namespace ?? 'default'}.svc.${domain}`, `svc.${domain}`, domain] : [];
  const options: string[] = cluster ? ['ndots:5'] : [];
  if (!cluster && dnsPolicy !== 'None') {
    for (const line of host.split('\n')) {
      const [word, ...rest] = line.trim().split(/\s+/);
      if (word === 'nameserver') nameservers.push(...rest);
      else if (word === 'search') searches.push(...rest);
    }
  }
  nameservers.push(...(dnsConfig?.nameservers ?? []));
  searches.push(...(dnsConfig?.searches ?? []));
  for (const { name = '', value } of dnsConfig?.options ?? []) {
    const text = value === undefined ? name : `${name}:${value}`;
    const same = options.findIndex((option) => option.split(':')[0] === name);
    if (same >= 0) options[same] = text;
    else options.push(text);
  }
  const lines = [...nameservers.map((server) => `nameserver ${server}`)];
  if (searches.length > 0) lines.push(`search ${searches.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

/** setpriv's arguments, where this process may become that user: as root, or for ids the user namespace maps. */
function identityOf(pod: Pod, container: Container): string[] {
  const user = container.securityContext?.runAsUser ?? pod.spec?.securityContext?.runAsUser;
  const group = container.securityContext?.runAsGroup ?? pod.spec?.securityContext?.runAsGroup;
  const flags: string[] = [];
  if (user !== undefined && user !== 0 && isMapped('uid', user)) flags.push('--reuid', String(user));
  if (group !== undefined && group !== 0 && isMapped('gid', group)) flags.push('--regid', String(group));
  return flags.length === 0 || Bun.which('setpriv', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }) === null ? [] : [...flags, '--clear-groups'];
}

function isMapped(kind: 'uid' | 'gid', id: number): boolean {
  return (readText(`/proc/self/${kind}_map`) ?? '').split('\n').some((line) => {
    const [first, , count] = line.trim().split(/\s+/).map(Number);
    return first !== undefined && count !== undefined && id >= first && id < first + count;
  });
}
