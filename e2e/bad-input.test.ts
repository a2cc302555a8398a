/** Hostile bytes on every port, and objects and files that are not what they should be: refused with a reason, nothing stored, nothing else disturbed. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import path from 'node:path';
import { ApiError } from '../src/platform/kubernetes/index.ts';
import { eventually, LATEEN, ROOT, type Sandbox, sandbox } from './support/cluster.ts';
import type { Attack } from './support/hostile.ts';
import { AMBIENT, BUN, MeshCluster, namespaceOf, PEER_PORT, type PodView, peerPod } from './support/mesh-cluster.ts';
import type { HoldEvent } from './support/peer.ts';

const HOSTILE = path.join(ROOT, 'e2e/support/hostile.ts');
const API_ADDRESS = '10.240.0.1';
const DNS_ADDRESS = '10.96.0.10';
/** Attacks in which the other side may still wait for the rest when the test looks. */
const MAY_WAIT = ['nothing, held open', 'a ClientHello that never goes on', 'a slow HTTP/1 head'];

let box: Sandbox;
let cluster: MeshCluster;
let server: PodView;
let enter: readonly string[];
/** Begun at the start, looked at later: it takes as long as the longest limit. */
let silent: Promise<[number, number][]>;

beforeAll(async () => {
  box = sandbox();
  cluster = await MeshCluster.start(box);
  await cluster.apply(
    [
      namespaceOf('shop', AMBIENT),
      peerPod({ namespace: 'shop', name: 'server', node: 'node2' }),
      peerPod({ namespace: 'shop', name: 'client', node: 'node1' }),
    ].join(''),
  );
  server = await cluster.ready('shop', 'server');
  await cluster.ready('shop', 'client');
  const role = ['hold', server.status?.podIP ?? '', String(PEER_PORT)];
  await cluster.apply(peerPod({ namespace: 'shop', name: 'holder', node: 'node1', role }));
  await cluster.ready('shop', 'holder');
  enter = (await cluster.status()).nodes.find(({ name }) => name === 'node1')!.enter;
  silent = neverEnded();
}, 180_000);

afterAll(() => box.close());

/** From the node's namespace: everything on the bridge and every pod can be reached from there. */
const fromNode = async <T>(host: string, port: number, mode = ''): Promise<T> =>
  JSON.parse(await box.must([...enter, BUN, HOSTILE, host, String(port), mode])) as T;

/** From inside a pod of the mesh. */
const fromPod = async <T>(host: string, port: number): Promise<T> => {
  const ran = await cluster.run('shop', 'client', [BUN, HOSTILE, host, String(port)]);
  return JSON.parse(ran.out) as T;
};

/** Attacks the other side neither refused nor ended, and may not sit out. */
const unanswered = (attacks: readonly Attack[]): string[] => {
  expect(attacks.length).toBeGreaterThan(15);
  return attacks
    .filter(({ name, outcome }) => outcome !== 'refused' && outcome !== 'ended' && !MAY_WAIT.includes(name))
    .map(({ name }) => name);
};

/** By port, how many of the connections that say nothing are never ended. */
async function neverEnded(): Promise<[number, number][]> {
  const [control, proxy] = [await addressOf('app=istiod'), await addressOf('app=ztunnel', 'node2')];
  const ports: [string, number][] = [
    [server.status?.podIP ?? '', 15_008],
    [proxy, 15_020],
    [proxy, 15_021],
    [control, 15_012],
    [control, 8_080],
    [API_ADDRESS, 6_443],
    ['10.240.0.12', 10_250],
    [DNS_ADDRESS, 53],
  ];
  return await Promise.all(
    ports.map(async ([host, port]): Promise<[number, number]> => [port, await fromNode<number>(host, port, 'idle')]),
  );
}

/** Several ports at the same time. */
const expectEnded = async (...attacks: readonly Promise<Attack[]>[]): Promise<void> => {
  for (const one of await Promise.all(attacks)) expect(unanswered(one)).toEqual([]);
};

const addressOf = async (app: string, node = ''): Promise<string> =>
  (await cluster.pods(app, 'istio-system')).find(({ spec }) => node === '' || spec?.nodeName === node)?.status?.podIP ?? '';

/** Which processes run, to be the same afterwards. */
const running = async (): Promise<unknown> => {
  const pods = (await cluster.pods()).map((pod) => [
    pod.metadata?.name,
    pod.status?.containerStatuses?.map(({ restartCount }) => restartCount),
  ]);
  const processes = (await cluster.status()).processes.map(({ name, pid, restarts }) => [name, pid, restarts]);
  const mesh = [
    ...(await cluster.programs('ztunnel')),
    ...(await cluster.programs('controlplane')),
    ...(await cluster.programs('node-agent')),
  ];
  return [pods, processes, mesh];
};

/** Runs attacks; afterwards every process is the same and connections that were open have not noticed. */
async function withstand(attack: () => Promise<void>): Promise<void> {
  const from = Date.now();
  const before = await running();
  await attack();
  expect(await running()).toEqual(before);
  expect(await cluster.call('shop', 'client', server.status?.podIP ?? '')).toHaveProperty('answer');
  const lines = (await cluster.logs('shop', 'holder')).split('\n').filter((line) => line !== '');
  expect(lines.map((line) => JSON.parse(line) as HoldEvent).filter(({ at, event }) => at >= from && event !== 'open')).toEqual([]);
}

test(
  "a mesh pod's ports take hostile bytes from the network, connection by connection",
  () =>
    withstand(async () => {
      const address = server.status?.podIP ?? '';
      for (const port of [15_008, 15_006, 15_001]) expect(unanswered(await fromNode(address, port))).toEqual([]);
      expect(unanswered(await fromNode(address, 15_008, 'tls'))).toEqual([]);
    }),
  60_000,
);

test(
  "and from inside the pod, on the proxy's own listeners",
  () =>
    withstand(async () => {
      await expectEnded(...[15_001, 15_006, 15_008].map((port) => fromPod<Attack[]>('127.0.0.1', port)));
    }),
  60_000,
);

test(
  'the administration, metrics and readiness ports withstand them',
  () =>
    withstand(async () => {
      const address = await addressOf('app=ztunnel', 'node2');
      await expectEnded(fromNode(address, 15_020), fromNode(address, 15_021));
      const admin = await fromNode<Attack[]>(address, 15_000);
      expect(admin.every(({ outcome }) => outcome === 'refused')).toBe(true); // on loopback only
    }),
  60_000,
);

test(
  'the control plane withstands them, before and after a TLS handshake',
  () =>
    withstand(async () => {
      const address = await addressOf('app=istiod');
      for (const port of [15_012, 15_014, 8_080]) expect(unanswered(await fromNode(address, port))).toEqual([]);
      expect(unanswered(await fromNode(address, 15_012, 'tls'))).toEqual([]);
    }),
  60_000,
);

test(
  'the API server and the nodes withstand them',
  () =>
    withstand(async () => {
      const forwarder = box.must([BUN, HOSTILE, '127.0.0.1', new URL(cluster.client.config.server).port]);
      await expectEnded(
        fromNode(API_ADDRESS, 6_443),
        fromNode(API_ADDRESS, 6_443, 'tls'),
        fromNode('10.240.0.12', 10_250),
        forwarder.then((text) => JSON.parse(text) as Attack[]),
      );
    }),
  60_000,
);

test(
  'cluster DNS takes nonsense over TCP and UDP and goes on answering',
  () =>
    withstand(async () => {
      await fromPod(DNS_ADDRESS, 53);
      const spray = `
      const dgram = require('node:dgram');
      const socket = dgram.createSocket('udp4');
      for (let i = 0; i < 2000; i++) socket.send(Buffer.alloc(i % 600, i), 53, '${DNS_ADDRESS}');
      setTimeout(() => socket.close(), 500);`;
      expect((await cluster.run('shop', 'client', [BUN, '-e', spray])).code).toBe(0);
      const name = 'istiod.istio-system.svc.cluster.local';
      const found = await cluster.run('shop', 'client', [
        BUN,
        '-e',
        `console.log((await require('node:dns').promises.resolve4('${name}'))[0])`,
      ]);
      expect(found.out.trim()).toMatch(/^10\.96\./);
    }),
  60_000,
);

test('connections that say nothing, or stop half way, are ended on every port', async () => {
  expect((await silent).filter(([, count]) => count !== 0)).toEqual([]);
}, 60_000);

test('a tunnel port that was sent nonsense counts it, and the access log says why', async () => {
  const proxies = await cluster.pods('app=ztunnel', 'istio-system');
  const name = proxies.find(({ spec }) => spec?.nodeName === 'node2')?.metadata?.name ?? '';
  const metrics = await cluster.fetch('istio-system', name, 15_020, '/metrics');
  const refused = (reason: string): number => {
    const line = metrics
      .split('\n')
      .find((one) => one.startsWith('lateen_refused_total{direction="inbound"') && one.includes(`reason="${reason}"`));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  expect(refused('tls-failure')).toBeGreaterThan(5);
  expect(refused('handshake-timeout')).toBeGreaterThan(0);
  await eventually('the reason in the access log', 20, async () => {
    const lines = (await cluster.logs('istio-system', name)).split('\n').filter((line) => line.includes('connection failed'));
    return lines.some((line) => line.includes('error="tls error:')) && lines.some((line) => line.includes('error="handshake timed out"'))
      ? true
      : undefined;
  });
}, 30_000);

/** Sends a body as it is; answers the status code with the server's words. */
async function send(
  method: string,
  urlPath: string,
  body: string,
  contentType = 'application/json',
): Promise<{ code: number; message: string; fields: string[] }> {
  try {
    await cluster.client.raw(urlPath, { method, body, contentType });
    return { code: 200, message: '', fields: [] };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { code: error.code, message: error.message, fields: error.causes.map(({ field }) => field ?? '') };
  }
}
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const MAPS = '/api/v1/namespaces/default/configmaps';
const POLICIES = '/apis/security.istio.io/v1/namespaces/default/authorizationpolicies';
const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'x', image: 'x' }] } };

test('an invalid object is refused with the path of every wrong field, and nothing is stored', async () => {
  const before = await cluster.list('apps/v1', 'Deployment');
  const post = (urlPath: string, object: object) => send('POST', urlPath, JSON.stringify(object));
  const deployment = (spec: object) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'bad' }, spec });
  expect(await post(DEPLOYMENTS, deployment({}))).toMatchObject({ code: 422, fields: ['spec.selector', 'spec.template'] });
  const mismatch = await post(DEPLOYMENTS, deployment({ selector: { matchLabels: { app: 'y' } }, template }));
  expect(mismatch).toMatchObject({ code: 422, fields: ['spec.template.metadata.labels'] });
  const port = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'bad' }, spec: { ports: [{ port: 70_000 }] } };
  expect((await post('/api/v1/namespaces/default/services', port)).fields).toContain('spec.ports[0].port');
  const policy = (spec: object) => ({ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: { name: 'bad' }, spec });
  expect(await post(POLICIES, policy({ action: 'PERMIT' }))).toMatchObject({ code: 422, fields: ['spec.action'] });
  expect(await post(POLICIES, policy({ rules: [{ from: [{ source: { principals: 5 } }] }] }))).toMatchObject({
    code: 422,
    fields: ['spec.rules[0].from[0].source.principals'],
  });
  const name = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'No_Good' } };
  expect(await post(MAPS, name)).toMatchObject({ code: 422, fields: ['metadata.name'] });
  expect(await cluster.list('apps/v1', 'Deployment')).toEqual(before);
  expect(await cluster.get('security.istio.io/v1', 'AuthorizationPolicy', 'bad', 'default')).toBeUndefined();
  expect(await cluster.get('v1', 'ConfigMap', 'No_Good', 'default')).toBeUndefined();
});

test('a body that is no object is refused before it is looked at', async () => {
  expect((await send('POST', MAPS, '{"apiVersion":')).code).toBe(400);
  expect((await send('POST', MAPS, '[]')).code).toBe(400);
  expect((await send('POST', MAPS, '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}')).code).toBe(400);
  expect((await send('POST', MAPS, `${'['.repeat(100_000)}${']'.repeat(100_000)}`)).code).toBe(400);
  expect((await send('POST', MAPS, `{"metadata":{"name":"big"},"data":{"a":"${'x'.repeat(5_000_000)}"}}`)).code).toBe(413);
  expect((await send('POST', MAPS, 'kind: ConfigMap', 'text/nonsense')).code).toBe(415);
  const strict = await send(
    'POST',
    `${MAPS}?fieldValidation=Strict`,
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"datta":{}}',
  );
  expect(strict).toMatchObject({ code: 400, message: expect.stringContaining('unknown field "datta"') });
  expect(await cluster.list('v1', 'ConfigMap', '', 'default')).toHaveLength(2); // the two root certificates
});

test('a change that comes too late, or that may not be made, is refused', async () => {
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'late', resourceVersion: '' } };
  await send('POST', MAPS, JSON.stringify(map));
  const stale = { ...map, metadata: { name: 'late', resourceVersion: '1' } };
  expect((await send('PUT', `${MAPS}/late`, JSON.stringify(stale))).code).toBe(409);
  expect((await send('POST', MAPS, JSON.stringify(map))).code).toBe(409);
  const path = '/apis/apps/v1/namespaces/istio-system/deployments/istiod';
  const selector = await send('PATCH', path, '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}', 'application/merge-patch+json');
  expect(selector).toMatchObject({ code: 422, fields: expect.arrayContaining(['spec.selector']) });
  expect((await send('POST', '/api/v1/namespaces/nowhere/configmaps', JSON.stringify(map))).code).toBe(404);
});

test('a file with a fault is refused by `lateen apply` with the place, and none of it is applied', async () => {
  const good = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\n';
  const apply = (text: string) => box.run([LATEEN, 'apply', '-f', '-'], { stdin: text });
  const yaml = await apply(`${good}apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second\n`);
  expect(yaml).toMatchObject({ code: 1, err: expect.stringContaining('standard input, document 2') });
  expect(await apply(`${good}kind: ConfigMap\n`)).toMatchObject({ code: 1, err: expect.stringContaining('apiVersion is missing') });
  expect(await cluster.get('v1', 'ConfigMap', 'first', 'default')).toBeUndefined();
  const typed = await apply('apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\nspec: {replicas: two}\n');
  expect(typed).toMatchObject({ code: 5, err: expect.stringContaining('spec.replicas') });
  const kind = await apply('apiVersion: v1\nkind: Frob\nmetadata: {name: x}\n');
  expect(kind).toMatchObject({ code: 3, err: expect.stringContaining('Apply its CustomResourceDefinition first') });
});

test('an image nobody named is not pulled: the pod says so, with the remedy', async () => {
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'unknown', namespace: 'shop' },
      spec: { containers: [{ name: 'x', image: 'example.test/model:1' }] },
    }),
  );
  const waiting = await eventually('the reason in the status', 20, async () => {
    const pod = await cluster.get<PodView>('v1', 'Pod', 'unknown', 'shop');
    const state = pod?.status?.containerStatuses?.[0]?.state as { waiting?: { reason: string; message: string } } | undefined;
    return state?.waiting?.reason.match(/^(ErrImagePull|ImagePullBackOff)$/) ? state.waiting : undefined;
  });
  expect(waiting.message).toContain('lateen up --image example.test/model=COMMAND');
  await cluster.remove('v1', 'Pod', 'unknown', 'shop');
});

test('without a token, or with the token of a pod, a caller gets what it may and no more', async () => {
  const base = cluster.client.config.server;
  const ca = cluster.client.config.caPem ?? '';
  const ask = (urlPath: string, token?: string) =>
    fetch(`${base}${urlPath}`, { tls: { ca }, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  expect((await ask('/api/v1/secrets')).status).toBe(401);
  expect((await ask('/api/v1/secrets', 'nonsense')).status).toBe(401);
  const { token } = await cluster.client.requestToken('shop', 'default', { audiences: [] });
  expect((await ask('/api/v1/secrets', token)).status).toBe(403);
  expect((await ask('/api/v1/secrets', `${token.slice(0, -4)}AAAA`)).status).toBe(401);
  const kubelet = await box.run([...enter, 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://10.240.0.12:10250/pods']);
  expect(kubelet.out).toBe('401');
});
