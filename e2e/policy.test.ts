/** Who may talk to whom: policies take hold and let go while connections are open, and say in their status what they do. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { eventually, type Sandbox, sandbox } from './support/cluster.ts';
import { AMBIENT, type Condition, MeshCluster, namespaceOf, PEER_PORT, peerPod, SECOND_PORT } from './support/mesh-cluster.ts';
import type { HoldEvent } from './support/peer.ts';

const SECURITY = 'security.istio.io/v1';
/** "Within a second" of the issue. */
const DENY_LIMIT_MS = 1_000;
const ROUNDS = 3;

let box: Sandbox;
let cluster: MeshCluster;
let server = '';

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(
    [
      namespaceOf('shop', AMBIENT, ['server', 'friend', 'foe']),
      namespaceOf('outside'),
      peerPod({ namespace: 'shop', name: 'server', node: 'node2', serviceAccount: 'server' }),
      peerPod({ namespace: 'shop', name: 'friend', node: 'node1', serviceAccount: 'friend' }),
      peerPod({ namespace: 'shop', name: 'foe', node: 'node1', serviceAccount: 'foe' }),
      peerPod({ namespace: 'outside', name: 'stranger', node: 'node1' }),
    ].join(''),
  );
  const names = ['server', 'friend', 'foe'].map((name) => cluster.ready('shop', name));
  server = (await Promise.all(names))[0]!.status?.podIP ?? '';
  await cluster.apply(
    peerPod({ namespace: 'shop', name: 'holder', node: 'node1', serviceAccount: 'foe', role: ['hold', server, String(PEER_PORT)] }),
  );
  await cluster.ready('shop', 'holder');
  await cluster.ready('outside', 'stranger');
}, 120_000);

afterAll(() => box.close());

const call = (pod: string, namespace = 'shop') => cluster.call(namespace, pod, server);
const holderEvents = async (): Promise<HoldEvent[]> =>
  (await cluster.logs('shop', 'holder'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as HoldEvent);

const heldAfter = (event: HoldEvent['event'], at: number) =>
  eventually(`the held connection to be ${event}`, 20, async () =>
    (await holderEvents()).find((one) => one.event === event && one.at >= at),
  );

function policy(name: string, spec: object, namespace = 'shop'): string {
  return JSON.stringify({ apiVersion: SECURITY, kind: 'AuthorizationPolicy', metadata: { name, namespace }, spec });
}

const conditionsOf = async (kind: string, name: string): Promise<readonly Condition[]> => {
  const found = await cluster.get<{ status?: { conditions?: readonly Condition[] } }>(SECURITY, kind, name, 'shop');
  return found?.status?.conditions ?? [];
};

const condition = (kind: string, name: string, type: string, status: string) =>
  eventually(`${type}=${status} on ${kind} ${name}`, 20, async () =>
    (await conditionsOf(kind, name)).find((one) => one.type === type && one.status === status),
  );

/** In force on every proxy that is connected. */
const inForce = (name: string, kind = 'AuthorizationPolicy') => condition(kind, name, 'ZtunnelSynced', 'True');

const answered = (pod: string, namespace = 'shop') =>
  eventually(`an answer to ${pod}`, 20, async () => ('answer' in (await call(pod, namespace)) ? true : undefined));

test('without a policy callers inside and outside the mesh are answered, and the server sees their own addresses', async () => {
  for (const [namespace, pod] of [
    ['shop', 'friend'],
    ['shop', 'foe'],
    ['outside', 'stranger'],
  ] as const) {
    const address = (await cluster.ready(namespace, pod)).status?.podIP ?? '';
    expect(await call(pod, namespace)).toEqual({ answer: address });
  }
});

test('a denied identity is refused within a second, its open connections too, and all is as before when the policy goes', async () => {
  const delays: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await heldAfter('open', 0);
    const before = Date.now();
    await cluster.apply(
      policy('deny-foe', { action: 'DENY', rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/foe'] } }] }] }),
    );
    const created = Date.now();
    const closed = await heldAfter('closed', before);
    delays.push(closed.at - created);
    expect(closed.answers).toBeGreaterThan(0);
    expect(await call('foe')).toHaveProperty('refused');
    expect(await call('friend')).toHaveProperty('answer');
    // While the policy stands nothing can open.
    const removed = Date.now();
    await cluster.remove(SECURITY, 'AuthorizationPolicy', 'deny-foe', 'shop');
    await heldAfter('open', removed);
    expect(await call('foe')).toHaveProperty('answer');
  }
  // The promise is about the system, not about a machine that does other work as well: the middle one counts.
  expect(delays.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]).toBeLessThan(DENY_LIMIT_MS);
}, 120_000);

test('the access log names the policy that refused', async () => {
  const logs = await eventually('the refusal in the access log', 10, async () => {
    const text = await cluster.proxyLogs();
    return text.includes('explicitly denied by: shop/deny-foe') ? text : undefined;
  });
  const line = logs.split('\n').find((one) => one.includes('explicitly denied by: shop/deny-foe') && one.includes('direction="inbound"'));
  expect(line).toContain('src.identity="spiffe://cluster.local/ns/shop/sa/foe"');
  expect(line).toContain('dst.workload="server"');
});

test('an ALLOW by identity lets only that identity in; plain text has none', async () => {
  await cluster.apply(
    policy('allow-friend', {
      action: 'ALLOW',
      selector: { matchLabels: { app: 'server' } },
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/friend'] } }] }],
    }),
  );
  expect(await condition('AuthorizationPolicy', 'allow-friend', 'ZtunnelAccepted', 'True')).toMatchObject({ reason: 'Accepted' });
  expect(await inForce('allow-friend')).toMatchObject({ message: expect.stringContaining('2 of 2') });
  expect(await call('friend')).toHaveProperty('answer');
  expect(await call('foe')).toHaveProperty('refused');
  expect(await call('stranger', 'outside')).toHaveProperty('refused');
  await cluster.remove(SECURITY, 'AuthorizationPolicy', 'allow-friend', 'shop');
  await answered('foe');
  await answered('stranger', 'outside');
  expect(await cluster.proxyLogs()).toContain('allow policies exist, but none allowed');
}, 60_000);

test('STRICT refuses plain text from outside the mesh and nothing else; removed, plain text is answered again', async () => {
  await cluster.apply(
    JSON.stringify({
      apiVersion: SECURITY,
      kind: 'PeerAuthentication',
      metadata: { name: 'default', namespace: 'shop' },
      spec: { mtls: { mode: 'STRICT' } },
    }),
  );
  expect(await condition('PeerAuthentication', 'default', 'ZtunnelAccepted', 'True')).toMatchObject({ reason: 'Accepted' });
  await eventually('plain text refused', 20, async () => ('refused' in (await call('stranger', 'outside')) ? true : undefined));
  expect(await call('friend')).toHaveProperty('answer');
  expect(await call('foe')).toHaveProperty('answer');
  await cluster.remove(SECURITY, 'PeerAuthentication', 'default', 'shop');
  await answered('stranger', 'outside');
}, 60_000);

test('an exempt port stays open to plain text under STRICT', async () => {
  await cluster.apply(
    JSON.stringify({
      apiVersion: SECURITY,
      kind: 'PeerAuthentication',
      metadata: { name: 'ports', namespace: 'shop' },
      spec: {
        selector: { matchLabels: { app: 'server' } },
        mtls: { mode: 'STRICT' },
        portLevelMtls: { [PEER_PORT]: { mode: 'PERMISSIVE' } },
      },
    }),
  );
  await inForce('ports', 'PeerAuthentication');
  await eventually('plain text refused', 20, async () =>
    'refused' in (await cluster.call('outside', 'stranger', server, SECOND_PORT)) ? true : undefined,
  );
  expect(await call('stranger', 'outside')).toHaveProperty('answer');
  await cluster.remove(SECURITY, 'PeerAuthentication', 'ports', 'shop');
  await eventually('plain text answered', 20, async () =>
    'answer' in (await cluster.call('outside', 'stranger', server, SECOND_PORT)) ? true : undefined,
  );
});

test('an ALLOW with only HTTP attributes allows nobody, and its status says what needs a waypoint', async () => {
  await cluster.apply(policy('http-allow', { action: 'ALLOW', rules: [{ to: [{ operation: { methods: ['GET'], paths: ['/v1/*'] } }] }] }));
  const accepted = await condition('AuthorizationPolicy', 'http-allow', 'ZtunnelAccepted', 'True');
  expect(accepted.reason).toBe('UnsupportedValue');
  expect(accepted.message).toContain('spec.rules[0].to[0].operation.methods');
  expect(accepted.message).toContain('waypoint');
  await inForce('http-allow');
  expect(await call('friend')).toHaveProperty('refused');
  await cluster.remove(SECURITY, 'AuthorizationPolicy', 'http-allow', 'shop');
  await answered('friend');
}, 60_000);

test('a DENY with only HTTP attributes denies everybody rather than nobody', async () => {
  await cluster.apply(policy('http-deny', { action: 'DENY', rules: [{ to: [{ operation: { methods: ['DELETE'] } }] }] }));
  const accepted = await condition('AuthorizationPolicy', 'http-deny', 'ZtunnelAccepted', 'True');
  expect(accepted).toMatchObject({ reason: 'UnsupportedValue', message: expect.stringContaining('more is denied') });
  await inForce('http-deny');
  expect(await call('friend')).toHaveProperty('refused');
  await cluster.remove(SECURITY, 'AuthorizationPolicy', 'http-deny', 'shop');
  await answered('friend');
}, 60_000);

test('a policy no node proxy can enforce says so in its status and refuses nobody', async () => {
  await cluster.apply(policy('custom', { action: 'CUSTOM', provider: { name: 'ext' }, rules: [{}] }));
  expect(await condition('AuthorizationPolicy', 'custom', 'ZtunnelAccepted', 'False')).toMatchObject({
    reason: 'UnsupportedValue',
    message: expect.stringContaining('does not support CUSTOM'),
  });
  await cluster.apply(
    policy('for-waypoint', { action: 'DENY', targetRefs: [{ group: '', kind: 'Service', name: 'nothing' }], rules: [{}] }),
  );
  expect(await condition('AuthorizationPolicy', 'for-waypoint', 'WaypointAccepted', 'False')).toMatchObject({
    message: expect.stringContaining('not enforced'),
  });
  expect(await call('friend')).toHaveProperty('answer');
});
