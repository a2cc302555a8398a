/**
 * A waypoint on a whole cluster, under open-loop load that tries nothing twice: restarts, deaths and changes cost nobody more than the requests that were
 * on the replica that died, and nothing ever goes around a waypoint.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fs from 'node:fs';
import type { UnknownObject } from '../src/platform/kubernetes/index.ts';
import { eventually, type Sandbox, sandbox } from './support/cluster.ts';
import { isReady, MeshCluster } from './support/mesh-cluster.ts';
import {
  accessLines,
  Buyers,
  CLIENTS,
  conditionOf,
  HTTP_PORT,
  loads,
  NAMESPACE,
  SERVERS,
  SERVICE,
  WaypointView,
} from './support/web-cluster.ts';
import { BEAT_MS, WAYS, type WebAnswer } from './support/web-wire.ts';

/** Requests per second from each of two pods in each of three ways. */
const RATE = 10;
/** `LATEEN_E2E_STREAM_MS=60000` for the long suite. */
const STREAM_MS = Number(process.env['LATEEN_E2E_STREAM_MS'] ?? 15_000);
/** Connections that were there before a change: the load's HTTP/1.1 ones live 2 s, its HTTP/2 ones 5 s. */
const OLD_CONNECTIONS_MS = 6_000;
/** Whatever a change does to connections shows within this. */
const OBSERVE_MS = 1_500;
/** How long node proxies of a machine with no processor to spare take to hear that a peer has died. */
const NEWS_MS = 500;
const GATEWAY = ['gateway.networking.k8s.io/v1', 'Gateway'] as const;
const ROUTE = ['gateway.networking.k8s.io/v1', 'HTTPRoute'] as const;
const USE = 'istio.io/use-waypoint';

let box: Sandbox;
let cluster: MeshCluster;
let buyers: Buyers;
let waypoint: WaypointView;

const yaml = (object: object): string => `---\n${JSON.stringify(object)}\n`;

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(SERVERS);
  waypoint = new WaypointView(cluster, 'waypoint');
  await Promise.all([waypoint.deploy(), cluster.ready(NAMESPACE, 'v1'), cluster.ready(NAMESPACE, 'v2')]);
  await cluster.apply(loads(RATE));
  buyers = new Buyers(cluster);
  await Promise.all(buyers.pods.map((name) => cluster.ready(CLIENTS, name)));
  await eventually('both load generators to be in the mesh', 30, async () =>
    (await cluster.pods('', CLIENTS)).every(({ metadata }) => metadata?.annotations?.['ambient.istio.io/redirection'] === 'enabled')
      ? true
      : undefined,
  );
}, 240_000);

/** One line per test, for whoever reads the run. */
const figures: string[] = [];

afterAll(async () => {
  await box.close();
  console.log(figures.join('\n'));
});

/** Not one request since then failed; there were some, however quickly it was over. */
async function nothingLost(what: string, from: number, atLeast = 10): Promise<void> {
  const { failures, requests, slowest, byWay } = await buyers.window(from, Date.now());
  figures.push(`${what}: ${requests} requests ${JSON.stringify(byWay)}, ${failures.length} failed, slowest ${Math.round(slowest)} ms`);
  expect(failures).toEqual([]);
  expect(requests).toBeGreaterThan(atLeast);
}

const addressesOf = async (view: WaypointView): Promise<string[]> => (await view.pods()).map(({ status }) => status?.podIP ?? '');

/** Each load generator in each way asks the service once; the addresses the servers saw. */
async function peers(): Promise<string[]> {
  const answers = await Promise.all(buyers.pods.flatMap((pod) => WAYS.map((way) => buyers.once(pod, way))));
  return answers.map((answer) => ('peer' in answer ? answer.peer : answer.reason));
}

/** Waits until new connections to the service arrive as these waypoints' (or, with none, as the load generators'). */
async function traversed(...views: WaypointView[]): Promise<void> {
  const allowed =
    views.length > 0
      ? (await Promise.all(views.map(addressesOf))).flat()
      : (await cluster.pods('', CLIENTS)).map(({ status }) => status?.podIP ?? '');
  await eventually('new connections to go the new way', 15, async () =>
    (await buyers.once('buyer1', 'fresh').then((one) => 'peer' in one && allowed.includes(one.peer))) &&
    (await buyers.once('buyer2', 'fresh').then((one) => 'peer' in one && allowed.includes(one.peer)))
      ? true
      : undefined,
  );
}

async function labelService(
  labels: Readonly<Record<string, string | null>>,
  annotations: Readonly<Record<string, string | null>> = {},
): Promise<void> {
  const resource = await cluster.client.discovery.forKind('v1', 'Service');
  await cluster.client.patch(resource, SERVICE, { metadata: { labels, annotations } }, { namespace: NAMESPACE, type: 'merge' });
}

const routeTo = (name: string, change: object = {}): string =>
  yaml({
    apiVersion: ROUTE[0],
    kind: ROUTE[1],
    metadata: { name, namespace: NAMESPACE },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: SERVICE }],
      rules: [{ backendRefs: [{ name: 'web-v1', port: HTTP_PORT }] }],
      ...change,
    },
  });

/** Names of the servers that answer new requests. */
async function answering(): Promise<string[]> {
  const answers = await Promise.all(buyers.pods.flatMap((pod) => Array.from({ length: 5 }, () => buyers.once(pod, 'fresh'))));
  return [...new Set(answers.map((answer) => ('name' in answer ? answer.name : answer.reason)))].sort();
}

const untilAnswering = (...names: string[]): Promise<true> =>
  eventually(`answers of ${names.join(' and ')} only`, 20, async () =>
    (await answering()).join() === names.join() ? (true as const) : undefined,
  );

test('binding a service, then its namespace, and undoing it under load loses nothing', async () => {
  const from = Date.now();
  await traversed();
  await labelService({ [USE]: 'waypoint' });
  await traversed(waypoint);
  await Bun.sleep(OBSERVE_MS);
  await labelService({ [USE]: null });
  await traversed();
  await Bun.sleep(OBSERVE_MS);
  await cluster.label(NAMESPACE, { [USE]: 'waypoint' });
  await traversed(waypoint);
  await labelService({ [USE]: 'none' });
  await traversed();
  await labelService({ [USE]: null });
  await traversed(waypoint);
  await Bun.sleep(OBSERVE_MS);
  await nothingLost('binding', from);
}, 90_000);

test('what is bound goes to the waypoint and nowhere else: the servers see its identity only, both node proxies its tunnels', async () => {
  await Bun.sleep(OLD_CONNECTIONS_MS);
  const from = Date.now();
  await Bun.sleep(2_500);
  const addresses = await addressesOf(waypoint);
  expect(new Set(await peers()).difference(new Set(addresses))).toEqual(new Set());
  await nothingLost('bound', from);
  const inbound = await accessLines(cluster, from + 500, 'direction="inbound"', `dst.namespace="${NAMESPACE}"`);
  const outbound = await accessLines(cluster, from + 500, 'direction="outbound"', `src.namespace="${CLIENTS}"`);
  expect(outbound.length).toBeGreaterThan(20);
  expect(outbound.filter((line) => !line.includes(`dst.identity="spiffe://cluster.local/ns/${NAMESPACE}/sa/waypoint"`))).toEqual([]);
  expect(inbound.filter((line) => !line.includes(`src.identity="spiffe://cluster.local/ns/${NAMESPACE}/sa/waypoint"`))).toEqual([]);
}, 60_000);

test(
  `every replica is replaced under load: no request fails, and streams of ${STREAM_MS / 1000} s live through it`,
  async () => {
    const before = new Set((await waypoint.pods()).map(({ metadata }) => metadata?.uid));
    const opened = await buyers.open(['fresh', 'h2'], STREAM_MS, 2);
    const from = Date.now();
    const resource = await cluster.client.discovery.forKind('apps/v1', 'Deployment');
    const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
    await cluster.client.patch(
      resource,
      'waypoint',
      { spec: { template: { metadata: { annotations } } } },
      { namespace: NAMESPACE, type: 'merge' },
    );
    await eventually('two new replicas', 60, async () => {
      const pods = (await waypoint.pods()).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
      return pods.length === 2 && pods.every((pod) => isReady(pod) && !before.has(pod.metadata?.uid)) ? true : undefined;
    });
    await Bun.sleep(Math.max(0, from + STREAM_MS - Date.now()));
    const streams = await eventually('the end of the streams', 30, async () => {
      const found = await buyers.streams(opened);
      return found.every(({ state }) => state !== 'open') ? found : undefined;
    });
    expect(streams.map(({ state }) => state)).toEqual(Array.from({ length: 8 }, () => 'whole'));
    figures.push(
      `streams: ${streams.map(({ way, events, durationMs, longestGap }) => `${way} ${events} events in ${durationMs} ms, gap ${longestGap} ms`).join('; ')}`,
    );
    for (const { events } of streams) expect(events).toBeGreaterThan(STREAM_MS / BEAT_MS / 2);
    await waypoint.replicas(2);
    await nothingLost('rolling restart', from, 400);
  },
  STREAM_MS + 90_000,
);

test('a replica is killed: only what it was answering is lost, and another takes its place', async () => {
  const [[name, pid]] = [...(await waypoint.pids())] as [[string, number]];
  // So many connections over two replicas that each has some: all on one once in ten million runs.
  const opened = await buyers.open(['fresh'], OLD_CONNECTIONS_MS, 12);
  await eventually('events on every stream', 10, async () =>
    (await buyers.streams(opened)).every(({ events }) => events > 0) ? true : undefined,
  );
  const killed = Date.now();
  process.kill(pid, 'SIGKILL');
  while (fs.existsSync(`/proc/${pid}/fd/0`)) await Bun.sleep(1);
  const dead = Date.now();
  await eventually('the replica to serve again', 60, async () => {
    const next = (await waypoint.pids()).get(name);
    return next !== undefined && next !== pid && (await waypoint.pods()).every(isReady) ? true : undefined;
  });
  const streams = await eventually('the end of the streams', 30, async () => {
    const all = await buyers.streams(opened);
    return all.every(({ state }) => state !== 'open') ? all : undefined;
  });
  const whole = streams.filter(({ state }) => state === 'whole').length;
  expect(whole).toBeGreaterThan(0);
  expect(whole).toBeLessThan(streams.length);
  const found = await buyers.window(killed - 1000, Date.now());
  // What it was answering: begun before its end, or before the news of it had travelled, and lost with it.
  expect(found.failures.filter(({ at, seenAt }) => at > dead + NEWS_MS || seenAt > dead + 1000)).toEqual([]);
  figures.push(
    `replica killed: ${found.requests} requests, ${found.failures.length} failed with it; ${whole} of ${streams.length} streams lived on`,
  );
  // Half of all requests go to it, until it is dead and that is known.
  const lostPerMs = (RATE * WAYS.length * buyers.pods.length) / 2 / 1000;
  expect(found.failures.length).toBeLessThan(8 + lostPerMs * (dead - killed + NEWS_MS));
  expect(found.requests).toBeGreaterThan(100);
  expect(new Set(await peers()).difference(new Set(await addressesOf(waypoint)))).toEqual(new Set());
}, 90_000);

test('a canary of the waypoint gets about the share it is to have, and moving there and back loses nothing', async () => {
  const canary = new WaypointView(cluster, 'next');
  await canary.deploy();
  const from = Date.now();
  await labelService({ [USE]: 'waypoint', 'istio.io/use-waypoint-canary': 'next' }, { 'istio.io/use-waypoint-canary-weight': '25' });
  await eventually('a request at the canary', 20, async () => ((await canary.requests()) > 0 ? true : undefined));
  const nextPods = new Set(await addressesOf(canary));
  const seen: WebAnswer[] = [];
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(buyers.pods.flatMap((pod) => Array.from({ length: 5 }, () => buyers.once(pod, 'fresh'))));
    for (const answer of answers) if ('peer' in answer) seen.push(answer);
  }
  figures.push(`canary at 25 %: ${seen.filter(({ peer }) => nextPods.has(peer)).length} of ${seen.length}`);
  const share = seen.filter(({ peer }) => nextPods.has(peer)).length / seen.length;
  expect(seen.length).toBe(200);
  // 4.5 standard deviations of 200 tosses.
  expect(Math.abs(share - 0.25)).toBeLessThan(4.5 * Math.sqrt((0.25 * 0.75) / 200));
  await labelService({ [USE]: 'next', 'istio.io/use-waypoint-canary': null }, { 'istio.io/use-waypoint-canary-weight': null });
  await traversed(canary);
  await labelService({ [USE]: null });
  await traversed(waypoint);
  await Bun.sleep(OLD_CONNECTIONS_MS);
  await nothingLost('canary of the waypoint', from);
  const gone = Date.now();
  await cluster.remove(...GATEWAY, 'next', NAMESPACE);
  await canary.replicas(0);
  for (const kind of ['ServiceAccount', 'Service'] as const)
    await eventually(`${kind} of the deleted Gateway to go`, 20, async () =>
      (await cluster.get('v1', kind, 'next', NAMESPACE)) === undefined ? true : undefined,
    );
  await nothingLost('deleted Gateway', gone);
}, 120_000);

test('a refused route says why while its last good version serves; two families for one service say so on both', async () => {
  const from = Date.now();
  await cluster.apply(routeTo('web'));
  await untilAnswering('v1');
  await cluster.apply(
    routeTo('web', {
      rules: [{ matches: [{ path: { type: 'RegularExpression', value: '/(' } }], backendRefs: [{ name: 'web-v2', port: HTTP_PORT }] }],
    }),
  );
  const refused = await conditionOf(cluster, [...ROUTE, 'web'], 'Accepted', 'False');
  expect(refused.message).toContain('spec.rules[0].matches[0].path');
  await conditionOf(cluster, [...ROUTE, 'web'], 'lateen.dev/Programmed', 'True', ({ reason }) => reason === 'LastGood');
  expect(await answering()).toEqual(['v1']);

  const virtualService = (host: string, change: object) =>
    yaml({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'web', namespace: NAMESPACE },
      spec: { hosts: [SERVICE], http: [{ route: [{ destination: { host, port: { number: HTTP_PORT } } }], ...change }] },
    });
  await cluster.apply(virtualService('web-v2', {}));
  const loser = await conditionOf(
    cluster,
    ['networking.istio.io/v1', 'VirtualService', 'web'],
    'WaypointAccepted',
    'True',
    ({ reason }) => reason === 'Conflicted',
  );
  expect(loser.message).toContain(`HTTPRoute ${NAMESPACE}/web`);
  const winner = await conditionOf(cluster, [...ROUTE, 'web'], 'lateen.dev/Conflicted', 'True');
  expect(winner.message).toContain(`VirtualService ${NAMESPACE}/web`);
  expect(await answering()).toEqual(['v1']);

  await cluster.remove(...ROUTE, 'web', NAMESPACE);
  await untilAnswering('v2');
  await cluster.apply(virtualService('web-v1', { match: [{ uri: { regex: '/(' } }] }));
  const wrong = await conditionOf(cluster, ['networking.istio.io/v1', 'VirtualService', 'web'], 'WaypointAccepted', 'False');
  expect(wrong.message).toContain('last version that was accepted serves on');
  expect(await answering()).toEqual(['v2']);
  await cluster.remove('networking.istio.io/v1', 'VirtualService', 'web', NAMESPACE);
  await untilAnswering('v1', 'v2');
  await nothingLost('refused routes', from);
}, 90_000);

test('EnvoyFilter and WasmPlugin are told that they have no effect, once in a status and once in an event', async () => {
  const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'waypoint' }];
  await cluster.apply(
    yaml({
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: { name: 'tweak', namespace: NAMESPACE },
      spec: { targetRefs, configPatches: [] },
    }) +
      yaml({
        apiVersion: 'extensions.istio.io/v1alpha1',
        kind: 'WasmPlugin',
        metadata: { name: 'tweak', namespace: NAMESPACE },
        spec: { targetRefs, url: 'oci://registry.example/plugin:1' },
      }),
  );
  for (const [apiVersion, kind] of [
    ['networking.istio.io/v1alpha3', 'EnvoyFilter'],
    ['extensions.istio.io/v1alpha1', 'WasmPlugin'],
  ] as const) {
    const found = await conditionOf(cluster, [apiVersion, kind, 'tweak'], 'WaypointAccepted', 'False');
    expect(found.reason).toBe('Unsupported');
    const events = await eventually(`an event about the ${kind}`, 10, async () => {
      const all = await cluster.list<UnknownObject & { reason?: string; involvedObject?: { kind?: string } }>('v1', 'Event', '', NAMESPACE);
      const own = all.filter(({ involvedObject }) => involvedObject?.kind === kind);
      return own.length > 0 ? own : undefined;
    });
    expect(events.map(({ reason }) => reason)).toEqual(['Unsupported']);
  }
}, 60_000);

test('the control plane dies and comes back: traffic goes on, and what changed meanwhile arrives', async () => {
  const from = Date.now();
  const [victim] = await cluster.programs('controlplane');
  process.kill(victim!.pid, 'SIGKILL');
  await cluster.apply(routeTo('after'));
  await untilAnswering('v1');
  await conditionOf(cluster, [...ROUTE, 'after'], 'Accepted', 'True');
  const [next] = await cluster.programs('controlplane');
  expect(next?.pid).not.toBe(victim!.pid);
  await cluster.remove(...ROUTE, 'after', NAMESPACE);
  await untilAnswering('v1', 'v2');
  await nothingLost('control plane killed', from);
}, 90_000);

test('a Gateway that is in use is deleted and made again: nothing is lost, and the service says that it goes without', async () => {
  const from = Date.now();
  await cluster.remove(...GATEWAY, 'waypoint', NAMESPACE);
  await traversed();
  const unbound = await conditionOf(cluster, ['v1', 'Service', SERVICE], 'istio.io/WaypointBound', 'False');
  expect(unbound.message).toContain('waypoint');
  figures.push(`deleted in use: ${unbound.reason}: ${unbound.message}`);
  await waypoint.replicas(0);
  await waypoint.deploy();
  await traversed(waypoint);
  await conditionOf(cluster, ['v1', 'Service', SERVICE], 'istio.io/WaypointBound', 'True');
  await Bun.sleep(OBSERVE_MS);
  await nothingLost('Gateway deleted in use', from);
}, 120_000);

test('without any replica requests fail with the reason in the log, never around the waypoint, until there is one', async () => {
  const deployment = await cluster.client.discovery.forKind('apps/v1', 'Deployment');
  const scale = (replicas: number) =>
    cluster.client.patch(deployment, 'waypoint', { spec: { replicas } }, { namespace: NAMESPACE, type: 'merge' });
  await scale(0);
  await waypoint.replicas(0);
  const from = Date.now();
  await Bun.sleep(OBSERVE_MS);
  const to = Date.now();
  const served = await buyers.window(from, to);
  figures.push(`no replica: ${served.requests} requests, ${served.failures.length} failed`);
  expect(served.byName).toEqual({});
  expect(served.failures.length).toBe(served.requests);
  const lines = (await cluster.proxyLogs())
    .split('\n')
    .filter((line) => line.includes('access') && Date.parse(line.split('\t')[0] ?? '') >= from);
  expect(lines.filter((line) => line.includes(`dst.namespace="${NAMESPACE}"`) && line.includes('direction="inbound"'))).toEqual([]);
  expect(
    lines.filter((line) => line.includes(`${NAMESPACE}/waypoint.${NAMESPACE}.svc.cluster.local has no healthy endpoint`)).length,
  ).toBeGreaterThan(10);
  await scale(2);
  await waypoint.replicas(2);
  await traversed(waypoint);
  const back = Date.now();
  await Bun.sleep(OBSERVE_MS);
  await nothingLost('back again', back);
}, 120_000);
