/** A pod's volumes: directories of the node, filled from the API's objects and kept up to date while the pod runs. */
import fs from 'node:fs';
import path from 'node:path';
import type { ConfigMap, DownwardItem, KeyToPath, Pod, Secret, Volume, VolumeProjection } from '../../platform/kubernetes/index.ts';
import { fieldValue, type Lookup, type PodFacts } from './environment.ts';
import { type FileMap, writeProjection } from './projection.ts';

export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
  readonly pod: { readonly name: string; readonly uid: string };
}
export interface VolumeSources extends Lookup {
  token(request: TokenRequest): Promise<{ readonly token: string; readonly expirationTimestamp: string }>;
  /** `ca.crt` of the API server. */
  readonly caPem: string;
}
export interface VolumeDirs {
  /** On a tmpfs: secrets never reach a disk. */
  readonly volumes: string;
  /** On disk, for emptyDir. */
  readonly scratch: string;
  /** hostPath `/X` is this plus `/X`. */
  readonly host: string;
}

/** Reason FailedMount: tried again until what is missing exists. */
export class MountError extends Error {
  override readonly name = 'MountError';
}

/** Where Kubernetes puts every pod's own credentials. */
export const SERVICE_ACCOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
export const DEFAULT_TOKEN_VOLUME = 'lateen-kube-api-access';
const DEFAULT_TOKEN_SECONDS = 3607;
const REFRESH_FRACTION = 0.8;
const MIN_REFRESH_MS = 10_000;

interface IssuedToken {
  readonly token: string;
  readonly refreshAt: number;
}

export class PodVolumes {
  readonly #dirs: VolumeDirs;
  readonly #sources: VolumeSources;
  readonly #now: () => number;
  readonly #tokens = new Map<string, IssuedToken>();

  constructor(dirs: VolumeDirs, sources: VolumeSources, now: () => number = Date.now) {
    this.#now = now;
    this.#dirs = dirs;
    this.#sources = sources;
  }

  /** Makes every volume of the pod; returns its directory (or file, for a hostPath file) by volume name. Also refreshes what has changed. */
  async prepare(pod: Pod, facts: PodFacts): Promise<Map<string, string>> {
    const paths = new Map<string, string>();
    for (const volume of volumesOf(pod)) paths.set(volume.name, await this.#one(pod, volume, facts));
    return paths;
  }

  /** When a token has to be renewed next, in milliseconds since 1970. */
  nextRefresh(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#tokens.values()].map(({ refreshAt }) => refreshAt));
  }

  remove(): void {
    fs.rmSync(this.#dirs.volumes, { recursive: true, force: true });
    fs.rmSync(this.#dirs.scratch, { recursive: true, force: true });
  }

  async #one(pod: Pod, volume: Volume, facts: PodFacts): Promise<string> {
    if (volume.hostPath) return this.#hostPath(volume.name, volume.hostPath.path, volume.hostPath.type ?? '');
    if (volume.emptyDir) {
      const dir = path.join(volume.emptyDir.medium === 'Memory' ? this.#dirs.volumes : this.#dirs.scratch, volume.name);
      fs.mkdirSync(dir, { recursive: true });
      fs.chmodSync(dir, 0o777);
      return dir;
    }
    const dir = path.join(this.#dirs.volumes, volume.name);
    const namespace = pod.metadata?.namespace ?? 'default';
    if (volume.configMap) writeProjection(dir, this.#configMapFiles(namespace, volume.configMap, volume.configMap.defaultMode));
    else if (volume.secret) {
      const { secretName, ...rest } = volume.secret;
      writeProjection(
        dir,
        this.#secretFiles(namespace, { ...rest, ...(secretName !== undefined && { name: secretName }) }, volume.secret.defaultMode),
      );
    } else if (volume.downwardAPI)
      writeProjection(dir, downwardFiles(pod, volume.downwardAPI.items, facts, volume.downwardAPI.defaultMode));
    else if (volume.projected) {
      const files: FileMap = new Map();
      for (const source of volume.projected.sources ?? []) {
        for (const [name, file] of await this.#projected(pod, source, facts, volume.projected.defaultMode)) files.set(name, file);
      }
      writeProjection(dir, files);
    } else
      throw new MountError(
        `volume "${volume.name}" has a type the embedded cluster does not support (it has emptyDir, configMap, secret, downwardAPI, hostPath and projected)`,
      );
    return dir;
  }

  async #projected(pod: Pod, source: VolumeProjection, facts: PodFacts, mode: number | undefined): Promise<FileMap> {
    const namespace = pod.metadata?.namespace ?? 'default';
    if (source.configMap) {
      // The cluster's own certificate is known here: no pod has to wait for the object.
      if (source.configMap.name === 'kube-root-ca.crt' && this.#sources.configMap(namespace, 'kube-root-ca.crt') === undefined) {
        return new Map([['ca.crt', { data: Buffer.from(this.#sources.caPem), mode: mode ?? 0o644 }]]);
      }
      return this.#configMapFiles(namespace, source.configMap, mode);
    }
    if (source.secret) return this.#secretFiles(namespace, source.secret, mode);
    if (source.downwardAPI) return downwardFiles(pod, source.downwardAPI.items, facts, mode);
    if (source.serviceAccountToken) {
      const token = await this.#token(pod, source.serviceAccountToken.audience, source.serviceAccountToken.expirationSeconds ?? 3600);
      return new Map([[source.serviceAccountToken.path, { data: Buffer.from(token), mode: mode ?? 0o644 }]]);
    }
    return new Map();
  }

  async #token(pod: Pod, audience: string | undefined, expirationSeconds: number): Promise<string> {
    const key = `${audience ?? ''} ${expirationSeconds}`;
    const had = this.#tokens.get(key);
    if (had !== undefined && this.#now() < had.refreshAt) return had.token;
    const { name, namespace = 'default', uid } = pod.metadata ?? {};
    try {
      const issued = await this.#sources.token({
        namespace,
        serviceAccount: pod.spec?.serviceAccountName ?? 'default',
        audience,
        expirationSeconds,
        pod: { name: name ?? '', uid: uid ?? '' },
      });
      const life = Date.parse(issued.expirationTimestamp) - this.#now();
      this.#tokens.set(key, { token: issued.token, refreshAt: this.#now() + Math.max(MIN_REFRESH_MS, life * REFRESH_FRACTION) });
      return issued.token;
    } catch (error) {
      if (had === undefined) throw new MountError(`failed to fetch token: ${(error as Error).message}`);
      this.#tokens.set(key, { ...had, refreshAt: this.#now() + MIN_REFRESH_MS }); // the old one is good for a while: try again soon
      return had.token;
    }
  }

  #configMapFiles(
    namespace: string,
    source: { readonly name?: string; readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
    mode: number | undefined,
  ): FileMap {
    const object: ConfigMap | undefined = this.#sources.configMap(namespace, source.name ?? '');
    if (object === undefined && source.optional !== true) throw new MountError(`configmap "${source.name}" not found`);
    const data = new Map<string, Buffer>();
    for (const [key, value] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(value, 'utf8'));
    for (const [key, value] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(value, 'base64'));
    return pick(data, source.items, mode, source.optional === true, `configmap "${source.name}"`);
  }

  #secretFiles(
    namespace: string,
    source: { readonly name?: string; readonly items?: readonly KeyToPath[]; readonly optional?: boolean },
    mode: number | undefined,
  ): FileMap {
    const object: Secret | undefined = this.#sources.secret(namespace, source.name ?? '');
    if (object === undefined && source.optional !== true) throw new MountError(`secret "${source.name}" not found`);
    const data = new Map(Object.entries(object?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const));
    return pick(data, source.items, mode, source.optional === true, `secret "${source.name}"`);
  }

  #hostPath(name: string, hostPath: string, type: string): string {
    const normal = path.normalize(`/${hostPath}`);
    const at = path.join(this.#dirs.host, normal);
    const isFile = type.startsWith('File');
    if (!fs.existsSync(at)) {
      if (type === 'Directory' || type === 'File' || type === 'Socket')
        throw new MountError(`hostPath type check failed: ${normal} is not a ${type.toLowerCase()} (volume "${name}")`);
      fs.mkdirSync(isFile ? path.dirname(at) : at, { recursive: true });
      if (isFile) fs.writeFileSync(at, '');
    }
    return at;
  }
}

/** The pod's volumes, and its default credentials when admission did not already add them. */
export function volumesOf(pod: Pod): readonly Volume[] {
  const volumes = pod.spec?.volumes ?? [];
  if (pod.spec?.automountServiceAccountToken === false) return volumes;
  const token: Volume = {
    name: DEFAULT_TOKEN_VOLUME,
    projected: {
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: DEFAULT_TOKEN_SECONDS } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
  return [...volumes, token];
}

function downwardFiles(pod: Pod, items: readonly DownwardItem[] | undefined, facts: PodFacts, mode: number | undefined): FileMap {
  const files: FileMap = new Map();
  for (const item of items ?? [])
    files.set(item.path, {
      data: Buffer.from(item.fieldRef ? fieldValue(pod, item.fieldRef.fieldPath, facts) : ''),
      mode: item.mode ?? mode ?? 0o644,
    });
  return files;
}

function pick(
  data: ReadonlyMap<string, Buffer>,
  items: readonly KeyToPath[] | undefined,
  mode: number | undefined,
  optional: boolean,
  what: string,
): FileMap {
  const files: FileMap = new Map();
  if (items === undefined) for (const [key, value] of data) files.set(key, { data: value, mode: mode ?? 0o644 });
  for (const item of items ?? []) {
    const value = data.get(item.key);
    if (value !== undefined) files.set(item.path, { data: value, mode: item.mode ?? mode ?? 0o644 });
    else if (!optional) throw new MountError(`${what} has no key "${item.key}"`);
  }
  return files;
}
