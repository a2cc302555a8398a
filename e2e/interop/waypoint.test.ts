/** Our waypoint between real ztunnels: it takes their tunnels and opens tunnels to them, as it does with ours. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventually, type Sandbox, sandbox } from '../support/cluster.ts';
import { isReady, MeshCluster, PEER_PORT, peerPod } from '../support/mesh-cluster.ts';
import { Buyers, CLIENTS, loads, NAMESPACE, SERVERS, WaypointView } from '../support/web-cluster.ts';
import { WAYS } from '../support/web-wire.ts';
import { useRealZtunnel, ZTUNNEL_BIN } from './real-ztunnel.ts';

const isMissing = ZTUNNEL_BIN === undefined;
const RATE = 10;
const STREAM_MS = 5_000;
const yaml = (object: object): string => `---\n${JSON.stringify(object)}\n`;

/** Plain TCP: a service whose server tells every line's sender its own address. */
const LINES = [
  peerPod({ namespace: NAMESPACE, name: 'lines', node: 'node2' }),
  peerPod({ namespace: CLIENTS, name: 'caller1', node: 'node1' }),
  peerPod({ namespace: CLIENTS, name: 'caller2', node: 'node2' }),
  yaml({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'lines', namespace: NAMESPACE },
    spec: { selector: { app: 'lines' }, ports: [{ name: 'tcp', port: PEER_PORT }] },
  }),
].join('');

/** For the whole namespace: what a selector adds a real ztunnel applies to new connections only, and the waypoint keeps its own open. */
const policy = (action: 'ALLOW' | 'DENY', principal: string): string =>
  yaml({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'from-the-waypoint', namespace: NAMESPACE },
    spec: { action, rules: [{ from: [{ source: { principals: [principal] } }] }] },
  });

describe.skipIf(isMissing)(isMissing ? 'not run: ZTUNNEL_BIN names no real ztunnel' : 'a waypoint with a real ztunnel', () => {
  let box: Sandbox;
  let cluster: MeshCluster;
  let buyers: Buyers;
  let waypoint: WaypointView;
  const figures: string[] = [];

  beforeAll(async () => {
    box = sandbox();
    cluster = await MeshCluster.start(box);
    await cluster.apply(SERVERS);
    waypoint = new WaypointView(cluster, 'waypoint');
    await waypoint.deploy();
    await cluster.label(NAMESPACE, { 'istio.io/use-waypoint': 'waypoint' });
    await cluster.apply(loads(RATE) + LINES);
    buyers = new Buyers(cluster);
  }, 240_000);

  afterAll(async () => {
    await box.close();
    console.log(figures.join('\n'));
  });

  const addresses = async () => (await waypoint.pods()).map(({ status }) => status?.podIP ?? '');

  /** Waits until every way from both nodes goes through the waypoint. */
  const settled = (): Promise<true> =>
    eventually('every request to come through the waypoint', 60, async () => {
      for (const [namespace, name] of [
        [NAMESPACE, 'v1'],
        [NAMESPACE, 'v2'],
        [NAMESPACE, 'lines'],
        [CLIENTS, 'buyer1'],
        [CLIENTS, 'buyer2'],
        [CLIENTS, 'caller1'],
        [CLIENTS, 'caller2'],
      ] as const)
        await cluster.ready(namespace, name);
      const own = await addresses();
      const answers = await Promise.all(buyers.pods.flatMap((pod) => WAYS.map((way) => buyers.once(pod, way))));
      return answers.every((answer) => 'peer' in answer && own.includes(answer.peer)) ? (true as const) : undefined;
    });

  const nothingLost = async (what: string, from: number): Promise<void> => {
    const { failures, requests, byName } = await buyers.window(from, Date.now());
    figures.push(`${what}: ${requests} requests ${JSON.stringify(byName)}, ${failures.length} failed`);
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(50);
    expect(Object.keys(byName).sort()).toEqual(['v1', 'v2']);
  };

  for (const where of ['node2', 'both'] as const) {
    describe(where === 'both' ? 'on both nodes' : 'on one node, ours on the other', () => {
      beforeAll(async () => {
        await useRealZtunnel(box, where);
        await settled();
        // The load's HTTP/2 connections of before live 5 s.
        await Bun.sleep(6_000);
      }, 180_000);

      test('requests of every kind and streams go through, from both nodes to both nodes', async () => {
        const from = Date.now();
        const opened = await buyers.open(['fresh', 'h2'], STREAM_MS, 2);
        await Bun.sleep(STREAM_MS);
        const streams = await eventually('the end of the streams', 20, async () => {
          const found = await buyers.streams(opened);
          return found.every(({ state }) => state !== 'open') ? found : undefined;
        });
        expect(streams.map(({ state }) => state)).toEqual(Array.from({ length: 8 }, () => 'whole'));
        await nothingLost(`real ztunnel on ${where}`, from);
        await settled();
      }, 60_000);

      test('plain TCP goes through as well', async () => {
        const own = await addresses();
        for (const name of ['caller1', 'caller2'])
          expect(own).toContain(((await cluster.call(CLIENTS, name, `lines.${NAMESPACE}`)) as { answer: string }).answer);
      }, 60_000);

      test('policy at the destination sees the identity of the waypoint, and keeps out who goes around it', async () => {
        const direct = async () => {
          const pods = await Promise.all(['v1', 'v2'].map((name) => cluster.ready(NAMESPACE, name)));
          const calls = pods.flatMap((pod) =>
            ['caller1', 'caller2'].map((name) => cluster.call(CLIENTS, name, pod.status?.podIP ?? '', 8080)),
          );
          return await Promise.all(calls);
        };
        await cluster.apply(policy('ALLOW', `cluster.local/ns/${NAMESPACE}/sa/waypoint`));
        // An HTTP server answers a line that is no request with 400; the proxy does not answer at all.
        await eventually('direct connections to be refused', 20, async () =>
          (await direct()).every((one) => 'refused' in one) ? true : undefined,
        );
        const from = Date.now();
        await Bun.sleep(2_000);
        await nothingLost(`allowed to the waypoint alone, real ztunnel on ${where}`, from);
        await cluster.apply(policy('DENY', `cluster.local/ns/${NAMESPACE}/sa/waypoint`));
        await eventually('requests to be refused', 20, async () => {
          const answers = await Promise.all(buyers.pods.map((pod) => buyers.once(pod, 'fresh')));
          return answers.every((answer) => 'reason' in answer && answer.reason.includes('status 503')) ? true : undefined;
        });
        await cluster.remove('security.istio.io/v1', 'AuthorizationPolicy', 'from-the-waypoint', NAMESPACE);
        await settled();
      }, 90_000);

      test('every replica of the waypoint is replaced: no request fails and streams live through it', async () => {
        await Bun.sleep(1_000);
        const before = new Set((await waypoint.pods()).map(({ metadata }) => metadata?.uid));
        const opened = await buyers.open(['fresh', 'h2'], 3 * STREAM_MS, 2);
        const from = Date.now();
        const resource = await cluster.client.discovery.forKind('apps/v1', 'Deployment');
        const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
        await cluster.client.patch(
          resource,
          'waypoint',
          { spec: { template: { metadata: { annotations } } } },
          { namespace: NAMESPACE, type: 'merge' },
        );
        await eventually('only new replicas', 90, async () => {
          const pods = await waypoint.pods();
          return pods.length === 2 && pods.every((pod) => isReady(pod) && !before.has(pod.metadata?.uid)) ? true : undefined;
        });
        const streams = await eventually('the end of the streams', 30, async () => {
          const found = await buyers.streams(opened);
          return found.every(({ state }) => state !== 'open') ? found : undefined;
        });
        expect(streams.map(({ state }) => state)).toEqual(Array.from({ length: 8 }, () => 'whole'));
        await nothingLost(`rolling restart, real ztunnel on ${where}`, from);
      }, 120_000);
    });
  }
});
