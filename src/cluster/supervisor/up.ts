/** `lateen up`: from nothing, or from whatever is there, to a cluster that answers. */
import fs from 'node:fs';
import path from 'node:path';
import {
  applyManifests,
  DaemonSetKind,
  DeploymentKind,
  KubeClient,
  type KubeObject,
  LeaseKind,
  mergeContext,
  NodeKind,
  parseManifests,
  type UnknownObject,
} from '../../platform/kubernetes/index.ts';
import { adminConfig } from '../client-config.ts';
import { isConditionTrue, LEASE_NAMESPACE } from '../conditions.ts';
import {
  type ClusterPaths,
  checkName,
  clusterName,
  clusterPaths,
  contextName,
  DEFAULT_PORT,
  MAX_NODES,
  readConfig,
  writeConfig,
} from '../config.ts';
import { ClusterError, type ClusterErrorCode, explainFileError, messageOf } from '../error.ts';
import { readJson } from '../files.ts';
import { isRunning, processRef } from '../processes.ts';
import { clusterProgram, MESH_MANIFEST } from '../program.ts';
import type { ClusterOptions } from './down.ts';
import { runningSupervisor } from './inspect.ts';
import type { SupervisorRecord } from './outer.ts';
import { checkFreeSpace, checkStateDir, preflight, systemPath } from './preflight.ts';

export interface UpOptions extends ClusterOptions {
  readonly nodes?: number;
  /** Wanted port on 127.0.0.1; when given it has to be free. */
  readonly port?: number;
  /** Files applied after the mesh. */
  readonly manifests?: readonly string[];
  /** `NAME=COMMAND`: the program that stands for an image. */
  readonly images?: readonly string[];
  /** Apply deploy/mesh.yaml and wait for it (the default). */
  readonly mesh?: boolean;
}
export interface UpProgress {
  readonly stage: 'start' | 'api' | 'nodes' | 'kubeconfig' | 'mesh' | 'manifests' | 'ready';
  readonly message: string;
  readonly elapsedMs: number;
}
export interface UpResult {
  readonly name: string;
  readonly server: string;
  readonly kubeconfig: string;
  readonly context: string;
  /** False when it was up before. */
  readonly started: boolean;
  readonly nodes: readonly string[];
}

const DEFAULT_NODES = 2;
const LIMITS_MS = { supervisor: 10_000, api: 45_000, nodes: 45_000, workloads: 120_000 } as const;
const POLL_MS = 40;

export async function up(options: UpOptions = {}, progress: (event: UpProgress) => void = () => {}): Promise<UpResult> {
  const began = Date.now();
  const tell = (stage: UpProgress['stage'], message: string): void => progress({ stage, message, elapsedMs: Date.now() - began });
  const name = options.name ?? clusterName(options.env ?? process.env);
  checkName(name);
  const env = { ...(options.env ?? process.env), LATEEN_CLUSTER: name };
  const paths = clusterPaths(env, name);
  const images = parseImages(options.images ?? []);
  if (options.nodes !== undefined && !(Number.isInteger(options.nodes) && options.nodes >= 1 && options.nodes <= MAX_NODES)) {
    throw new ClusterError('BAD_OPTION', `The number of nodes must be from 1 to ${MAX_NODES}, not ${options.nodes}.`);
  }
  const objects = readManifests(options.manifests ?? []);

  let record = runningSupervisor(paths);
  const started = record === undefined;
  if (record === undefined) {
    tell('start', `starting cluster ${name}`);
    record = await start(env, paths, name, options, images);
  } else {
    tell('start', `cluster ${name} is already up`);
    changeRunning(paths, options, images);
  }
  const client = await waitForApi(paths, record.port, record);
  tell('api', `API server ready on https://127.0.0.1:${record.port}`);
  const kubeconfig = await writeKubeconfig(env, paths, name, record.port);
  tell('kubeconfig', `context ${contextName(name)} written to ${kubeconfig}`);
  const count = readConfig(paths)?.nodes ?? DEFAULT_NODES;
  const nodes = await waitForNodes(client, count, record);
  tell('nodes', `${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'} ready: ${nodes.join(', ')}`);

  if (options.mesh !== false && fs.existsSync(MESH_MANIFEST))
    await applyAndWait(client, readManifests([MESH_MANIFEST]), 'mesh', tell, record);
  if (objects.length > 0) await applyAndWait(client, objects, 'manifests', tell, record);
  tell('ready', 'ready');
  return { name, server: `https://127.0.0.1:${record.port}`, kubeconfig, context: contextName(name), started, nodes };
}

function parseImages(list: readonly string[]): Record<string, string> {
  const images: Record<string, string> = {};
  for (const entry of list) {
    const at = entry.indexOf('=');
    if (at <= 0 || entry.slice(at + 1).trim() === '')
      throw new ClusterError('BAD_OPTION', `Image ${JSON.stringify(entry)} is not NAME=COMMAND.`);
    images[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return images;
}

function readManifests(files: readonly string[]): UnknownObject[] {
  return files.flatMap((file) => {
    try {
      return parseManifests(fs.readFileSync(file, 'utf8'), file);
    } catch (error) {
      throw new ClusterError('BAD_OPTION', `Manifest ${file} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  });
}

async function start(
  env: NodeJS.ProcessEnv,
  paths: ClusterPaths,
  name: string,
  options: UpOptions,
  images: Record<string, string>,
): Promise<SupervisorRecord> {
  preflight(env);
  checkStateDir(paths.state);
  let log: number;
  const before = readConfig(paths);
  try {
    fs.mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
    checkFreeSpace(paths.state);
    writeConfig(paths, {
      name,
      nodes: options.nodes ?? before?.nodes ?? DEFAULT_NODES,
      port: options.port ?? before?.port ?? DEFAULT_PORT,
      images: { ...before?.images, ...images },
    });
    fs.rmSync(paths.failure, { force: true });
    log = fs.openSync(path.join(paths.logs, 'supervisor.log'), 'a', 0o600);
  } catch (error) {
    throw explainFileError(error, paths.state);
  }
  const child = Bun.spawn(clusterProgram('supervise'), {
    env: { ...env, PATH: systemPath(env), LATEEN_STATE_DIR: paths.state, ...(options.port !== undefined && { LATEEN_PORT_EXACT: '1' }) },
    stdin: 'ignore',
    stdout: log,
    stderr: log,
    detached: true,
    cwd: '/',
  });
  fs.closeSync(log);
  child.unref();
  const ref = processRef(child.pid);
  const deadline = Date.now() + LIMITS_MS.supervisor;
  while (Date.now() < deadline) {
    const record = runningSupervisor(paths);
    if (record !== undefined) return record; // ours, or that of another `up` that was faster
    if (ref === undefined || !isRunning(ref)) break;
    await Bun.sleep(10);
  }
  const failure = failureOf(paths);
  // A wish that could not be met is not remembered for the next start.
  if (failure.code === 'PORT_IN_USE') writeConfig(paths, { ...readConfig(paths)!, port: before?.port ?? DEFAULT_PORT });
  throw failure;
}

function failureOf(paths: ClusterPaths): ClusterError {
  const failure = readJson<{ code?: ClusterErrorCode; message?: string }>(paths.failure);
  return new ClusterError(
    failure?.code ?? 'START_FAILED',
    failure?.message ?? `The cluster did not start. See ${path.join(paths.logs, 'supervisor.log')}`,
  );
}

/** New images are taken up at once; the number of nodes is fixed while the cluster runs. */
function changeRunning(paths: ClusterPaths, options: UpOptions, images: Record<string, string>): void {
  const config = readConfig(paths);
  if (config === undefined) return;
  if (options.nodes !== undefined && options.nodes !== config.nodes) {
    throw new ClusterError(
      'ALREADY_RUNNING',
      `Cluster ${config.name} runs with ${config.nodes} nodes. To have ${options.nodes}, run: lateen down, then up again.`,
    );
  }
  if (Object.keys(images).length > 0) writeConfig(paths, { ...config, images: { ...config.images, ...images } });
}

async function waitForApi(paths: ClusterPaths, port: number, record: SupervisorRecord): Promise<KubeClient> {
  const deadline = Date.now() + LIMITS_MS.api;
  let last = '';
  while (Date.now() < deadline) {
    if (!isRunning(record)) throw failureOf(paths);
    try {
      const client = new KubeClient(adminConfig(paths, port), 'lateen-up');
      await client.raw('/readyz', { timeoutMs: 2_000 });
      return client;
    } catch (error) {
      last = messageOf(error);
    }
    await Bun.sleep(POLL_MS);
  }
  throw new ClusterError('NOT_READY', `The API server is not ready (${last}). See ${path.join(paths.logs, 'apiserver.log')}`);
}

async function writeKubeconfig(env: NodeJS.ProcessEnv, paths: ClusterPaths, name: string, port: number): Promise<string> {
  const config = adminConfig(paths, port);
  return await mergeContext(env, {
    name: contextName(name),
    server: config.server,
    caPem: config.caPem ?? '',
    ...(config.token !== undefined && { token: config.token }),
    ...(config.clientCertPem !== undefined && { clientCertPem: config.clientCertPem }),
    ...(config.clientKeyPem !== undefined && { clientKeyPem: config.clientKeyPem }),
  });
}

async function waitForNodes(client: KubeClient, count: number, record: SupervisorRecord): Promise<string[]> {
  const deadline = Date.now() + LIMITS_MS.nodes;
  let ready: string[] = [];
  while (Date.now() < deadline && isRunning(record)) {
    ready = await readyNodes(client, Date.parse(record.startedAt)).catch(() => []); // the API server may be restarting
    if (ready.length >= count) return ready.sort();
    await Bun.sleep(POLL_MS);
  }
  throw new ClusterError('NOT_READY', `Only ${ready.length} of ${count} nodes are ready. Run: lateen status`);
}

/** Nodes that are ready and have said so since `since`: a kept cluster remembers nodes of its earlier life as ready. */
async function readyNodes(client: KubeClient, since: number): Promise<string[]> {
  const options = { timeoutMs: 5_000 };
  const [nodes, leases] = await Promise.all([
    client.listAll(NodeKind, options),
    client.listAll(LeaseKind, { ...options, namespace: LEASE_NAMESPACE }),
  ]);
  const renewed = new Set(
    leases.items.filter(({ spec }) => Date.parse(spec?.renewTime ?? '') >= since).map(({ metadata }) => metadata?.name),
  );
  return nodes.items
    .filter((node) => isConditionTrue(node.status?.conditions, 'Ready') && renewed.has(node.metadata?.name))
    .map((node) => node.metadata?.name ?? '');
}

async function applyAndWait(
  client: KubeClient,
  objects: readonly UnknownObject[],
  stage: 'mesh' | 'manifests',
  tell: (stage: UpProgress['stage'], message: string) => void,
  record: SupervisorRecord,
): Promise<void> {
  try {
    await applyManifests(client, objects);
  } catch (error) {
    throw new ClusterError('APPLY_FAILED', `Applying ${stage === 'mesh' ? 'the mesh' : 'the manifests'} failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const waiting = objects.filter(({ apiVersion, kind }) => apiVersion === 'apps/v1' && (kind === 'Deployment' || kind === 'DaemonSet'));
  const nameOf = (object: KubeObject): string => `${object.kind?.toLowerCase()}/${object.metadata?.name}`;
  tell(stage, `${objects.length} objects applied`);
  const deadline = Date.now() + LIMITS_MS.workloads;
  const left = new Set(waiting);
  while (left.size > 0) {
    for (const object of left) {
      if (!(await isRolledOut(client, object).catch(() => false))) continue; // unreachable for a moment: asked again
      left.delete(object);
      tell(stage, `${nameOf(object)} ready`);
    }
    if (left.size === 0) break;
    if (Date.now() > deadline || !isRunning(record)) {
      throw new ClusterError(
        'NOT_READY',
        `Not ready after ${LIMITS_MS.workloads / 1000} s: ${[...left].map(nameOf).join(', ')}. Run: kubectl get pods -A`,
      );
    }
    await Bun.sleep(POLL_MS);
  }
}

async function isRolledOut(client: KubeClient, object: UnknownObject): Promise<boolean> {
  const scope = { namespace: object.metadata?.namespace ?? 'default' };
  const name = object.metadata?.name ?? '';
  if (object.kind === 'DaemonSet') {
    const { metadata, status } = await client.get(DaemonSetKind, name, scope);
    const desired = status?.desiredNumberScheduled ?? 0;
    return (
      (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0) &&
      desired > 0 &&
      (status?.numberReady ?? 0) >= desired &&
      (status?.updatedNumberScheduled ?? 0) >= desired
    );
  }
  const { metadata, spec, status } = await client.get(DeploymentKind, name, scope);
  const replicas = spec?.replicas ?? 1;
  return (
    (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0) &&
    (status?.updatedReplicas ?? 0) >= replicas &&
    (status?.availableReplicas ?? 0) >= replicas
  );
}
