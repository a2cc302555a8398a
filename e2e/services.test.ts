/** Services in a whole cluster: the zone of a node and a ServiceEntry, set with the API, decide where connections of pods go. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually, type Sandbox, sandbox } from './support/cluster.ts';
import { AMBIENT, type Condition, MeshCluster, namespaceOf, PEER_PORT, peerPod } from './support/mesh-cluster.ts';

let box: Sandbox;
let cluster: MeshCluster;

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  const backend = (name: string, node: string): string => peerPod({ namespace: 'shop', name, node, labels: { tier: 'backend' } });
  await cluster.apply(
    [
      namespaceOf('shop', AMBIENT),
      namespaceOf('outside'),
      peerPod({ namespace: 'shop', name: 'client', node: 'node1' }),
      backend('near', 'node1'),
      backend('far', 'node2'),
      peerPod({ namespace: 'outside', name: 'database', node: 'node2' }),
      service('web', {}),
    ].join(''),
  );
  for (const name of ['client', 'near', 'far']) await cluster.ready('shop', name);
  await cluster.ready('outside', 'database');
}, 120_000);

afterAll(() => box.close());

function service(name: string, spec: object): string {
  return `---\n${JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { selector: { tier: 'backend' }, ports: [{ name: 'tcp', port: PEER_PORT }], ...spec },
  })}\n`;
}

const setZone = async (node: string, zone: string): Promise<void> => {
  const resource = await cluster.client.discovery.forKind('v1', 'Node');
  const labels = { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': zone };
  await cluster.client.patch(resource, node, { metadata: { labels } }, { type: 'merge' });
};

/** Names of the workloads the client's connections to a service went to since `start`, one after another. */
const destinations = async (host: string, start: number): Promise<string[]> =>
  (await cluster.proxyLogs())
    .split('\n')
    .filter(
      (line) => line.includes('direction="outbound"') && line.includes(`dst.service="${host}"`) && Date.parse(line.slice(0, 27)) >= start,
    )
    .map((line) => /dst\.workload="([^"]*)"/.exec(line)?.[1] ?? 'unknown');

/** Where so many connections of the client go: read once all of them are in the log, which is written in batches. */
async function destinationsOf(host: string, times: number): Promise<readonly string[]> {
  const start = Date.now();
  for (let i = 0; i < times; i++) expect(await cluster.call('shop', 'client', host)).toHaveProperty('answer');
  return eventually(`${times} lines in the log`, 30, async () => {
    const names = await destinations(host, start);
    return names.length >= times ? names : undefined;
  });
}

const WEB = 'web.shop.svc.cluster.local';

test('a service reaches its endpoints on all nodes, and with PreferClose keeps to the zone of its client as nodes are labelled', async () => {
  expect(new Set(await destinationsOf(WEB, 20))).toEqual(new Set(['near', 'far']));
  await setZone('node1', 'a');
  await setZone('node2', 'b');
  await cluster.apply(service('web', { trafficDistribution: 'PreferClose' }));
  await eventually('the near one alone', 90, async () => ((await destinationsOf(WEB, 10)).includes('far') ? undefined : true));
  expect(new Set(await destinationsOf(WEB, 20))).toEqual(new Set(['near']));
  // In one zone they are all close again.
  await setZone('node2', 'a');
  await eventually('the far one too', 90, async () => ((await destinationsOf(WEB, 10)).includes('far') ? true : undefined));
}, 180_000);

test('a ServiceEntry makes a host of a pod outside the mesh: resolved by the node proxy, reached, and named in the log', async () => {
  const host = 'db.example.com';
  expect(await cluster.call('shop', 'client', host)).toHaveProperty('refused');
  const address = (await cluster.ready('outside', 'database')).status?.podIP ?? '';
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'ServiceEntry',
      metadata: { name: 'db', namespace: 'shop' },
      spec: {
        hosts: [host],
        resolution: 'STATIC',
        ports: [{ number: PEER_PORT, name: 'tcp', protocol: 'TCP' }],
        endpoints: [{ address }],
      },
    }),
  );
  const own = (await cluster.ready('shop', 'client')).status?.podIP ?? '';
  const start = Date.now();
  await eventually('an answer', 30, async () => {
    const result = await cluster.call('shop', 'client', host);
    return 'answer' in result && result.answer === own ? true : undefined;
  });
  await eventually('the line', 20, async () => ((await destinations(host, start)).includes('db') ? true : undefined));
  type Entry = {
    readonly status?: { readonly addresses?: readonly { value?: string; host?: string }[]; readonly conditions?: readonly Condition[] };
  };
  const entry = await cluster.get<Entry>('networking.istio.io/v1', 'ServiceEntry', 'db', 'shop');
  expect(entry?.status?.addresses?.[0]).toMatchObject({ host, value: expect.stringMatching(/^240\.240\./) });
  expect(entry?.status?.conditions).toMatchObject([{ type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted' }]);
  await cluster.remove('networking.istio.io/v1', 'ServiceEntry', 'db', 'shop');
  await eventually('no answer', 30, async () => ('refused' in (await cluster.call('shop', 'client', host)) ? true : undefined));
}, 120_000);
