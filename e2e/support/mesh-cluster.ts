/** A running embedded cluster as the tests see it: objects through the Kubernetes API, processes through /proc. */
import fs from 'node:fs';
import path from 'node:path';
import {
  applyManifests,
  exec,
  forwardPort,
  isNotFound,
  KubeClient,
  type LocalForward,
  loadKubeConfig,
  parseManifests,
  streamLogs,
  type UnknownObject,
} from '../../src/platform/kubernetes/index.ts';
import { eventually, LATEEN, type Ran, ROOT, type Sandbox } from './cluster.ts';

/** The runtime that runs the tests also runs the peers inside pods. */
export const BUN: string = process.execPath;
export const PEER: string = path.join(ROOT, 'e2e/support/peer.ts');
/** Where a peer answers. */
export const PEER_PORT = 7000;
export const SECOND_PORT = 7001;

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}
export interface Status {
  readonly server: string;
  readonly processes: readonly { readonly name: string; readonly pid?: number; readonly restarts: number }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly ready: boolean;
    readonly address: string;
    readonly enter: readonly string[];
  }[];
}
export interface PodView extends UnknownObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly state?: unknown; readonly ready: boolean }[];
  };
}

export class MeshCluster {
  readonly box: Sandbox;
  readonly client: KubeClient;

  private constructor(box: Sandbox) {
    this.box = box;
    this.client = new KubeClient(loadKubeConfig(box.env), 'lateen-e2e');
  }

  static async start(box: Sandbox, ...options: readonly string[]): Promise<MeshCluster> {
    await box.must([LATEEN, 'up', ...options], { timeout: 170_000 });
    return new MeshCluster(box);
  }

  /** Server-side apply of YAML. */
  async apply(yaml: string): Promise<void> {
    await applyManifests(this.client, parseManifests(yaml, 'test'));
  }

  async get<T extends UnknownObject>(apiVersion: string, kind: string, name: string, namespace = ''): Promise<T | undefined> {
    const resource = await this.client.discovery.forKind(apiVersion, kind);
    try {
      return (await this.client.get(resource, name, namespace === '' ? {} : { namespace })) as T;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list<T extends UnknownObject>(apiVersion: string, kind: string, labelSelector = '', namespace = ''): Promise<T[]> {
    const resource = await this.client.discovery.forKind(apiVersion, kind);
    const options = { ...(labelSelector !== '' && { labelSelector }), ...(namespace !== '' && { namespace }) };
    return (await this.client.listAll(resource, options)).items as T[];
  }

  async remove(apiVersion: string, kind: string, name: string, namespace = ''): Promise<void> {
    const resource = await this.client.discovery.forKind(apiVersion, kind);
    await this.client.delete(resource, name, namespace === '' ? {} : { namespace });
  }

  /** Sets or (null) removes labels. */
  async label(namespace: string, labels: Readonly<Record<string, string | null>>): Promise<void> {
    const resource = await this.client.discovery.forKind('v1', 'Namespace');
    await this.client.patch(resource, namespace, { metadata: { labels } }, { type: 'merge' });
  }

  pods(labelSelector = '', namespace = ''): Promise<PodView[]> {
    return this.list<PodView>('v1', 'Pod', labelSelector, namespace);
  }

  /** Waits until a pod is ready; answers it. */
  ready(namespace: string, name: string): Promise<PodView> {
    return eventually(`pod ${namespace}/${name} ready`, 60, async () => {
      const pod = await this.get<PodView>('v1', 'Pod', name, namespace);
      return isReady(pod) ? pod : undefined;
    });
  }

  async run(namespace: string, pod: string, command: readonly string[], timeoutMs = 30_000): Promise<Ran> {
    let out = '';
    let err = '';
    const decoder = new TextDecoder();
    const session = await exec(this.client, {
      namespace,
      pod,
      command,
      onStdout: (chunk) => {
        out += decoder.decode(chunk);
      },
      onStderr: (chunk) => {
        err += decoder.decode(chunk);
      },
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { code: await session.exit, out, err };
  }

  /** One exchange from inside a pod: the address the server saw, or why there was no answer. */
  async call(
    namespace: string,
    pod: string,
    host: string,
    port = PEER_PORT,
  ): Promise<{ readonly answer: string } | { readonly refused: string }> {
    const ran = await this.run(namespace, pod, [BUN, PEER, 'once', host, String(port)]);
    return ran.code === 0 ? { answer: ran.out.trim() } : { refused: `${ran.out}${ran.err}`.trim() };
  }

  async logs(namespace: string, pod: string, options: { readonly previous?: boolean; readonly tailLines?: number } = {}): Promise<string> {
    return await new Response(await streamLogs(this.client, { namespace, pod, ...options })).text();
  }

  /** What every node proxy has logged, in no order. */
  async proxyLogs(): Promise<string> {
    const proxies = await this.pods('app=ztunnel', 'istio-system');
    return (await Promise.all(proxies.map((pod) => this.logs('istio-system', pod.metadata?.name ?? '')))).join('');
  }

  forward(namespace: string, pod: string, port: number): LocalForward {
    return forwardPort(this.client, { namespace, pod, port });
  }

  /** GET to a port inside a pod. */
  async fetch(namespace: string, pod: string, port: number, urlPath: string): Promise<string> {
    const forward = this.forward(namespace, pod, port);
    try {
      return await (
        await fetch(`http://127.0.0.1:${forward.port}${urlPath}`, { signal: AbortSignal.timeout(10_000), keepalive: false })
      ).text();
    } finally {
      forward.close();
    }
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.box.run([LATEEN, 'status', '-o', 'json'])).out) as Status;
  }

  async json<T>(argv: readonly string[]): Promise<T> {
    return JSON.parse(await this.box.must(argv)) as T;
  }

  /** The main process of every container of the cluster whose command line has these words. */
  async programs(...words: readonly string[]): Promise<{ readonly pid: number; readonly pod: string; readonly namespace: string }[]> {
    const supervisor = (await this.status()).processes.find(({ name }) => name === 'apiserver')?.pid;
    if (supervisor === undefined) return [];
    return processesOf(supervisor).filter(({ command }) => command[0] !== 'sh' && words.every((word) => command.includes(word)));
  }
}

export const isReady = (pod: PodView | undefined): boolean =>
  pod?.metadata?.deletionTimestamp === undefined &&
  pod?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

interface PodProcess {
  readonly pid: number;
  readonly command: readonly string[];
  readonly pod: string;
  readonly namespace: string;
}

/** Processes of pods in the pid namespace of `member`. */
function processesOf(member: number): PodProcess[] {
  const own = fs.readlinkSync(`/proc/${member}/ns/pid`);
  const found: PodProcess[] = [];
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (fs.readlinkSync(`/proc/${entry}/ns/pid`) !== own) continue;
      const command = fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      const env = fs.readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0');
      const value = (name: string): string => env.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
      if (value('POD_NAME') === '') continue;
      found.push({ pid: Number(entry), command, pod: value('POD_NAME'), namespace: value('POD_NAMESPACE') });
    } catch {
      // ended while we looked, or another user's
    }
  }
  return found;
}

export interface PeerOptions {
  readonly namespace: string;
  readonly name: string;
  readonly node?: string;
  readonly serviceAccount?: string;
  /** Words for peer.ts; by default it serves. */
  readonly role?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** The manifest of a pod that serves lines on both ports, or does what `role` says. */
export function peerPod(options: PeerOptions): string {
  const { namespace, name, node, serviceAccount, role } = options;
  const labels = { app: name, ...options.labels };
  const serves = role === undefined;
  return `---
${JSON.stringify({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: {
    ...(serviceAccount !== undefined && { serviceAccountName: serviceAccount }),
    ...(node !== undefined && { nodeSelector: { 'kubernetes.io/hostname': node } }),
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'peer',
        image: 'lateen/peer:test',
        command: [BUN, PEER, ...(role ?? ['serve', String(PEER_PORT), String(SECOND_PORT)])],
        ...(serves && { ports: [{ containerPort: PEER_PORT }], readinessProbe: { tcpSocket: { port: PEER_PORT }, periodSeconds: 1 } }),
      },
    ],
  },
})}
`;
}

/** A namespace with service accounts. */
export const namespaceOf = (name: string, labels: Readonly<Record<string, string>> = {}, accounts: readonly string[] = []): string =>
  [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } },
    ...accounts.map((account) => ({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account, namespace: name } })),
  ]
    .map((object) => `---\n${JSON.stringify(object)}\n`)
    .join('');

export const AMBIENT = { 'istio.io/dataplane-mode': 'ambient' } as const;
