import { afterAll, beforeAll, expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type ConfigMap,
  ConfigMapKind,
  type Deployment,
  DeploymentKind,
  type Gateway,
  type GatewayClass,
  GatewayClassKind,
  GatewayKind,
  HorizontalPodAutoscalerKind,
  NamespaceKind,
  PodDisruptionBudgetKind,
  PodKind,
  type Service,
  ServiceAccountKind,
  ServiceKind,
} from '../platform/kubernetes/index.ts';
import { ADDRESS_TYPE } from '../protocol/index.ts';
import * as wire from '../protocol/messages/index.ts';
import type { ControlPlane } from './control-plane.ts';
import {
  createAccount,
  createNamespace,
  createPod,
  del,
  eventually,
  makeCsr,
  requestCertificate,
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

beforeAll(async () => {
  api = await startApi(undo);
  for (const namespace of ['istio-system', 'shop', 'infra']) await createNamespace(api, namespace);
  await createAccount(api, 'istio-system', 'ztunnel');
  const ztunnel = await createPod(api, 'istio-system', 'ztunnel-abc', { ip: '10.244.1.2', serviceAccount: 'ztunnel' });
  ({ token } = await api.client.requestToken('istio-system', 'ztunnel', {
    audiences: ['istio-ca'],
    boundPod: { name: 'ztunnel-abc', uid: ztunnel.metadata.uid! },
  }));
  controlPlane = await startControlPlane(api, undo, { WAYPOINT_IMAGE: 'example/lateen:1' });
});
afterAll(async () => {
  for (const action of undo.reverse()) await action();
});

const createGateway = (name: string, change: { metadata?: Partial<Gateway['metadata']>; spec?: Partial<Gateway['spec']> } = {}) =>
  api.client.create<Gateway>(GatewayKind, {
    metadata: { name, namespace: 'shop', ...change.metadata },
    spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }], ...change.spec },
  } as Gateway);
const gateway = (name: string) => api.client.get<Gateway>(GatewayKind, name, { namespace: 'shop' });
const condition = (object: Gateway, type: string) => object.status?.conditions?.find((candidate) => candidate.type === type);
const deployment = (name: string) => api.client.get<Deployment>(DeploymentKind, name, { namespace: 'shop' });
/** A replica as a kubelet would have reported it. */
const createReplica = (name: string, waypoint: string, ip: string) =>
  createPod(api, 'shop', name, {
    ip,
    serviceAccount: waypoint,
    labels: { 'gateway.networking.k8s.io/gateway-name': waypoint, 'networking.istio.io/tunnel': 'http' },
  });

test('the waypoint class is there and accepted, with the features claimed, and comes back', async () => {
  const accepted = async () => {
    const found = await api.client.get<GatewayClass>(GatewayClassKind, 'istio-waypoint');
    expect(found.spec.controllerName).toBe('istio.io/mesh-controller');
    expect(found.status?.conditions).toMatchObject([{ type: 'Accepted', status: 'True', observedGeneration: 1 }]);
    const features = found.status?.supportedFeatures?.map(({ name }) => name) ?? [];
    expect(features).toContain('Mesh');
    expect(features).toEqual([...features].sort());
  };
  await eventually(accepted);
  await api.client.delete(GatewayClassKind, 'istio-waypoint');
  await eventually(accepted);
});

test('a Gateway becomes a running waypoint: objects, then its address, then the binding that ztunnels hear of', async () => {
  await api.client.patch(NamespaceKind, 'shop', { metadata: { labels: { 'istio.io/use-waypoint': 'wp' } } });
  await api.client.create<Service>(ServiceKind, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
  await createGateway('wp', { metadata: { labels: { team: 'ai' } } });
  const made = await eventually(() => deployment('wp'));
  const { uid } = (await gateway('wp')).metadata;
  expect(made.metadata.labels).toMatchObject({
    'gateway.networking.k8s.io/gateway-name': 'wp',
    'gateway.networking.k8s.io/gateway-class-name': 'istio-waypoint',
    'gateway.istio.io/managed': 'istio.io-mesh-controller',
    team: 'ai',
  });
  expect(made.metadata.ownerReferences).toMatchObject([{ kind: 'Gateway', name: 'wp', uid }]);
  expect(made.spec.replicas).toBe(2);
  expect(made.spec.strategy?.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
  expect(made.spec.template.metadata?.labels).toMatchObject({ 'istio.io/dataplane-mode': 'none', 'networking.istio.io/tunnel': 'http' });
  const container = made.spec.template.spec.containers[0]!;
  expect(container).toMatchObject({ image: 'example/lateen:1', args: ['proxy', 'waypoint'] });
  expect(container.env).toContainEqual({ name: 'XDS_ADDRESS', value: 'https://istiod.istio-system.svc:15012' });
  expect(container.env).toContainEqual({ name: 'ISTIO_META_GATEWAY_NAME', value: 'wp' });
  const service = await eventually(() => api.client.get<Service>(ServiceKind, 'wp', { namespace: 'shop' }));
  expect(service.spec?.ports?.map(({ port }) => port)).toEqual([15021, 15008]);
  expect(service.metadata.annotations).toMatchObject({ 'networking.istio.io/traffic-distribution': 'PreferClose' });
  for (const kind of [ServiceAccountKind, HorizontalPodAutoscalerKind, PodDisruptionBudgetKind])
    expect((await eventually(() => api.client.get(kind, 'wp', { namespace: 'shop' }))).metadata?.ownerReferences?.[0]?.uid).toBe(uid!);

  const boundCondition = async () =>
    (await api.client.get<Service>(ServiceKind, 'web', { namespace: 'shop' })).status?.conditions?.find(
      ({ type }) => type === 'istio.io/WaypointBound',
    );
  await eventually(async () => {
    const waiting = await gateway('wp');
    expect(condition(waiting, 'Accepted')).toMatchObject({ status: 'True', reason: 'Accepted', observedGeneration: 1 });
    expect(condition(waiting, 'Programmed')).toMatchObject({ status: 'False', reason: 'Pending' });
    expect(waiting.status?.addresses).toBeUndefined();
    expect(await boundCondition()).toMatchObject({ status: 'False', reason: 'WaypointNotReady' });
  });
  await createReplica('wp-1', 'wp', '10.244.1.20');
  await eventually(async () => {
    const ready = await gateway('wp');
    expect(condition(ready, 'Programmed')).toMatchObject({ status: 'True', reason: 'Programmed' });
    expect(ready.status?.addresses).toEqual([{ type: 'Hostname', value: 'wp.shop.svc.cluster.local' }]);
    expect(ready.status?.listeners).toMatchObject([
      { name: 'mesh', conditions: [{ type: 'Accepted', status: 'True' }, { type: 'Programmed', status: 'True' }, {}, {}] },
    ]);
    expect(ready.metadata.annotations).toMatchObject({ 'gateway.istio.io/controller-version': '5' });
    expect(await boundCondition()).toMatchObject({ status: 'True', reason: 'WaypointAccepted' });
  });

  const client = new XdsClient(controlPlane, token);
  client.begin(ADDRESS_TYPE);
  const { resources } = await client.nextAcked();
  const find = (name: string) => fromBinary(wire.AddressSchema, resources.find((resource) => resource.name === name)!.value).type;
  expect(find('shop/web.shop.svc.cluster.local')).toMatchObject({
    case: 'service',
    value: {
      waypoint: {
        hboneMtlsPort: 15008,
        destination: { case: 'hostname', value: { namespace: 'shop', hostname: 'wp.shop.svc.cluster.local' } },
      },
    },
  });
  expect(find('Kubernetes//Pod/shop/wp-1').value).not.toHaveProperty('waypoint');
  expect(find('Kubernetes//Pod/shop/wp-1')).toMatchObject({
    case: 'workload',
    value: { nativeTunnel: true, tunnelProtocol: wire.TunnelProtocol.HBONE, serviceAccount: 'wp' },
  });
  client.close();

  await api.client.delete(PodKind, 'wp-1', { namespace: 'shop', gracePeriodSeconds: 0 });
  await eventually(async () => {
    const down = await gateway('wp');
    expect(condition(down, 'Programmed')).toMatchObject({ status: 'False', reason: 'Pending' });
    // Nothing goes around a waypoint that was there once.
    expect(down.status?.addresses).toHaveLength(1);
  });
});

test("a waypoint's own token gets the certificate of its own identity, and no other", async () => {
  await createGateway('signed');
  await eventually(() => api.client.get(ServiceAccountKind, 'signed', { namespace: 'shop' }));
  const pod = await createReplica('signed-1', 'signed', '10.244.1.21');
  const own = await api.client.requestToken('shop', 'signed', {
    audiences: ['istio-ca'],
    boundPod: { name: 'signed-1', uid: pod.metadata.uid! },
  });
  const { pem } = await makeCsr('spiffe://cluster.local/ns/shop/sa/signed');
  expect((await requestCertificate(controlPlane, own.token, { csr: pem })).chain).toHaveLength(2);
  const other = await requestCertificate(controlPlane, own.token, { csr: pem, impersonate: 'spiffe://cluster.local/ns/shop/sa/wp' });
  expect(other.chain).toEqual([]);
});

test('what is generated is repaired when somebody deletes or changes it, but not when it is scaled', async () => {
  await createGateway('mended');
  const before = await eventually(() => deployment('mended'));
  await del(api, ServiceKind, 'shop', 'mended');
  await eventually(() => api.client.get<Service>(ServiceKind, 'mended', { namespace: 'shop' }));
  await api.client.patch(DeploymentKind, 'mended', { spec: { replicas: 4 } }, { namespace: 'shop' });
  await api.client.patch(
    DeploymentKind,
    'mended',
    { spec: { template: { spec: { serviceAccountName: 'default' } } } },
    { namespace: 'shop' },
  );
  await eventually(async () => {
    const after = await deployment('mended');
    expect(after.metadata.generation).toBeGreaterThan(before.metadata.generation! + 2);
    expect(after.spec.template.spec.serviceAccountName).toBe('mended');
    expect(after.spec.replicas).toBe(4);
  });
});

test('parameters change what is generated; wrong ones are refused by name and leave everything running', async () => {
  const parameters = (data: Record<string, string>) =>
    api.client.apply<ConfigMap>(ConfigMapKind, { metadata: { name: 'tuning', namespace: 'shop' }, data });
  await createGateway('tuned', {
    spec: { infrastructure: { labels: { tier: 'gold' }, parametersRef: { group: '', kind: 'ConfigMap', name: 'tuning' } } },
  });
  await eventually(async () =>
    expect(condition(await gateway('tuned'), 'Accepted')).toMatchObject({
      status: 'False',
      reason: 'InvalidParameters',
      message: expect.stringContaining('shop/tuning does not exist'),
    }),
  );
  await parameters({
    deployment:
      'spec: {replicas: 3, template: {spec: {containers: [{name: istio-proxy, resources: {limits: {memory: 1Gi}}, env: [{name: RUST_LOG, value: debug}]}]}}}',
    service: 'metadata: {annotations: {note: mine}}',
    podDisruptionBudget: '$patch: delete',
  });
  const made = await eventually(() => deployment('tuned'));
  expect(made.spec.replicas).toBe(3);
  expect(made.metadata.labels).toMatchObject({ tier: 'gold' });
  const container = made.spec.template.spec.containers[0]!;
  expect(container.resources).toEqual({ requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '1Gi' } });
  expect(container.env).toContainEqual({ name: 'RUST_LOG', value: 'debug' });
  expect(container.env!.length).toBeGreaterThan(10);
  expect((await eventually(() => api.client.get<Service>(ServiceKind, 'tuned', { namespace: 'shop' }))).metadata.annotations).toMatchObject(
    { note: 'mine' },
  );
  await eventually(async () => expect(condition(await gateway('tuned'), 'Accepted')).toMatchObject({ status: 'True' }));
  // A fixed number of replicas and an autoscaler would fight.
  expect(await api.client.get(HorizontalPodAutoscalerKind, 'tuned', { namespace: 'shop' }).catch((error: Error) => error.name)).toBe(
    'ApiError',
  );
  expect(await api.client.get(PodDisruptionBudgetKind, 'tuned', { namespace: 'shop' }).catch((error: Error) => error.name)).toBe(
    'ApiError',
  );

  await parameters({ deployment: 'spec: {replicas: 3}', gpu: 'x', service: 'metadata: {name: other}' });
  await eventually(async () => {
    const { message } = condition(await gateway('tuned'), 'Accepted')!;
    expect(message).toContain('gpu is not known');
    expect(message).toContain('metadata.name may not be changed');
  });
  expect((await deployment('tuned')).metadata.uid).toBe(made.metadata.uid!);
});

test('a Gateway that cannot be served says which listener and why, and gets nothing', async () => {
  await createGateway('plain', { spec: { listeners: [{ name: 'web', port: 80, protocol: 'HTTP' }] } });
  await eventually(async () => {
    const refused = await gateway('plain');
    expect(condition(refused, 'Accepted')).toMatchObject({
      status: 'False',
      reason: 'ListenersNotValid',
      message: expect.stringContaining('listener web: protocol HTTP'),
    });
    expect(refused.status?.listeners).toMatchObject([
      { name: 'web', supportedKinds: [], conditions: [{ type: 'Accepted', status: 'False', reason: 'UnsupportedProtocol' }, {}, {}, {}] },
    ]);
  });
  await expect(deployment('plain')).rejects.toThrow('not found');
});

test('an object of the same name that is not ours is left alone, and the Gateway says so', async () => {
  await api.client.create<Service>(ServiceKind, { metadata: { name: 'taken', namespace: 'shop' }, spec: { ports: [{ port: 80 }] } });
  await createGateway('taken');
  await eventually(async () =>
    expect(condition(await gateway('taken'), 'Programmed')).toMatchObject({
      reason: 'Invalid',
      message: expect.stringContaining('Service shop/taken exists'),
    }),
  );
  expect((await api.client.get<Service>(ServiceKind, 'taken', { namespace: 'shop' })).metadata.labels).toBeUndefined();
});

test('a Gateway that changes its mind loses what was made for it', async () => {
  await createGateway('moved', { metadata: { annotations: { 'gateway.istio.io/name-override': 'first' } } });
  await eventually(() => deployment('first'));
  await api.client.patch(
    GatewayKind,
    'moved',
    { metadata: { annotations: { 'gateway.istio.io/name-override': 'second' } } },
    { namespace: 'shop' },
  );
  await eventually(() => deployment('second'));
  await eventually(() => expect(deployment('first')).rejects.toThrow('not found'));
  await api.client.patch(GatewayKind, 'moved', { spec: { gatewayClassName: 'somebody-elses' } }, { namespace: 'shop' });
  await eventually(() => expect(deployment('second')).rejects.toThrow('not found'));
});

test('a ConfigMap of the root namespace changes every waypoint of the class it names', async () => {
  await createGateway('classy');
  await eventually(() => deployment('classy'));
  await api.client.create<ConfigMap>(ConfigMapKind, {
    metadata: { name: 'defaults', namespace: 'istio-system', labels: { 'gateway.istio.io/defaults-for-class': 'istio-waypoint' } },
    data: { deployment: 'spec: {template: {spec: {securityContext: {runAsUser: 1337}}}}' },
  });
  await eventually(async () => expect((await deployment('classy')).spec.template.spec.securityContext?.runAsUser).toBe(1337));
  await del(api, ConfigMapKind, 'istio-system', 'defaults');
  await eventually(async () => expect((await deployment('classy')).spec.template.spec.securityContext?.runAsUser).toBeUndefined());
});
