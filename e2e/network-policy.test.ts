/** NetworkPolicies of real pods on two nodes: what they say of ports and labels holds inside tunnels, where a CNI sees only port 15008. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually, type Sandbox, sandbox } from './support/cluster.ts';
import { AMBIENT, MeshCluster, namespaceOf, PEER_PORT, peerPod, SECOND_PORT } from './support/mesh-cluster.ts';
import type { HoldEvent } from './support/peer.ts';

const NETWORKING = 'networking.k8s.io/v1';

let box: Sandbox;
let cluster: MeshCluster;
let server = '';

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(
    [
      namespaceOf('shop', AMBIENT),
      namespaceOf('bank', AMBIENT),
      namespaceOf('outside'),
      peerPod({ namespace: 'shop', name: 'server', node: 'node2' }),
      peerPod({ namespace: 'shop', name: 'friend', node: 'node1', labels: { role: 'friend' } }),
      peerPod({ namespace: 'shop', name: 'foe', node: 'node1', labels: { role: 'foe' } }),
      peerPod({ namespace: 'shop', name: 'neighbour', node: 'node2', labels: { role: 'friend' } }),
      peerPod({ namespace: 'bank', name: 'teller', node: 'node1', labels: { role: 'friend' } }),
      peerPod({ namespace: 'outside', name: 'stranger', node: 'node1', labels: { role: 'friend' } }),
    ].join(''),
  );
  server = (await cluster.ready('shop', 'server')).status?.podIP ?? '';
  for (const [namespace, pod] of PODS) await cluster.ready(namespace, pod);
}, 120_000);

afterAll(() => box.close());

const PODS = [
  ['shop', 'friend'],
  ['shop', 'foe'],
  ['shop', 'neighbour'],
  ['bank', 'teller'],
  ['outside', 'stranger'],
] as const;
type PodName = (typeof PODS)[number][1] | 'server';
const namespaceOfPod = (pod: PodName): string => PODS.find(([, name]) => name === pod)?.[0] ?? 'shop';

async function reaches(pod: PodName, port = PEER_PORT, host = server): Promise<boolean> {
  return 'answer' in (await cluster.call(namespaceOfPod(pod), pod, host, port));
}

/** Who reaches the server, once a change is everywhere; the last word is the test's. */
async function callers(expected: readonly PodName[], port = PEER_PORT): Promise<void> {
  const ask = async (): Promise<string[]> => {
    const answers = await Promise.all(PODS.map(async ([, pod]) => ((await reaches(pod, port)) ? [pod] : [])));
    return answers.flat();
  };
  let last: string[] = [];
  await eventually(`exactly ${expected.join(', ') || 'nobody'} to reach port ${port}`, 20, async () => {
    last = await ask();
    return Bun.deepEquals(last, [...expected]) || undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it was ${last.join(', ') || 'nobody'}`);
  });
}

const policy = (name: string, spec: object, namespace = 'shop'): string =>
  JSON.stringify({ apiVersion: NETWORKING, kind: 'NetworkPolicy', metadata: { name, namespace }, spec });
const remove = (name: string, namespace = 'shop') => cluster.remove(NETWORKING, 'NetworkPolicy', name, namespace);

async function label(pod: PodName, labels: Readonly<Record<string, string | null>>): Promise<void> {
  const resource = await cluster.client.discovery.forKind('v1', 'Pod');
  await cluster.client.patch(resource, pod, { metadata: { labels } }, { type: 'merge', namespace: namespaceOfPod(pod) });
}

const held = async (pod: string, event: HoldEvent['event'], at: number): Promise<HoldEvent> =>
  eventually(`the connection of ${pod} to be ${event}`, 20, async () =>
    (await cluster.logs('shop', pod))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as HoldEvent)
      .find((one) => one.event === event && one.at >= at),
  );

const EVERYBODY = PODS.map(([, pod]) => pod);

test('without NetworkPolicies everybody reaches every port', async () => {
  await callers(EVERYBODY);
  await callers(EVERYBODY, SECOND_PORT);
});

test('a rule for labels and one port lets in exactly those pods at exactly that port, inside tunnels too', async () => {
  await cluster.apply(
    policy('friends', {
      podSelector: { matchLabels: { app: 'server' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { role: 'friend' } } }], ports: [{ port: PEER_PORT }] }],
    }),
  );
  await callers(['friend', 'neighbour']);
  await callers([], SECOND_PORT);
  expect(await reaches('server')).toBe(true);
  const log = await eventually('the refusal in the access log', 10, async () => {
    const line = (await cluster.proxyLogs())
      .split('\n')
      .find((one) => one.includes('NetworkPolicy ingress: not allowed by shop/friends') && one.includes('src.workload="foe"'));
    return line;
  });
  expect(log).toContain('direction="inbound"');
}, 90_000);

test('a pod that loses the label loses its open connection and gets it back with the label', async () => {
  await cluster.apply(
    peerPod({ namespace: 'shop', name: 'holder', node: 'node1', role: ['hold', server, String(PEER_PORT)], labels: { role: 'friend' } }),
  );
  await cluster.ready('shop', 'holder');
  await held('holder', 'open', 0);
  const resource = await cluster.client.discovery.forKind('v1', 'Pod');
  const relabel = (role: string) =>
    cluster.client.patch(resource, 'holder', { metadata: { labels: { role } } }, { type: 'merge', namespace: 'shop' });
  const lost = Date.now();
  await relabel('foe');
  const closed = await held('holder', 'closed', lost);
  console.error(`the open connection ended ${closed.at - lost} ms after the label changed`);
  const again = Date.now();
  await relabel('friend');
  await held('holder', 'open', again);
}, 60_000);

test('labels of a pod and of a namespace, changed while pods run, change who gets in', async () => {
  await cluster.apply(
    policy('friends', {
      podSelector: { matchLabels: { app: 'server' } },
      ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'money' } }, podSelector: { matchLabels: { role: 'friend' } } }] }],
    }),
  );
  await callers([]);
  await cluster.label('bank', { team: 'money' });
  await callers(['teller']);
  await label('teller', { role: 'foe' });
  await callers([]);
  await label('teller', { role: 'friend' });
  await cluster.label('outside', { team: 'money' });
  await callers(['teller', 'stranger']);
  await cluster.label('bank', { team: null });
  await callers(['stranger']);
  await cluster.label('outside', { team: null });
  await remove('friends');
  await callers(EVERYBODY);
}, 120_000);

test('an egress rule constrains the client at the real port, in tunnels and outside them', async () => {
  const stranger = (await cluster.ready('outside', 'stranger')).status?.podIP ?? '';
  await cluster.apply(
    policy('out', {
      podSelector: { matchLabels: { app: 'friend' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'server' } } }], ports: [{ port: PEER_PORT }] }],
    }),
  );
  await callers(EVERYBODY);
  await callers(['foe', 'neighbour', 'teller', 'stranger'], SECOND_PORT);
  expect(await reaches('friend', PEER_PORT, stranger)).toBe(false);
  expect(await reaches('foe', PEER_PORT, stranger)).toBe(true);
  await remove('out');
  await callers(EVERYBODY, SECOND_PORT);
}, 90_000);
