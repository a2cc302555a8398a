/** Each process of the mesh and of the cluster is killed under load: nothing is forgotten, what still runs still serves, and it comes back. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { UnknownObject } from '../src/platform/kubernetes/index.ts';
import { eventually, LATEEN, ROOT, type Sandbox, sandbox } from './support/cluster.ts';
import { Load } from './support/load.ts';
import { AMBIENT, isReady, MeshCluster, namespaceOf, PEER_PORT, type PodView, peerPod } from './support/mesh-cluster.ts';
import type { HoldEvent } from './support/peer.ts';

const PIPELINE = ['ai-preprocessing', 'ai-inference', 'ai-postprocessing', 'ai-clients'] as const;
const STAGES = PIPELINE.slice(0, 3);
const REDIRECTION = 'ambient.istio.io/redirection';
const HOLDERS = ['within1', 'within2', 'across'] as const;
/** The load generator's deadline and a retry of its channels. */
const SETTLE_MS = 3_000;
const OBSERVE_MS = 1_500;

let box: Sandbox;
let cluster: MeshCluster;
let load: Load;
let intruder: Load;

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box, '-f', 'examples/pipeline/pipeline.yaml');
  for (const namespace of PIPELINE) await cluster.label(namespace, AMBIENT);
  await cluster.apply(
    [
      namespaceOf('held', AMBIENT),
      namespaceOf('flip'),
      peerPod({ namespace: 'held', name: 'echo1', node: 'node1' }),
      peerPod({ namespace: 'held', name: 'echo2', node: 'node2' }),
      peerPod({ namespace: 'flip', name: 'flip1', node: 'node1' }),
      peerPod({ namespace: 'flip', name: 'flip2', node: 'node2' }),
    ].join(''),
  );
  const [one, two] = await Promise.all(['echo1', 'echo2'].map((name) => cluster.ready('held', name)));
  const role = (pod: PodView) => ['hold', pod.status?.podIP ?? '', String(PEER_PORT)];
  await cluster.apply(
    [
      peerPod({ namespace: 'held', name: 'within1', node: 'node1', role: role(one!) }),
      peerPod({ namespace: 'held', name: 'within2', node: 'node2', role: role(two!) }),
      peerPod({ namespace: 'held', name: 'across', node: 'node2', role: role(one!) }),
    ].join(''),
  );
  await Promise.all(HOLDERS.map((name) => cluster.ready('held', name)));
  load = await Load.find(cluster, 'load');
  intruder = await Load.find(cluster, 'intruder');
  await eventually('every workload of the pipeline to be HBONE', 60, async () =>
    (await protocols()).every(([, protocol]) => protocol === 'HBONE') ? true : undefined,
  );
  // Connections from before the label stay as they were; the pipeline's are replaced every 1.5 s.
  await Bun.sleep(SETTLE_MS);
  await cluster.apply(await Bun.file(`${ROOT}/examples/pipeline/deny-intruder.yaml`).text());
  await Bun.sleep(SETTLE_MS);
}, 240_000);

afterAll(() => box.close());

/** Name and protocol of every workload of the pipeline, as the node proxies know them. */
async function protocols(): Promise<[string, string][]> {
  const found = await cluster.json<{ name: string; namespace: string; protocol: string }[]>([
    LATEEN,
    'ztunnel-config',
    'workload',
    '-o',
    'json',
  ]);
  return found
    .filter(({ namespace }) => (PIPELINE as readonly string[]).includes(namespace))
    .map(({ name, protocol }): [string, string] => [name, protocol])
    .sort();
}

const CONFIGURATION = [
  ['v1', 'Namespace'],
  ['v1', 'Service'],
  ['v1', 'ServiceAccount'],
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'DaemonSet'],
  ['security.istio.io/v1', 'AuthorizationPolicy'],
] as const;

/** Everything a user or the mesh has configured, and which pods there are, without what changes by itself. */
async function configuration(): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const [apiVersion, kind] of CONFIGURATION) {
    for (const object of await cluster.list(apiVersion, kind)) {
      const { metadata, spec, data } = object as {
        metadata?: { uid?: string; namespace?: string; name?: string; labels?: unknown };
        spec?: unknown;
        data?: unknown;
      };
      all[`${kind} ${metadata?.namespace ?? ''}/${metadata?.name}`] = JSON.stringify([metadata?.uid, metadata?.labels, spec, data]);
    }
  }
  for (const pod of await cluster.pods())
    all[`Pod ${pod.metadata?.namespace}/${pod.metadata?.name}`] = `${pod.metadata?.uid} ${pod.status?.podIP}`;
  return all;
}

/** Ends of held connections since `from`, by holder. */
async function broken(from: number): Promise<Record<string, HoldEvent[]>> {
  const all: Record<string, HoldEvent[]> = {};
  for (const name of HOLDERS) {
    const lines = (await cluster.logs('held', name)).split('\n').filter((line) => line !== '');
    all[name] = lines.map((line) => JSON.parse(line) as HoldEvent).filter(({ at, event }) => at >= from && event !== 'open');
  }
  return all;
}
const NONE_BROKEN = { within1: [], within2: [], across: [] };

/** Puts a namespace into the mesh and out again: possible only when every part works. */
async function changeEnrolment(): Promise<void> {
  const redirected = async (wanted: boolean) =>
    eventually(`pods of flip ${wanted ? 'in' : 'out of'} the mesh`, 40, async () => {
      const pods = await cluster.pods('', 'flip');
      const workloads = await cluster.json<{ namespace: string; protocol: string }[]>([LATEEN, 'ztunnel-config', 'workload', '-o', 'json']);
      const own = workloads.filter(({ namespace }) => namespace === 'flip');
      const done =
        pods.every(({ metadata }) => (metadata?.annotations?.[REDIRECTION] === 'enabled') === wanted) &&
        own.length === 2 &&
        own.every(({ protocol }) => (protocol === 'HBONE') === wanted);
      return done ? true : undefined;
    });
  await cluster.label('flip', AMBIENT);
  await redirected(true);
  expect(await cluster.call('flip', 'flip1', (await cluster.ready('flip', 'flip2')).status?.podIP ?? '')).toHaveProperty('answer');
  await cluster.label('flip', { 'istio.io/dataplane-mode': null });
  await redirected(false);
}

/** Of the intruder's requests since then none was answered. */
async function stillDenied(from: number): Promise<void> {
  const found = await intruder.window(from, Date.now());
  expect(found.requests).toBeGreaterThan(0);
  expect(found.requests - found.errors).toBe(0);
}

interface Victim {
  readonly pid: () => Promise<number | undefined>;
  /** Serves again. */
  readonly isBack: () => Promise<boolean>;
}

/** Kills, waits for recovery, and compares everything with before. Answers when it was killed and when it was back. */
async function survives(victim: Victim): Promise<{ readonly killed: number; readonly back: number }> {
  const before = await configuration();
  const enrolled = await protocols();
  const pid = await victim.pid();
  if (pid === undefined) throw new Error('the process to kill was not found');
  const killed = Date.now();
  process.kill(pid, 'SIGKILL');
  await eventually('another process in its place', 60, async () => {
    const next = await victim.pid().catch(() => undefined);
    return next !== undefined && next !== pid ? next : undefined;
  });
  await eventually('it to serve again', 60, async () => ((await victim.isBack().catch(() => false)) ? true : undefined));
  const back = Date.now();
  await Bun.sleep(SETTLE_MS + OBSERVE_MS);
  expect(await configuration()).toEqual(before);
  expect(await protocols()).toEqual(enrolled);
  expect(enrolled.every(([, protocol]) => protocol === 'HBONE')).toBe(true);
  await stillDenied(killed);
  const after = await load.window(back + SETTLE_MS, Date.now());
  expect(after.requests).toBeGreaterThan(40);
  expect(after.errors).toBe(0);
  return { killed, back };
}

const ofProgram = (words: readonly string[], node: string, app: string): Victim => {
  const own = async () => (await cluster.pods(app, 'istio-system')).find(({ spec }) => node === '' || spec?.nodeName === node);
  return {
    pid: async () => {
      const name = (await own())?.metadata?.name;
      return (await cluster.programs(...words)).find(({ pod }) => pod === name)?.pid;
    },
    isBack: async () => isReady(await own()) && ((await own())?.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
  };
};

const ofCluster = (name: string): Victim => ({
  pid: async () => (await cluster.status()).processes.find((one) => one.name === name)?.pid,
  isBack: async () => {
    await cluster.client.raw('/readyz', { timeoutMs: 2_000 });
    return (await cluster.status()).nodes.every(({ ready }) => ready);
  },
});

/** Not one request and not one connection suffers. */
async function nobodyNotices(victim: Victim): Promise<void> {
  const { killed } = await survives(victim);
  const during = await load.window(killed - 1_000, Date.now());
  expect(during.errorsByCode).toEqual({});
  expect(during.requests).toBeGreaterThan(100);
  expect(await broken(killed - 1_000)).toEqual(NONE_BROKEN);
  await changeEnrolment();
}

test('the pipeline runs in the mesh without errors, and the intruder is denied', async () => {
  const now = Date.now();
  const found = await load.window(now - OBSERVE_MS, now);
  expect(found.requests).toBeGreaterThan(40);
  expect(found.errors).toBe(0);
  await stillDenied(now - OBSERVE_MS);
  expect((await protocols()).length).toBe(12);
});

test('the control plane is killed: nobody notices', () => nobodyNotices(ofProgram(['controlplane'], '', 'app=istiod')), 120_000);

test('the API server is killed: nobody notices', () => nobodyNotices(ofCluster('apiserver')), 120_000);

test('the controllers are killed: nobody notices', () => nobodyNotices(ofCluster('controllers')), 120_000);

test('a node agent is killed: nobody notices', () => nobodyNotices(ofProgram(['node-agent'], 'node1', 'k8s-app=istio-cni-node')), 120_000);

test("a node's runtime is killed: its pods live on and nobody notices", async () => {
  const agents = await cluster.programs('node-agent');
  await nobodyNotices(ofCluster('node1'));
  expect(await cluster.programs('node-agent')).toEqual(agents);
}, 120_000);

test('a node proxy is killed: only connections of its own node end, until it is back', async () => {
  const { killed, back } = await survives(ofProgram(['proxy', 'ztunnel'], 'node1', 'app=ztunnel'));
  const ended = await broken(killed - 1_000);
  expect(ended['within2']).toEqual([]);
  expect(ended['within1']!.length).toBeGreaterThan(0);
  expect(ended['across']!.length).toBeGreaterThan(0);
  // Refused from the moment the listeners are gone, never in the clear: plain text would have been answered.
  for (const event of [...ended['within1']!, ...ended['across']!]) expect(event.at).toBeLessThan(back + SETTLE_MS);
  await changeEnrolment();
}, 120_000);

test('the mesh root certificate is the one of the start, in every namespace', async () => {
  const maps = (await cluster.list<{ metadata?: { name?: string }; data?: Record<string, string> }>('v1', 'ConfigMap')).filter(
    ({ metadata }) => metadata?.name === 'istio-ca-root-cert',
  );
  expect(maps.length).toBeGreaterThan(STAGES.length);
  expect(new Set(maps.map(({ data }) => data?.['root-cert.pem'])).size).toBe(1);
  const secret = await cluster.get<{ data?: Record<string, string> }>('v1', 'Secret', 'istio-ca-secret', 'istio-system');
  expect(atob(secret?.data?.['ca-cert.pem'] ?? '').trim()).toBe(maps[0]!.data?.['root-cert.pem']?.trim() ?? '');
});

interface RolledOut extends UnknownObject {
  readonly status?: { readonly observedGeneration?: number };
}

/** Replaces the pods of a workload of the mesh, as `kubectl rollout restart` does, and waits until only new ones are left. */
async function restart(kind: 'Deployment' | 'DaemonSet', name: string, app: string): Promise<void> {
  const resource = await cluster.client.discovery.forKind('apps/v1', kind);
  const before = new Set((await cluster.pods(app, 'istio-system')).map(({ metadata }) => metadata?.uid));
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  await cluster.client.patch(
    resource,
    name,
    { spec: { template: { metadata: { annotations } } } },
    { namespace: 'istio-system', type: 'merge' },
  );
  await eventually(`${name} to be replaced`, 90, async () => {
    const [object, pods] = [await cluster.get<RolledOut>('apps/v1', kind, name, 'istio-system'), await cluster.pods(app, 'istio-system')];
    const isSeen = (object?.status?.observedGeneration ?? 0) >= (object?.metadata?.generation ?? 0);
    return isSeen && pods.length === before.size && pods.every((pod) => isReady(pod) && !before.has(pod.metadata?.uid)) ? true : undefined;
  });
}

test('every program of the mesh is replaced by a new one under load: no request fails, no denied one is answered', async () => {
  // A proxy that leaves waits for its connections: those that never end would only make the test long.
  for (const name of HOLDERS) await cluster.remove('v1', 'Pod', name, 'held');
  const from = Date.now();
  await restart('DaemonSet', 'ztunnel', 'app=ztunnel');
  await restart('Deployment', 'istiod', 'app=istiod');
  await restart('DaemonSet', 'istio-cni-node', 'k8s-app=istio-cni-node');
  await Bun.sleep(SETTLE_MS);
  const during = await load.window(from, Date.now());
  expect(during.errorsByCode).toEqual({});
  expect(during.requests).toBeGreaterThan(100);
  await stillDenied(from);
  await changeEnrolment();
}, 180_000);
