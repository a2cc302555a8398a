/** HTTP servers and load generators in the pods of a cluster, and the waypoints before them, as the tests see them. */
import path from 'node:path';
import { eventually, LATEEN, ROOT } from './cluster.ts';
import { AMBIENT, BUN, type Condition, isReady, type MeshCluster, namespaceOf, type PodView } from './mesh-cluster.ts';
import { CONTROL_PORT, type StreamReport, type Way, type WebAnswer, type WebWindow } from './web-wire.ts';

export const HTTP_PORT = 80;
export const H2_PORT = 81;
const POD_HTTP = 8080;
const POD_H2 = 8081;
/** The service every request is for, in {@link NAMESPACE}. */
export const SERVICE = 'web';
export const NAMESPACE = 'shop';
export const CLIENTS = 'buyers';

const program = (name: string): string => path.join(ROOT, 'e2e/support', name);
const text = (...objects: readonly object[]): string => objects.map((object) => `---\n${JSON.stringify(object)}\n`).join('');

function pod(
  namespace: string,
  name: string,
  node: string,
  labels: Readonly<Record<string, string>>,
  command: readonly string[],
  ports: number[],
) {
  const [probed] = ports;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: {
      serviceAccountName: name,
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'web',
          image: 'lateen/web:test',
          command: [BUN, ...command],
          ports: ports.map((containerPort) => ({ containerPort })),
          readinessProbe: { tcpSocket: { port: probed }, periodSeconds: 1 },
        },
      ],
    },
  };
}

const service = (name: string, selector: Readonly<Record<string, string>>) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    selector,
    ports: [
      { name: 'http', port: HTTP_PORT, targetPort: POD_HTTP, appProtocol: 'http' },
      { name: 'h2', port: H2_PORT, targetPort: POD_H2, appProtocol: 'kubernetes.io/h2c' },
    ],
  },
});

/** Two servers, `v1` and `v2`, one on each node, behind the services `web`, `web-v1` and `web-v2`; all of it in the mesh. */
export const SERVERS: string = [
  namespaceOf(NAMESPACE, AMBIENT, ['v1', 'v2']),
  text(
    ...['v1', 'v2'].map((name, index) =>
      pod(
        NAMESPACE,
        name,
        `node${index + 1}`,
        { app: 'web', version: name },
        [program('web-server.ts'), name, String(POD_HTTP), String(POD_H2)],
        [POD_HTTP, POD_H2],
      ),
    ),
    service(SERVICE, { app: 'web' }),
    service('web-v1', { app: 'web', version: 'v1' }),
    service('web-v2', { app: 'web', version: 'v2' }),
  ),
].join('');

/** A load generator on each node, `rate` requests per second in each of three ways. */
export const loads = (rate: number): string =>
  [
    namespaceOf(CLIENTS, AMBIENT, ['buyer1', 'buyer2']),
    text(
      ...['buyer1', 'buyer2'].map((name, index) => {
        const host = `${SERVICE}.${NAMESPACE}.svc.cluster.local`;
        return pod(
          CLIENTS,
          name,
          `node${index + 1}`,
          { app: 'buyer' },
          [program('web-load.ts'), String(rate), `${host}:${HTTP_PORT}`, `${host}:${H2_PORT}`],
          [CONTROL_PORT],
        );
      }),
    ),
  ].join('');

/** What both load generators know. */
export class Buyers {
  readonly #cluster: MeshCluster;
  readonly pods = ['buyer1', 'buyer2'] as const;

  constructor(cluster: MeshCluster) {
    this.#cluster = cluster;
  }

  /** Requests that should have started in [from, to), each answered or past its deadline. */
  async window(from: number, to: number): Promise<WebWindow> {
    const both = await Promise.all(
      this.pods.map((name) =>
        eventually('an answer to every request', 40, async () => {
          const found = await this.#ask<WebWindow>(name, `/window?from=${from}&to=${to}`);
          return found.pending === 0 ? found : undefined;
        }),
      ),
    );
    const sum = (read: (one: WebWindow) => Readonly<Record<string, number>>): Record<string, number> => {
      const all: Record<string, number> = {};
      for (const one of both) for (const [key, value] of Object.entries(read(one))) all[key] = (all[key] ?? 0) + value;
      return all;
    };
    return {
      requests: both.reduce((total, { requests }) => total + requests, 0),
      pending: 0,
      failures: both.flatMap(({ failures }) => failures),
      byName: sum(({ byName }) => byName),
      byWay: { fresh: 0, kept: 0, h2: 0, ...sum(({ byWay }) => byWay) },
      slowest: Math.max(...both.map(({ slowest }) => slowest)),
    };
  }

  /** Begins streams of so many milliseconds, `count` from each pod in each way; answers what to ask {@link streams} with. */
  async open(ways: readonly Way[], ms: number, count: number): Promise<readonly number[]> {
    const before = await Promise.all(this.pods.map(async (name) => (await this.#ask<StreamReport[]>(name, '/streams')).length));
    for (const name of this.pods)
      for (const way of ways) await this.#ask(name, `/open?way=${way}&count=${count}&path=${encodeURIComponent(`/stream?ms=${ms}`)}`);
    return before;
  }

  async streams(since: readonly number[]): Promise<StreamReport[]> {
    const all = await Promise.all(
      this.pods.map(async (name, index) => (await this.#ask<StreamReport[]>(name, '/streams')).slice(since[index])),
    );
    return all.flat();
  }

  once(name: string, way: Way, urlPath = '/'): Promise<WebAnswer | { readonly reason: string }> {
    return this.#ask(name, `/once?way=${way}&path=${encodeURIComponent(urlPath)}`);
  }

  async #ask<T>(name: string, urlPath: string): Promise<T> {
    return JSON.parse(await this.#cluster.fetch(CLIENTS, name, CONTROL_PORT, urlPath)) as T;
  }
}

/** One waypoint: its Gateway and its replicas. */
export class WaypointView {
  readonly #cluster: MeshCluster;
  readonly name: string;

  constructor(cluster: MeshCluster, name: string) {
    this.#cluster = cluster;
    this.name = name;
  }

  /** Deploys it and waits until it serves. */
  async deploy(): Promise<void> {
    await this.#cluster.box.must([LATEEN, 'waypoint', 'apply', '-n', NAMESPACE, '--name', this.name, '--wait']);
    await this.replicas(2);
  }

  pods(): Promise<PodView[]> {
    return this.#cluster.pods(`gateway.networking.k8s.io/gateway-name=${this.name}`, NAMESPACE);
  }

  /** Waits until that many serve, and no other is there. */
  replicas(count: number): Promise<PodView[]> {
    return eventually(`${count} replicas of ${this.name}`, 90, async () => {
      const pods = await this.pods();
      return pods.length === count && pods.every(isReady) ? pods : undefined;
    });
  }

  async pids(): Promise<ReadonlyMap<string, number>> {
    const programs = await this.#cluster.programs('proxy', 'waypoint');
    const own = new Set((await this.pods()).map(({ metadata }) => metadata?.name));
    return new Map(programs.flatMap(({ pod: name, pid }) => (own.has(name) ? [[name, pid] as const] : [])));
  }

  /** Requests its replicas have counted. */
  async requests(): Promise<number> {
    const pods = (await this.pods()).filter(isReady);
    const all = await Promise.all(pods.map(({ metadata }) => this.#cluster.fetch(NAMESPACE, metadata?.name ?? '', 15_020, '/metrics')));
    return all
      .flatMap((page) => [...page.matchAll(/^istio_requests_total\{.*\} (\d+)$/gm)])
      .reduce((total, [, value]) => total + Number(value), 0);
  }
}

export interface Outbound {
  readonly at: number;
  readonly line: string;
}

/** Access-log lines of the node proxies about connections that ended since `from`. */
export async function accessLines(cluster: MeshCluster, from: number, ...words: readonly string[]): Promise<string[]> {
  return (await cluster.proxyLogs()).split('\n').filter((line) => {
    const [time = '', , target] = line.split('\t');
    return target === 'access' && Date.parse(time) >= from && words.every((word) => line.includes(word));
  });
}

interface WithConditions {
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly parents?: readonly { readonly conditions: readonly Condition[] }[];
  };
}

/** Waits for a condition; answers its reason and message. */
export function conditionOf(
  cluster: MeshCluster,
  [apiVersion, kind, name]: readonly [string, string, string],
  type: string,
  status: string,
  accept: (found: Condition) => boolean = () => true,
): Promise<Condition> {
  return eventually(`${kind} ${name}: ${type}=${status}`, 20, async () => {
    const found = (await cluster.get(apiVersion, kind, name, NAMESPACE)) as WithConditions | undefined;
    const all = [...(found?.status?.conditions ?? []), ...(found?.status?.parents ?? []).flatMap(({ conditions }) => conditions)];
    return all.find((one) => one.type === type && one.status === status && accept(one));
  });
}
