/** NetworkPolicies of pods behind a waypoint: the endpoint sees only the waypoint, so the waypoint holds the client against the endpoint it chose. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually, LATEEN, type Sandbox, sandbox } from './support/cluster.ts';
import { MeshCluster, PEER_PORT, peerPod } from './support/mesh-cluster.ts';
import { Buyers, CLIENTS, loads, NAMESPACE, SERVERS, WaypointView } from './support/web-cluster.ts';
import type { Way } from './support/web-wire.ts';

const NETWORKING = 'networking.k8s.io/v1';
/** Requests per second from each load generator in each way: enough to keep connections open. */
const RATE = 2;

let box: Sandbox;
let cluster: MeshCluster;
let buyers: Buyers;
let waypoint: WaypointView;

const yaml = (...objects: readonly object[]): string => objects.map((object) => `---\n${JSON.stringify(object)}\n`).join('');

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(SERVERS);
  waypoint = new WaypointView(cluster, 'waypoint');
  await cluster.apply(
    peerPod({ namespace: NAMESPACE, name: 'lines', node: 'node2' }) +
      yaml({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'lines', namespace: NAMESPACE },
        spec: { selector: { app: 'lines' }, ports: [{ name: 'tcp', port: PEER_PORT, appProtocol: 'tcp' }] },
      }),
  );
  await Promise.all([waypoint.deploy(), ...['v1', 'v2', 'lines'].map((name) => cluster.ready(NAMESPACE, name))]);
  await cluster.apply(loads(RATE));
  await cluster.apply(peerPod({ namespace: CLIENTS, name: 'caller', node: 'node1' }));
  await cluster.label(NAMESPACE, { 'istio.io/use-waypoint': 'waypoint' });
  buyers = new Buyers(cluster);
  await Promise.all([...buyers.pods, 'caller'].map((name) => cluster.ready(CLIENTS, name)));
  await eventually('the clients to be in the mesh', 30, async () =>
    (await cluster.pods('', CLIENTS)).every(({ metadata }) => metadata?.annotations?.['ambient.istio.io/redirection'] === 'enabled')
      ? true
      : undefined,
  );
  await through(true);
}, 240_000);

afterAll(() => box.close());

const policy = (name: string, spec: object, namespace = NAMESPACE): string =>
  yaml({ apiVersion: NETWORKING, kind: 'NetworkPolicy', metadata: { name, namespace }, spec });
const remove = (name: string, namespace = NAMESPACE) => cluster.remove(NETWORKING, 'NetworkPolicy', name, namespace);
const label = async (name: string, labels: Readonly<Record<string, string | null>>) => {
  const resource = await cluster.client.discovery.forKind('v1', 'Pod');
  await cluster.client.patch(resource, name, { metadata: { labels } }, { type: 'merge', namespace: CLIENTS });
};

/** Addresses of the waypoint's replicas: what servers see as their client when a request came through it. */
const replicas = async (): Promise<string[]> => (await waypoint.pods()).map(({ status }) => status?.podIP ?? '');

/** All clients are answered through the waypoint. */
const through = (isThere: boolean) =>
  eventually('requests to come through the waypoint', 40, async () => {
    const own = await replicas();
    const answers = await Promise.all(buyers.pods.map((name) => buyers.once(name, 'fresh')));
    return answers.every((answer) => ('peer' in answer && own.includes(answer.peer)) === isThere) || undefined;
  });

const outcome = async (name: string, way: Way): Promise<string> => {
  const answer = await buyers.once(name, way);
  return 'peer' in answer ? 'answered' : answer.reason;
};
const becomes = (name: string, way: Way, expected: string) =>
  eventually(`${name} to get ${expected} by ${way}`, 20, async () => ((await outcome(name, way)).includes(expected) ? true : undefined));

const logsOfWaypoint = async (): Promise<string> =>
  (await Promise.all((await waypoint.pods()).map(({ metadata }) => cluster.logs(NAMESPACE, metadata?.name ?? '')))).join('');

const SERVERS_FOR_VIPS = policy('vips', {
  podSelector: { matchLabels: { app: 'web' } },
  ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { vip: 'yes' } } }], ports: [{ port: 8080 }] }],
});

test('the client, not the waypoint, is held against the rules of the endpoint, at the port of the endpoint', async () => {
  await label('buyer1', { vip: 'yes' });
  await cluster.apply(SERVERS_FOR_VIPS);
  await becomes('buyer2', 'fresh', '403');
  await becomes('buyer2', 'kept', '403');
  await becomes('buyer1', 'fresh', 'answered');
  expect(await outcome('buyer1', 'kept')).toBe('answered');
  // HTTP/2 goes to port 8081 of the pods.
  await becomes('buyer1', 'h2', '403');
  const answer = await buyers.once('buyer1', 'fresh');
  expect(await replicas()).toContain('peer' in answer ? answer.peer : '');
}, 90_000);

test('the log of the waypoint names the policy, the answer to the client does not', async () => {
  const line = await eventually('the refusal in the log of the waypoint', 20, async () =>
    (await logsOfWaypoint()).split('\n').find((one) => one.includes('network_policy_denied')),
  );
  expect(line).toContain('UAEX');
  expect(line).toContain('NetworkPolicy ingress: not allowed by shop/vips');
});

test('a response that is being streamed ends when its client is not allowed any more', async () => {
  const before = await buyers.open(['fresh'], 60_000, 1);
  await eventually('the stream of buyer1 to flow', 20, async () =>
    (await buyers.streams(before)).some(({ events, state }) => state === 'open' && events > 2) ? true : undefined,
  );
  await label('buyer1', { vip: null });
  await eventually('no stream to be open', 20, async () =>
    (await buyers.streams(before)).every(({ state }) => state !== 'open') ? true : undefined,
  );
  await becomes('buyer1', 'fresh', '403');
  await label('buyer1', { vip: 'yes' });
  await becomes('buyer1', 'fresh', 'answered');
  await remove('vips');
  await becomes('buyer2', 'fresh', 'answered');
}, 90_000);

test('what is not HTTP is closed instead', async () => {
  const lines = `lines.${NAMESPACE}.svc.cluster.local`;
  const answers = async () => 'answer' in (await cluster.call(CLIENTS, 'caller', lines));
  await eventually('the caller to be answered', 20, async () => ((await answers()) ? true : undefined));
  await cluster.apply(policy('lines', { podSelector: { matchLabels: { app: 'lines' } }, ingress: [{ from: [{ podSelector: {} }] }] }));
  await eventually('the caller to be refused', 20, async () => ((await answers()) ? undefined : true));
  await cluster.apply(
    policy('lines', {
      podSelector: { matchLabels: { app: 'lines' } },
      ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': CLIENTS } } }] }],
    }),
  );
  await eventually('the caller to be answered again', 20, async () => ((await answers()) ? true : undefined));
  await remove('lines');
}, 90_000);

test("a namespace that denies everything by default stops its waypoint's pods from nothing but what clients may not do", async () => {
  await cluster.apply(
    policy('deny-all', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }) +
      policy('buyers', {
        podSelector: { matchLabels: { app: 'web' } },
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'buyer' } } }] }],
      }),
  );
  const lines = `lines.${NAMESPACE}.svc.cluster.local`;
  await eventually('the caller to be refused', 20, async () =>
    'refused' in (await cluster.call(CLIENTS, 'caller', lines)) ? true : undefined,
  );
  for (const name of buyers.pods) for (const way of ['fresh', 'h2'] as const) await becomes(name, way, 'answered');
  await remove('deny-all');
  await remove('buyers');
}, 90_000);

test('egress rules of the client hold for the endpoint that the waypoint chose', async () => {
  const spec = (port: number) => ({
    podSelector: { matchLabels: { app: 'buyer' } },
    policyTypes: ['Egress'],
    egress: [{ to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': NAMESPACE } } }], ports: [{ port }] }],
  });
  await cluster.apply(policy('out', spec(8081), CLIENTS));
  await becomes('buyer1', 'fresh', '403');
  await becomes('buyer1', 'h2', 'answered');
  await eventually('the refusal in the log of the waypoint', 20, async () =>
    (await logsOfWaypoint()).includes(`NetworkPolicy egress: not allowed by ${CLIENTS}/out`) ? true : undefined,
  );
  await remove('out', CLIENTS);
  await becomes('buyer1', 'fresh', 'answered');
}, 90_000);

test('config_dump of the waypoint shows the policies and what pods are to them', async () => {
  await cluster.apply(SERVERS_FOR_VIPS);
  const [pod] = await waypoint.pods();
  interface Dump {
    readonly networkPolicies: readonly { readonly name: string; readonly ingress: unknown }[];
    readonly workloads: readonly { readonly name: string; readonly networkPolicy?: { readonly groups: readonly string[] } }[];
  }
  const dump = await eventually('the policy in the dump', 20, async () => {
    const config = JSON.parse(
      await box.must([
        LATEEN,
        'exec',
        '-n',
        NAMESPACE,
        pod?.metadata?.name ?? '',
        '--',
        process.execPath,
        '-e',
        'process.stdout.write(await (await fetch("http://127.0.0.1:15000/config_dump")).text())',
      ]),
    ) as Dump;
    return config.networkPolicies.length > 0 ? config : undefined;
  });
  expect(dump.networkPolicies).toMatchObject([{ name: 'vips', ingress: [{ peers: [{ text: '[*]: vip=yes' }], ports: [8080] }] }]);
  expect(dump.workloads.find(({ name }) => name === 'v1')?.networkPolicy?.groups).toContain('shop: app=web');
}, 60_000);
