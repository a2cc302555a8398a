import { afterAll, beforeAll, expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import { decodeServicePlan, type ServicePlan } from '../mesh/http/index.ts';
import {
  type DestinationRule,
  DestinationRuleKind,
  type EnvoyFilter,
  EnvoyFilterKind,
  type Event,
  EventKind,
  type Gateway,
  GatewayKind,
  type HttpRoute,
  HttpRouteKind,
  NamespaceKind,
  type ReferenceGrant,
  ReferenceGrantKind,
  type Service,
  ServiceAccountKind,
  ServiceKind,
  type VirtualService,
  VirtualServiceKind,
  type WasmPlugin,
  WasmPluginKind,
} from '../platform/kubernetes/index.ts';
import { SERVICE_PLAN_TYPE } from '../protocol/index.ts';
import * as wire from '../protocol/messages/index.ts';
import type { ControlPlane } from './control-plane.ts';
import {
  createNamespace,
  createPod,
  eventually,
  type Response,
  startApi,
  startControlPlane,
  type TestApi,
  type Undo,
  XdsClient,
} from './harness.test.ts';

const undo: Undo = [];
let api: TestApi;
let controlPlane: ControlPlane;
let token = '';
const NODE = 'waypoint~10.244.1.20~wp-1.shop~shop.svc.cluster.local';

const createService = (namespace: string, name: string) =>
  api.client.create<Service>(ServiceKind, {
    metadata: { name, namespace },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });

beforeAll(async () => {
  api = await startApi(undo);
  for (const namespace of ['istio-system', 'shop', 'stock']) await createNamespace(api, namespace);
  await api.client.patch(NamespaceKind, 'shop', { metadata: { labels: { 'istio.io/use-waypoint': 'wp' } } });
  controlPlane = await startControlPlane(api, undo);
  await api.client.create<Gateway>(GatewayKind, {
    metadata: { name: 'wp', namespace: 'shop' },
    spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
  } as Gateway);
  await eventually(() => api.client.get(ServiceAccountKind, 'wp', { namespace: 'shop' }));
  const pod = await createPod(api, 'shop', 'wp-1', {
    ip: '10.244.1.20',
    serviceAccount: 'wp',
    labels: { 'gateway.networking.k8s.io/gateway-name': 'wp', 'networking.istio.io/tunnel': 'http' },
  });
  ({ token } = await api.client.requestToken('shop', 'wp', {
    audiences: ['istio-ca'],
    boundPod: { name: 'wp-1', uid: pod.metadata.uid! },
  }));
  await eventually(async () =>
    expect((await api.client.get<Gateway>(GatewayKind, 'wp', { namespace: 'shop' })).status?.addresses).toHaveLength(1),
  );
});
afterAll(async () => {
  for (const action of undo.reverse()) await action();
});

const connect = async (gateway = 'wp'): Promise<{ client: XdsClient; first: Response }> => {
  const client = new XdsClient(controlPlane, token);
  undo.push(() => client.close());
  client.send({ typeUrl: SERVICE_PLAN_TYPE, node: NODE, metadata: { GATEWAY_NAME: gateway } });
  return { client, first: await client.nextAcked() };
};
const planIn = (response: Response, name: string): ServicePlan | undefined => {
  const resource = response.resources.find((candidate) => candidate.name === name);
  if (resource === undefined) return undefined;
  const message = fromBinary(wire.ServicePlanMessageSchema, resource.value);
  expect(message.service).toBe(name);
  const decoded = decodeServicePlan(message.plan);
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value;
};
const key = (name: string, namespace = 'shop') => `${namespace}/${name}.${namespace}.svc.cluster.local`;
const route = (name: string, parent: string, backend: string, change: Partial<HttpRoute['spec']> = {}) =>
  api.client.apply<HttpRoute>(HttpRouteKind, {
    metadata: { name, namespace: 'shop' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: parent }],
      rules: [{ backendRefs: [{ name: backend, port: 80 }] }],
      ...change,
    },
  } as HttpRoute);
const routeStatus = async (name: string) => (await api.client.get<HttpRoute>(HttpRouteKind, name, { namespace: 'shop' })).status?.parents;
const condition = (parents: Awaited<ReturnType<typeof routeStatus>>, type: string, index = 0) =>
  parents?.[index]?.conditions.find((candidate) => candidate.type === type);

test('a route becomes a plan, pushed to the waypoint of its service, acknowledged, and reported; then only what changes', async () => {
  for (const name of ['web', 'web-v2']) await createService('shop', name);
  const { client, first } = await connect();
  expect(first.resources).toEqual([]);
  await route('web', 'web', 'web-v2');
  const pushed = await client.nextAcked();
  expect(pushed.resources.map(({ name }) => name)).toEqual([key('web')]);
  expect(planIn(pushed, key('web'))).toMatchObject({
    ports: [
      {
        port: 0,
        http: {
          rules: [{ action: 0 }],
          actions: [{ name: 'HTTPRoute/shop/web/0', backends: [{ service: key('web-v2'), port: 80, weight: 1 }] }],
        },
      },
    ],
  });
  await eventually(async () => {
    const parents = await routeStatus('web');
    expect(parents).toMatchObject([{ controllerName: 'istio.io/mesh-controller', parentRef: { kind: 'Service', name: 'web' } }]);
    for (const type of ['Accepted', 'ResolvedRefs', 'lateen.dev/Programmed', 'lateen.dev/WaypointSynced'])
      expect(condition(parents, type)).toMatchObject({ status: 'True', observedGeneration: 1 });
  });
  await eventually(async () =>
    expect((await api.client.get<Gateway>(GatewayKind, 'wp', { namespace: 'shop' })).status?.listeners?.[0]?.attachedRoutes).toBe(1),
  );

  await createService('shop', 'unrelated');
  await client.expectSilence();
  await route('web', 'web', 'web-v2', {
    rules: [
      {
        backendRefs: [
          { name: 'web-v2', port: 80, weight: 3 },
          { name: 'web', port: 80 },
        ],
      },
    ],
  });
  expect(planIn(await client.nextAcked(), key('web'))?.ports[0]?.http?.actions[0]?.backends.map(({ weight }) => weight)).toEqual([3, 1]);

  await api.client.delete(HttpRouteKind, 'web', { namespace: 'shop' });
  expect((await client.nextAcked()).removed).toEqual([key('web')]);
  client.close();
});

test('a refused route says which field and why, and its last good version serves on', async () => {
  const { client } = await connect();
  await route('kept', 'web', 'web-v2');
  await client.nextAcked();
  await route('kept', 'web', 'web-v2', {
    rules: [{ matches: [{ path: { type: 'RegularExpression', value: '/(' } }], backendRefs: [{ name: 'web', port: 80 }] }],
  });
  await eventually(async () => {
    const parents = await routeStatus('kept');
    expect(condition(parents, 'Accepted')).toMatchObject({
      status: 'False',
      observedGeneration: 2,
      message: expect.stringContaining('spec.rules[0].matches[0].path'),
    });
    expect(condition(parents, 'lateen.dev/Programmed')).toMatchObject({ status: 'True', reason: 'LastGood' });
  });
  await client.expectSilence();
  await api.client.delete(HttpRouteKind, 'kept', { namespace: 'shop' });
  await client.nextAcked();
  client.close();
});

test("entries of other controllers stay in a route's status, and ours leave with the parent", async () => {
  await route('shared', 'web', 'web-v2', {
    parentRefs: [{ group: '', kind: 'Service', name: 'web' }, { group: '', kind: 'Service', name: 'web-v2' }, { name: 'edge' }],
  });
  await eventually(async () => expect(await routeStatus('shared')).toHaveLength(2));
  const theirs = {
    parentRef: { name: 'edge' },
    controllerName: 'example.com/edge',
    conditions: [{ type: 'Accepted', status: 'True', reason: 'Accepted', message: 'theirs', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  };
  await eventually(async () => {
    const parents = (await routeStatus('shared')) ?? [];
    const { metadata } = await api.client.get<HttpRoute>(HttpRouteKind, 'shared', { namespace: 'shop' });
    await api.client.patchStatus(
      HttpRouteKind,
      'shared',
      { metadata: { resourceVersion: metadata.resourceVersion }, status: { parents: [...parents, theirs] } },
      { namespace: 'shop' },
    );
  });
  await api.client.patch(
    HttpRouteKind,
    'shared',
    { spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web' }, { name: 'edge' }] } },
    { namespace: 'shop' },
  );
  await eventually(async () => {
    const parents = (await routeStatus('shared')) ?? [];
    expect(parents.map(({ controllerName, parentRef }) => [controllerName, parentRef.name]).sort()).toEqual([
      ['example.com/edge', 'edge'],
      ['istio.io/mesh-controller', 'web'],
    ]);
    expect(parents.find(({ controllerName }) => controllerName === 'example.com/edge')).toMatchObject(theirs);
  });
  await api.client.delete(HttpRouteKind, 'shared', { namespace: 'shop' });
});

test('a reference into another namespace waits for its grant, and brings the plan of the service it leads to', async () => {
  await createService('stock', 'parts');
  await api.client.create<DestinationRule>(DestinationRuleKind, {
    metadata: { name: 'parts', namespace: 'stock' },
    spec: { host: 'parts', trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } },
  });
  const { client, first } = await connect();
  expect(first.resources).toEqual([]);
  await route('far', 'web', 'web-v2', { rules: [{ backendRefs: [{ name: 'parts', namespace: 'stock', port: 80 }] }] });
  const before = await client.nextAcked();
  expect(planIn(before, key('web'))?.ports[0]?.http?.actions[0]?.backends[0]?.invalid).toBeString();
  await eventually(async () =>
    expect(condition(await routeStatus('far'), 'ResolvedRefs')).toMatchObject({ status: 'False', reason: 'RefNotPermitted' }),
  );
  await api.client.create<ReferenceGrant>(ReferenceGrantKind, {
    metadata: { name: 'shop', namespace: 'stock' },
    spec: { from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop' }], to: [{ group: '', kind: 'Service' }] },
  });
  const after = await client.nextAcked();
  expect(after.resources.map(({ name }) => name).sort()).toEqual([key('web'), key('parts', 'stock')].sort());
  expect(planIn(after, key('web'))?.ports[0]?.http?.actions[0]?.backends[0]).toMatchObject({ service: key('parts', 'stock'), port: 80 });
  expect(planIn(after, key('parts', 'stock'))?.policy?.loadBalancer).toEqual({ kind: 'random' });
  await api.client.delete(HttpRouteKind, 'far', { namespace: 'shop' });
  expect((await client.nextAcked()).removed.sort()).toEqual([key('web'), key('parts', 'stock')].sort());
  client.close();
});

test('VirtualService and DestinationRule: the canary of the article, subsets follow the pods, and the conditions say so', async () => {
  await createService('shop', 'model');
  for (const version of ['v1', 'v2'])
    await createPod(api, 'shop', `model-${version}`, { ip: `10.244.2.${version.slice(1)}`, labels: { app: 'model', version } });
  const { client } = await connect();
  await api.client.create<DestinationRule>(DestinationRuleKind, {
    metadata: { name: 'model', namespace: 'shop' },
    spec: { host: 'model', subsets: ['v1', 'v2'].map((name) => ({ name, labels: { version: name } })) },
  });
  await client.nextAcked();
  await api.client.create<VirtualService>(VirtualServiceKind, {
    metadata: { name: 'model', namespace: 'shop' },
    spec: {
      hosts: ['model'],
      http: [
        {
          route: [
            { destination: { host: 'model', subset: 'v1' }, weight: 80 },
            { destination: { host: 'model', subset: 'v2' }, weight: 20 },
          ],
        },
      ],
    },
  });
  const plan = planIn(await client.nextAcked(), key('model'));
  expect(plan?.ports[0]?.http?.actions[0]?.backends.map(({ subset, weight }) => [subset, weight])).toEqual([
    ['v1', 80],
    ['v2', 20],
  ]);
  expect(plan?.subsets?.map(({ name, workloads }) => [name, workloads])).toEqual([
    ['v1', ['Kubernetes//Pod/shop/model-v1']],
    ['v2', ['Kubernetes//Pod/shop/model-v2']],
  ]);
  await createPod(api, 'shop', 'model-v2-b', { ip: '10.244.2.3', labels: { app: 'model', version: 'v2' } });
  expect(planIn(await client.nextAcked(), key('model'))?.subsets?.[1]?.workloads).toEqual([
    'Kubernetes//Pod/shop/model-v2',
    'Kubernetes//Pod/shop/model-v2-b',
  ]);
  const conditions = async (kind: typeof VirtualServiceKind | typeof DestinationRuleKind) =>
    (await api.client.get(kind as typeof VirtualServiceKind, 'model', { namespace: 'shop' })).status?.conditions;
  for (const kind of [VirtualServiceKind, DestinationRuleKind])
    await eventually(async () =>
      expect(await conditions(kind)).toMatchObject([
        { type: 'WaypointAccepted', status: 'True', reason: 'Accepted' },
        { type: 'WaypointSynced', status: 'True', message: 'acknowledged by every replica of waypoint shop/wp' },
      ]),
    );

  await route('model', 'model', 'model');
  await client.nextAcked();
  await eventually(async () => {
    expect((await conditions(VirtualServiceKind))?.[0]).toMatchObject({
      reason: 'Conflicted',
      message: expect.stringContaining('HTTPRoute shop/model'),
    });
    expect(condition(await routeStatus('model'), 'lateen.dev/Conflicted')).toMatchObject({
      message: expect.stringContaining('VirtualService shop/model'),
    });
  });
  client.close();
});

test('a rejected plan shows on the objects it is made of', async () => {
  const { client } = await connect();
  await route('bitter', 'web', 'web-v2');
  const response = await client.next();
  client.ack(response, `${key('web')}: /ports/0: too much`);
  await eventually(async () =>
    expect(condition(await routeStatus('bitter'), 'lateen.dev/WaypointSynced')).toMatchObject({
      status: 'False',
      reason: 'Rejected',
      message: expect.stringContaining('too much'),
    }),
  );
  client.close();
  await api.client.delete(HttpRouteKind, 'bitter', { namespace: 'shop' });
});

test('a client gets the plans of its own Gateway only, and one that is no waypoint none', async () => {
  await route('mine', 'web', 'web-v2');
  await eventually(async () => {
    const { client, first } = await connect();
    client.close();
    expect(first.resources.map(({ name }) => name)).toContain(key('web'));
  });
  const other = await connect('another');
  expect(other.first.resources).toEqual([]);
  other.client.close();
  const ztunnel = new XdsClient(controlPlane, token);
  ztunnel.begin(SERVICE_PLAN_TYPE);
  expect((await ztunnel.nextAcked()).resources).toEqual([]);
  ztunnel.close();
});

test('a route of a service without a waypoint says that nothing executes it', async () => {
  await api.client.create<HttpRoute>(HttpRouteKind, {
    metadata: { name: 'idle', namespace: 'stock' },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'parts' }], rules: [{ backendRefs: [{ name: 'parts', port: 80 }] }] },
  } as HttpRoute);
  await eventually(async () => {
    const { status } = await api.client.get<HttpRoute>(HttpRouteKind, 'idle', { namespace: 'stock' });
    expect(condition(status?.parents, 'lateen.dev/Programmed')).toMatchObject({ status: 'False', reason: 'NoWaypoint' });
  });
});

test('an EnvoyFilter or WasmPlugin that selects a waypoint says that it has no effect, with an event; one that does not says nothing', async () => {
  const gatewayLabel = 'gateway.networking.k8s.io/gateway-name';
  const filter = (name: string, namespace: string, spec: NonNullable<EnvoyFilter['spec']>) =>
    api.client.create<EnvoyFilter>(EnvoyFilterKind, { metadata: { name, namespace }, spec });
  await filter('targets', 'shop', { targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'wp' }], configPatches: [] });
  await filter('selects', 'istio-system', { workloadSelector: { labels: { [gatewayLabel]: 'wp' } } });
  await filter('whole-namespace', 'shop', { configPatches: [] });
  await filter('elsewhere', 'stock', { configPatches: [] });
  await api.client.create<WasmPlugin>(WasmPluginKind, {
    metadata: { name: 'wasm', namespace: 'shop' },
    spec: { url: 'oci://example.com/x', targetRefs: [{ group: '', kind: 'Service', name: 'web' }] },
  });
  const messages = async () => {
    const filters = (await api.client.listAll<EnvoyFilter>(EnvoyFilterKind)).items;
    const plugins = (await api.client.listAll<WasmPlugin>(WasmPluginKind)).items;
    return Object.fromEntries([...filters, ...plugins].map(({ metadata, status }) => [metadata.name, status?.conditions?.[0]?.message]));
  };
  await eventually(async () =>
    expect(await messages()).toEqual({
      targets: expect.stringContaining('no effect on Gateway shop/wp'),
      selects: expect.stringContaining('no effect on waypoint shop/wp'),
      'whole-namespace': expect.stringContaining('no effect on waypoint shop/wp'),
      elsewhere: undefined,
      wasm: expect.stringContaining('runs no WebAssembly'),
    }),
  );
  await eventually(async () => {
    const events = (await api.client.listAll<Event>(EventKind)).items.filter(({ reason }) => reason === 'Unsupported');
    expect(events.map(({ involvedObject, type }) => `${type} ${involvedObject.kind} ${involvedObject.name}`).sort()).toEqual([
      'Warning EnvoyFilter selects',
      'Warning EnvoyFilter targets',
      'Warning EnvoyFilter whole-namespace',
      'Warning WasmPlugin wasm',
    ]);
  });
});
