/** NetworkPolicies at a real ztunnel, which knows none: it gets them as Authorizations. Ours on the other node decides with the policies themselves, and the same. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventually, type Sandbox, sandbox } from '../support/cluster.ts';
import { AMBIENT, MeshCluster, namespaceOf, PEER_PORT, peerPod, SECOND_PORT } from '../support/mesh-cluster.ts';
import { useRealZtunnel, ZTUNNEL_BIN } from './real-ztunnel.ts';

const isMissing = ZTUNNEL_BIN === undefined;
const NETWORKING = 'networking.k8s.io/v1';

describe.skipIf(isMissing)(isMissing ? 'not run: ZTUNNEL_BIN names no real ztunnel' : 'with a real ztunnel', () => {
  let box: Sandbox;
  let cluster: MeshCluster;
  const servers: string[] = [];
  const CALLERS = [
    ['shop', 'friend1'],
    ['shop', 'friend2'],
    ['shop', 'foe1'],
    ['shop', 'foe2'],
    ['outside', 'stranger'],
  ] as const;

  beforeAll(async () => {
    box = sandbox();
    cluster = await MeshCluster.start(box);
    const patch = {
      spec: {
        template: { spec: { containers: [{ name: 'discovery', env: [{ name: 'NETWORK_POLICY_AUTHORIZATIONS', value: 'true' }] }] } },
      },
    };
    await box.must(['kubectl', 'patch', 'deployment', 'istiod', '-n', 'istio-system', '-p', JSON.stringify(patch)]);
    await box.must(['kubectl', 'rollout', 'status', 'deployment/istiod', '-n', 'istio-system', '--timeout=60s']);
    await useRealZtunnel(box, 'node2');
    await cluster.apply(
      [
        namespaceOf('shop', AMBIENT),
        namespaceOf('outside'),
        ...['1', '2'].flatMap((n) => [
          peerPod({ namespace: 'shop', name: `server${n}`, node: `node${n}`, labels: { app: 'server' } }),
          peerPod({ namespace: 'shop', name: `friend${n}`, node: `node${n}`, labels: { role: 'friend' } }),
          peerPod({ namespace: 'shop', name: `foe${n}`, node: `node${n}`, labels: { role: 'foe' } }),
        ]),
        peerPod({ namespace: 'outside', name: 'stranger', node: 'node1', labels: { role: 'friend' } }),
      ].join(''),
    );
    for (const name of ['server1', 'server2']) servers.push((await cluster.ready('shop', name)).status?.podIP ?? '');
    for (const [namespace, name] of CALLERS) await cluster.ready(namespace, name);
  }, 300_000);
  afterAll(() => box.close());

  /** The same callers reach both servers, the one behind ours and the one behind the real one. */
  async function callers(expected: readonly string[], port = PEER_PORT): Promise<void> {
    for (const server of servers) {
      let last: string[] = [];
      await eventually(`exactly ${expected.join(', ') || 'nobody'} to reach ${server}:${port}`, 30, async () => {
        const answers = await Promise.all(
          CALLERS.map(async ([namespace, name]) => ('answer' in (await cluster.call(namespace, name, server, port)) ? [name] : [])),
        );
        last = answers.flat();
        return Bun.deepEquals(last, [...expected]) || undefined;
      }).catch((error: Error) => {
        throw new Error(`${error.message}; it was ${last.join(', ') || 'nobody'}`);
      });
    }
  }
  const policy = (name: string, spec: object, namespace = 'shop') =>
    cluster.apply(JSON.stringify({ apiVersion: NETWORKING, kind: 'NetworkPolicy', metadata: { name, namespace }, spec }));
  const EVERYBODY = CALLERS.map(([, name]) => name);

  test('rules for labels, namespaces and ports hold at both, and labels that change, too', async () => {
    await callers(EVERYBODY);
    await policy('friends', {
      podSelector: { matchLabels: { app: 'server' } },
      ingress: [
        { from: [{ podSelector: { matchLabels: { role: 'friend' } } }], ports: [{ port: PEER_PORT }] },
        { from: [{ namespaceSelector: { matchLabels: { team: 'ours' } } }], ports: [{ port: SECOND_PORT, endPort: SECOND_PORT + 9 }] },
      ],
    });
    await callers(['friend1', 'friend2']);
    await callers([], SECOND_PORT);
    await cluster.label('outside', { team: 'ours' });
    await callers(['stranger'], SECOND_PORT);
    const resource = await cluster.client.discovery.forKind('v1', 'Pod');
    await cluster.client.patch(resource, 'foe2', { metadata: { labels: { role: 'friend' } } }, { type: 'merge', namespace: 'shop' });
    await callers(['friend1', 'friend2', 'foe2']);
    await cluster.client.patch(resource, 'foe2', { metadata: { labels: { role: 'foe' } } }, { type: 'merge', namespace: 'shop' });
    await cluster.remove(NETWORKING, 'NetworkPolicy', 'friends', 'shop');
    await callers(EVERYBODY);
  }, 180_000);

  test('egress rules hold at the destination, whichever proxy the client has', async () => {
    await policy('out', {
      podSelector: { matchLabels: { role: 'foe' } },
      policyTypes: ['Egress'],
      egress: [{ to: [{ podSelector: { matchLabels: { app: 'server' } } }], ports: [{ port: SECOND_PORT }] }],
    });
    await callers(['friend1', 'friend2', 'stranger']);
    await callers(EVERYBODY, SECOND_PORT);
    await cluster.remove(NETWORKING, 'NetworkPolicy', 'out', 'shop');
    await callers(EVERYBODY);
  }, 180_000);

  test('the real one names the Authorization that a NetworkPolicy became', async () => {
    await policy('deny', { podSelector: { matchLabels: { app: 'server' } } });
    await callers([]);
    const logs = await Promise.all(
      (await cluster.pods('program=ztunnel-real', 'istio-system')).map((pod) => cluster.logs('istio-system', pod.metadata?.name ?? '')),
    );
    expect(logs.some((text) => text.includes('shop/converted_network_policy_ingress_server2'))).toBe(true);
  }, 90_000);
});
