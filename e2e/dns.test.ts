/** DNS of pods in the mesh: what the mesh knows comes from the node proxy, the rest from the cluster's nameserver, and neither stops when a proxy is replaced. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import path from 'node:path';
import { eventually, ROOT, type Sandbox, sandbox } from './support/cluster.ts';
import { AMBIENT, BUN, isReady, MeshCluster, namespaceOf, PEER, PEER_PORT, peerPod } from './support/mesh-cluster.ts';
import type { SteadyEvent } from './support/resolve.ts';

const RESOLVE = path.join(ROOT, 'e2e/support/resolve.ts');
/** Seconds: the node proxy's answers, and those of the embedded cluster's nameserver. */
const MESH_TTL = 30;
const CLUSTER_TTL = 5;
const DOMAIN = 'named.svc.cluster.local';
const CAPTURE = 'ambient.istio.io/dns-capture';

let box: Sandbox;
let cluster: MeshCluster;
let server = '';

const service = (name: string, clusterIP?: string): string =>
  `---\n${JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'named' },
    spec: { selector: { app: 'server' }, ports: [{ name: 'line', port: PEER_PORT }], ...(clusterIP !== undefined && { clusterIP }) },
  })}\n`;

const annotated = (manifest: string, annotations: Readonly<Record<string, string>>): string => {
  const pod = JSON.parse(manifest.slice(manifest.indexOf('{')));
  return `---\n${JSON.stringify({ ...pod, metadata: { ...pod.metadata, annotations } })}\n`;
};

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(
    [
      namespaceOf('named', AMBIENT),
      namespaceOf('outside'),
      service('web'),
      service('bare', 'None'),
      peerPod({ namespace: 'named', name: 'server', node: 'node2' }),
      peerPod({ namespace: 'named', name: 'asker', node: 'node1' }),
      annotated(peerPod({ namespace: 'named', name: 'apart', node: 'node1' }), { [CAPTURE]: 'false' }),
      peerPod({ namespace: 'outside', name: 'stranger', node: 'node1' }),
    ].join(''),
  );
  const names = ['server', 'asker', 'apart'].map((name) => cluster.ready('named', name));
  server = (await Promise.all(names))[0]!.status?.podIP ?? '';
  await cluster.ready('outside', 'stranger');
  await eventually('the service to be known', 30, async () => ((await ttl('asker', 'web')) === MESH_TTL ? true : undefined));
}, 180_000);

afterAll(() => box.close());

interface Address {
  readonly address: string;
  readonly ttl: number;
}

async function lookup<T>(pod: string, name: string, type = 'A', namespace = 'named'): Promise<T | string> {
  const ran = await cluster.run(namespace, pod, [BUN, RESOLVE, 'lookup', name, type]);
  return ran.code === 0 ? (JSON.parse(ran.out) as T) : `${ran.out}${ran.err}`.trim();
}
async function ttl(pod: string, name: string, namespace?: string): Promise<number | string | undefined> {
  const found = await lookup<Address[]>(pod, name, 'A', namespace);
  return typeof found === 'string' ? found : found[0]?.ttl;
}

test('services and headless services are answered by the node proxy, under every name they have', async () => {
  const address = (await cluster.get<{ spec?: { clusterIP?: string } }>('v1', 'Service', 'web', 'named'))?.spec?.clusterIP ?? '';
  for (const name of ['web', 'web.named', 'web.named.svc', `web.${DOMAIN}`])
    expect(await lookup('asker', name)).toEqual([{ address, ttl: MESH_TTL }]);
  expect(await lookup('asker', `bare.${DOMAIN}`)).toEqual([{ address: server, ttl: MESH_TTL }]);
});

test('what is not the mesh’s comes from the cluster’s nameserver', async () => {
  expect(await lookup<{ port: number }[]>('asker', `_line._tcp.web.${DOMAIN}`, 'SRV')).toEqual([
    expect.objectContaining({ port: PEER_PORT }),
  ]);
  expect(await lookup('asker', `nowhere.${DOMAIN}`)).toBe('ENOTFOUND');
  expect(await lookup('asker', 'example.com')).toBe('ENOTFOUND');
});

test('pods that keep their DNS to themselves, and pods outside the mesh, ask the cluster’s nameserver', async () => {
  expect(await ttl('apart', `web.${DOMAIN}`)).toBe(CLUSTER_TTL);
  expect(await ttl('stranger', `web.${DOMAIN}`, 'outside')).toBe(CLUSTER_TTL);
});

test('connections by name work, and the proxies count the queries', async () => {
  expect(await cluster.call('named', 'asker', 'web')).toHaveProperty('answer');
  const proxies = await cluster.pods('app=ztunnel', 'istio-system');
  const pages = await Promise.all(proxies.map((pod) => cluster.fetch('istio-system', pod.metadata?.name ?? '', 15_020, '/metrics')));
  expect(pages.join('')).toMatch(
    /istio_dns_requests_total\{request_query_type="a",request_protocol="udp",source_canonical_service="asker"/,
  );
  expect(pages.join('')).toMatch(/istio_dns_upstream_requests_total\{request_query_type="srv"/);
});

/** A pod that asks for this all the time. */
const steadyPod = (name: string, ...question: readonly [name: string, type: string]): string =>
  peerPod({ namespace: 'named', name, node: 'node1', role: ['steady', ...question] }).replace(PEER, RESOLVE);
const STEADY = ['local', 'forwarded'] as const;

async function steadyEvents(event: SteadyEvent['event'], from = 0): Promise<SteadyEvent[]> {
  const logs = await Promise.all(STEADY.map((pod) => cluster.logs('named', pod)));
  const lines = logs.flatMap((log) => log.split('\n')).filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as SteadyEvent).filter((each) => each.event === event && each.at >= from);
}

test('no query stays without an answer while the node proxies are replaced, and while pods leave the mesh and come back', async () => {
  await cluster.apply(steadyPod('local', `web.${DOMAIN}`, 'A') + steadyPod('forwarded', `_line._tcp.web.${DOMAIN}`, 'SRV'));
  for (const pod of STEADY) await cluster.ready('named', pod);
  await eventually('answers', 40, async () => ((await steadyEvents('first')).length === STEADY.length ? true : undefined));
  const from = Date.now();
  await replaceProxies();
  await cluster.label('named', { 'istio.io/dataplane-mode': null });
  await eventually('the cluster to answer', 60, async () => ((await ttl('asker', `web.${DOMAIN}`)) === CLUSTER_TTL ? true : undefined));
  await cluster.label('named', AMBIENT);
  await eventually('the mesh to answer', 60, async () => ((await ttl('asker', `web.${DOMAIN}`)) === MESH_TTL ? true : undefined));
  // As long as a query may take.
  await Bun.sleep(2500);
  expect(await steadyEvents('lost', from)).toEqual([]);
}, 180_000);

/** As `kubectl rollout restart` does; until only new ones are left. */
async function replaceProxies(): Promise<void> {
  const proxies = () => cluster.pods('app=ztunnel', 'istio-system');
  const before = new Set((await proxies()).map(({ metadata }) => metadata?.uid));
  const resource = await cluster.client.discovery.forKind('apps/v1', 'DaemonSet');
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  const patch = { spec: { template: { metadata: { annotations } } } };
  await cluster.client.patch(resource, 'ztunnel', patch, { namespace: 'istio-system', type: 'merge' });
  await eventually('the proxies to be replaced', 90, async () => {
    const pods = await proxies();
    return pods.length === before.size && pods.every((pod) => isReady(pod) && !before.has(pod.metadata?.uid)) ? true : undefined;
  });
}
