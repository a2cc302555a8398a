import { afterAll, beforeAll, expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type AuthorizationPolicy,
  AuthorizationPolicyKind,
  type ConfigMap,
  ConfigMapKind,
  type Event,
  EventKind,
  NamespaceKind,
  type NetworkPolicy,
  NetworkPolicyKind,
  type PeerAuthentication,
  PeerAuthenticationKind,
  PodKind,
  SecretKind,
  type Service,
  type ServiceEntry,
  ServiceEntryKind,
  ServiceKind,
  type WorkloadEntry,
  WorkloadEntryKind,
} from '../platform/kubernetes/index.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, NETWORK_POLICY_TYPE } from '../protocol/index.ts';
import * as wire from '../protocol/messages/index.ts';
import type { ControlPlane } from './control-plane.ts';
import {
  createAccount,
  createNamespace,
  createPod,
  eventually,
  makeCsr,
  type Response,
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
const clients: XdsClient[] = [];
const connect = (): XdsClient => {
  const client = new XdsClient(controlPlane, token);
  clients.push(client);
  return client;
};

beforeAll(async () => {
  api = await startApi(undo);
  for (const namespace of ['istio-system', 'shop', 'other']) await createNamespace(api, namespace);
  await createAccount(api, 'istio-system', 'ztunnel');
  await createAccount(api, 'shop', 'web');
  const ztunnel = await createPod(api, 'istio-system', 'ztunnel-abc', { ip: '10.244.1.2', serviceAccount: 'ztunnel' });
  ({ token } = await api.client.requestToken('istio-system', 'ztunnel', {
    audiences: ['istio-ca'],
    boundPod: { name: 'ztunnel-abc', uid: ztunnel.metadata.uid! },
  }));
  await api.client.create<Service>(ServiceKind, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { clusterIP: '10.96.0.50', selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
  await createPod(api, 'shop', 'web-1', { ip: '10.244.1.10', serviceAccount: 'web', labels: { app: 'web' } });
  controlPlane = await startControlPlane(api, undo);
});
afterAll(async () => {
  for (const client of clients) client.close();
  for (const action of undo.reverse()) await action();
});

const workloadOf = (response: Response, name: string) => {
  const resource = response.resources.find((candidate) => candidate.name === name);
  const { type } = fromBinary(wire.AddressSchema, resource!.value);
  if (type.case !== 'workload') throw new Error(`${name} is not a workload`);
  return type.value;
};
const WEB_1 = 'Kubernetes//Pod/shop/web-1';

test('a proxy gets every workload, service and policy, then only what changes, and nothing when nothing does', async () => {
  const client = connect();
  client.begin(ADDRESS_TYPE);
  client.begin(AUTHORIZATION_TYPE);
  const [first, second] = [await client.nextAcked(), await client.nextAcked()];
  const addresses = first.typeUrl === ADDRESS_TYPE ? first : second;
  const policies = first.typeUrl === ADDRESS_TYPE ? second : first;
  expect(addresses.resources.map((resource) => resource.name)).toContain('shop/web.shop.svc.cluster.local');
  expect(policies.resources.map((resource) => resource.name)).toEqual(['istio-system/istio_converted_static_strict']);
  expect(workloadOf(addresses, WEB_1)).toMatchObject({
    namespace: 'shop',
    serviceAccount: 'web',
    node: 'node1',
    canonicalName: 'web',
    tunnelProtocol: wire.TunnelProtocol.NONE,
    services: { 'shop/web.shop.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] } },
  });
  expect(addresses.resources.every((resource) => resource.anyType === ADDRESS_TYPE)).toBe(true);

  await api.client.patchStatus(
    PodKind,
    'web-1',
    { metadata: { annotations: { 'ambient.istio.io/redirection': 'enabled' } } },
    { namespace: 'shop' },
  );
  const change = await client.nextAcked();
  expect(change.resources.map((resource) => resource.name)).toEqual([WEB_1]);
  expect(workloadOf(change, WEB_1).tunnelProtocol).toBe(wire.TunnelProtocol.HBONE);

  await api.client.patch(PodKind, 'web-1', { metadata: { annotations: { unrelated: 'x' } } }, { namespace: 'shop' });
  await client.expectSilence();
  client.close();
});

test('a ServiceEntry gets addresses for its hosts, is pushed with them and its endpoints, and says so in its status', async () => {
  const client = connect();
  client.begin(ADDRESS_TYPE);
  client.begin(AUTHORIZATION_TYPE);
  await client.nextAcked();
  await client.nextAcked();
  await api.client.create<ServiceEntry>(ServiceEntryKind, {
    metadata: { name: 'db', namespace: 'shop' },
    spec: {
      hosts: ['db.example.com'],
      resolution: 'STATIC',
      ports: [{ number: 5432, name: 'pg', protocol: 'TCP' }],
      workloadSelector: { labels: { app: 'vm' } },
      exportTo: ['.', 'other'],
    },
  });
  await api.client.create<WorkloadEntry>(WorkloadEntryKind, {
    metadata: { name: 'vm', namespace: 'shop' },
    spec: { address: '192.0.2.9', labels: { app: 'vm' } },
  });
  const status = async () => (await api.client.get<ServiceEntry>(ServiceEntryKind, 'db', { namespace: 'shop' })).status;
  const given = await eventually(async () => {
    const now = await status();
    expect(now?.addresses).toHaveLength(2);
    expect(now?.conditions?.[0]).toMatchObject({
      type: 'ZtunnelAccepted',
      status: 'True',
      reason: 'UnsupportedValue',
      message: expect.stringContaining('spec.exportTo'),
      observedGeneration: 1,
    });
    return now!.addresses![0]!.value!;
  });
  expect(given).toStartWith('240.240.');
  const seen = new Map<string, Response['resources'][number]>();
  const vm = 'Kubernetes/networking.istio.io/WorkloadEntry/shop/vm';
  const service = () => {
    const resource = seen.get('shop/db.example.com');
    const { type } = fromBinary(wire.AddressSchema, resource?.value ?? new Uint8Array(0));
    return type.case === 'service' ? type.value : undefined;
  };
  while (service()?.addresses.length !== 2 || !seen.has(vm))
    for (const resource of (await client.nextAcked()).resources) seen.set(resource.name, resource);
  expect(service()!.addresses[0]!.address.join('.')).toBe(given);
  expect(service()!.visibility).toBe(wire.Service_Visibility.NAMESPACE);
  const { type } = fromBinary(wire.AddressSchema, seen.get(vm)!.value);
  expect(type.case === 'workload' && Object.keys(type.value.services)).toEqual(['shop/db.example.com']);
  await api.client.delete(ServiceEntryKind, 'db', { namespace: 'shop' });
  await api.client.delete(WorkloadEntryKind, 'vm', { namespace: 'shop' });
  const removed: string[] = [];
  while (removed.length < 2) removed.push(...(await client.nextAcked()).removed);
  expect(removed.sort()).toEqual([vm, 'shop/db.example.com'].sort());
  client.close();
});

test('a policy is pushed before the workloads that name it, leaves after them, and says on the object who has it', async () => {
  const client = connect();
  client.begin(ADDRESS_TYPE);
  client.begin(AUTHORIZATION_TYPE);
  await client.nextAcked();
  await client.nextAcked();
  await api.client.create<AuthorizationPolicy>(AuthorizationPolicyKind, {
    metadata: { name: 'only-web', namespace: 'shop' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/web'] } }], to: [{ operation: { methods: ['GET'] } }] }],
    },
  });
  const policy = await client.next();
  expect([policy.typeUrl, ...policy.resources.map((resource) => resource.name)]).toEqual([AUTHORIZATION_TYPE, 'shop/only-web']);
  const status = async () => (await api.client.get<AuthorizationPolicy>(AuthorizationPolicyKind, 'only-web', { namespace: 'shop' })).status;
  const workload = await client.nextAcked();
  expect(workloadOf(workload, WEB_1).authorizationPolicies).toEqual(['shop/only-web']);
  await eventually(async () => {
    const now = await status();
    expect(now?.conditions?.map((condition) => [condition.type, condition.status, condition.reason])).toEqual([
      ['ZtunnelAccepted', 'True', 'UnsupportedValue'],
      ['ZtunnelSynced', 'False', 'Pending'],
    ]);
    expect(now?.conditions?.[0]?.message).toContain('methods');
    expect(now?.conditions?.[0]?.observedGeneration).toBe(1);
  });
  client.ack(policy, 'shop/only-web: unknown match; see the log');
  await eventually(async () =>
    expect((await status())?.conditions?.[1]).toMatchObject({
      status: 'False',
      reason: 'Rejected',
      message: expect.stringContaining('ztunnel-abc.istio-system: unknown match; see the log'),
    }),
  );
  await client.expectSilence();
  await api.client.patch(
    AuthorizationPolicyKind,
    'only-web',
    { spec: { rules: [{ to: [{ operation: { ports: ['8080'] } }] }] } },
    { namespace: 'shop' },
  );
  await client.nextAcked();
  await eventually(async () =>
    expect((await status())?.conditions).toMatchObject([
      { reason: 'Accepted', observedGeneration: 2 },
      { status: 'True', reason: 'Acknowledged', message: 'acknowledged by 1 of 1 ztunnels (ztunnel-abc.istio-system)' },
    ]),
  );
  await api.client.delete(AuthorizationPolicyKind, 'only-web', { namespace: 'shop' });
  const gone = await client.nextAcked();
  expect(workloadOf(gone, WEB_1).authorizationPolicies).toEqual([]);
  expect((await client.nextAcked()).removed).toEqual(['shop/only-web']);
  client.close();
});

test('after a restart a client that reconnects with what it holds gets only the differences', async () => {
  const before = connect();
  before.begin(ADDRESS_TYPE);
  const held = Object.fromEntries((await before.nextAcked()).resources.map((resource) => [resource.name, resource.version]));
  before.close();
  await createPod(api, 'shop', 'web-2', { ip: '10.244.1.11', serviceAccount: 'web', labels: { app: 'web' } });
  const restarted = await startControlPlane(api, undo);
  const client = new XdsClient(restarted, token);
  clients.push(client);
  client.begin(ADDRESS_TYPE, { typeUrl: ADDRESS_TYPE, versions: { ...held, 'Kubernetes//Pod/shop/long-gone': '1234' } });
  const answer = await client.nextAcked();
  expect(answer.resources.map((resource) => resource.name)).toEqual(['Kubernetes//Pod/shop/web-2']);
  expect(answer.removed).toEqual(['Kubernetes//Pod/shop/long-gone']);
  await api.client.delete(PodKind, 'web-2', { namespace: 'shop', gracePeriodSeconds: 0 });
  expect((await client.nextAcked()).removed).toEqual(['Kubernetes//Pod/shop/web-2']);
});

test('the CA outlives the process and its root is in every namespace, put back when somebody changes it', async () => {
  const other = await startControlPlane(api, undo);
  expect(other.rootPem).toBe(controlPlane.rootPem);
  const root = async (namespace: string) =>
    (await api.client.get<ConfigMap>(ConfigMapKind, 'istio-ca-root-cert', { namespace })).data?.['root-cert.pem'];
  await eventually(async () => expect(await root('shop')).toBe(controlPlane.rootPem));
  await createNamespace(api, 'late');
  await eventually(async () => expect(await root('late')).toBe(controlPlane.rootPem));
  await api.client.patch(ConfigMapKind, 'istio-ca-root-cert', { data: { 'root-cert.pem': 'tampered' } }, { namespace: 'shop' });
  await eventually(async () => expect(await root('shop')).toBe(controlPlane.rootPem));
  await api.client.delete(ConfigMapKind, 'istio-ca-root-cert', { namespace: 'shop' });
  await eventually(async () => expect(await root('shop')).toBe(controlPlane.rootPem));
  await api.client.delete(NamespaceKind, 'late');
});

test('signs for the node proxy what runs on its node, with a real pod-bound token', async () => {
  const { pem } = await makeCsr('spiffe://cluster.local/ns/evil/sa/admin');
  const answer = await requestCertificate(controlPlane, token, { csr: pem, impersonate: 'spiffe://cluster.local/ns/shop/sa/web' });
  expect(answer).toMatchObject({ code: 0 });
  expect(answer.chain.length).toBe(2);
  const leaf = new X509Certificate(answer.chain[0]!);
  expect(leaf.subjectAltName).toBe('URI:spiffe://cluster.local/ns/shop/sa/web');
  expect(leaf.verify(new X509Certificate(answer.chain[1]!).publicKey)).toBe(true);
  const foreign = await requestCertificate(controlPlane, token, { csr: pem, impersonate: 'spiffe://cluster.local/ns/other/sa/default' });
  expect(foreign).toMatchObject({ code: 16, details: 'request impersonation authentication failure' });
});

test('refuses tokens that are missing, for another audience, or forged', async () => {
  const { token: wrongAudience } = await api.client.requestToken('istio-system', 'ztunnel', { audiences: ['somebody-else'] });
  for (const bad of ['', wrongAudience, 'e30.e30.e30', `${token.slice(0, -4)}AAAA`]) {
    const client = new XdsClient(controlPlane, bad);
    client.begin(ADDRESS_TYPE);
    expect((await client.status.promise).code).toBe(16);
    client.close();
    const { pem } = await makeCsr('spiffe://cluster.local/ns/shop/sa/web');
    expect(await requestCertificate(controlPlane, bad, { csr: pem })).toMatchObject({ code: 16, details: 'request authenticate failure' });
  }
});

test('a PeerAuthentication reaches the workloads it is about and reports on itself', async () => {
  const client = connect();
  client.begin(ADDRESS_TYPE);
  await client.nextAcked();
  await api.client.create<PeerAuthentication>(PeerAuthenticationKind, {
    metadata: { name: 'default', namespace: 'shop' },
    spec: { mtls: { mode: 'STRICT' } },
  });
  expect(workloadOf(await client.nextAcked(), WEB_1).authorizationPolicies).toEqual(['istio-system/istio_converted_static_strict']);
  await eventually(async () =>
    expect(
      (await api.client.get<PeerAuthentication>(PeerAuthenticationKind, 'default', { namespace: 'shop' })).status?.conditions?.[0],
    ).toMatchObject({ type: 'ZtunnelAccepted', status: 'True', reason: 'Accepted' }),
  );
  // A second one for the same pods changes nothing, and is told so until the first is gone.
  await Bun.sleep(1100); // ages are whole seconds
  await api.client.create<PeerAuthentication>(PeerAuthenticationKind, {
    metadata: { name: 'second', namespace: 'shop' },
    spec: { mtls: { mode: 'PERMISSIVE' } },
  });
  const second = async () =>
    (await api.client.get<PeerAuthentication>(PeerAuthenticationKind, 'second', { namespace: 'shop' })).status?.conditions?.[0];
  await eventually(async () =>
    expect(await second()).toMatchObject({
      type: 'ZtunnelAccepted',
      status: 'False',
      reason: 'Conflicted',
      message: expect.stringContaining('shop/default is older'),
    }),
  );
  await api.client.delete(PeerAuthenticationKind, 'default', { namespace: 'shop' });
  expect(workloadOf(await client.nextAcked(), WEB_1).authorizationPolicies).toEqual([]);
  await eventually(async () => expect(await second()).toMatchObject({ status: 'True', reason: 'Accepted' }));
  await api.client.delete(PeerAuthenticationKind, 'second', { namespace: 'shop' });
  client.close();
});

test('a plugged-in CA takes over at run time: new chain, new root everywhere, new serving certificate', async () => {
  const { Authority } = await import('./ca/authority.ts');
  const plugged = await Authority.createRoot('plugged');
  const { certPem, keyPem } = plugged.material;
  await api.client.create(SecretKind, {
    metadata: { name: 'cacerts', namespace: 'istio-system' },
    stringData: { 'ca-cert.pem': certPem, 'ca-key.pem': keyPem, 'root-cert.pem': certPem, 'cert-chain.pem': '' },
  });
  const { pem } = await makeCsr('x:y');
  await eventually(async () => {
    const answer = await requestCertificate(controlPlane, token, { csr: pem });
    expect(answer.chain[1]).toBe(certPem);
  });
  await eventually(async () =>
    expect((await api.client.get<ConfigMap>(ConfigMapKind, 'istio-ca-root-cert', { namespace: 'shop' })).data?.['root-cert.pem']).toBe(
      certPem,
    ),
  );
  await api.client.delete(SecretKind, 'cacerts', { namespace: 'istio-system' });
  await eventually(() => expect(controlPlane.rootPem).not.toBe(certPem));
});

test('an operator exchanges the root in three steps, and every answer fits what peers trust by then', async () => {
  const { Authority } = await import('./ca/authority.ts');
  const [old, next] = [(await Authority.createRoot('old')).material, (await Authority.createRoot('next')).material];
  const { pem } = await makeCsr('x:y');
  const issuerOf = async (roots: string): Promise<string> => {
    const answer = await eventually(async () => {
      const { chain } = await requestCertificate(controlPlane, token, { csr: pem });
      expect(chain.at(-1)).toBe(roots);
      return chain;
    });
    return new X509Certificate(answer[0]!).issuer;
  };
  const put = (signer: typeof old, roots: string) => ({
    'ca-cert.pem': btoa(signer.certPem),
    'ca-key.pem': btoa(signer.keyPem),
    'root-cert.pem': btoa(roots),
    'cert-chain.pem': '',
  });
  await api.client.create(SecretKind, { metadata: { name: 'cacerts', namespace: 'istio-system' }, data: put(old, old.certPem) });
  expect(await issuerOf(old.certPem)).toBe('O=old');
  const both = old.certPem + next.certPem;
  const turned = next.certPem + old.certPem;
  for (const [signer, roots, issuer] of [
    [old, both, 'O=old'],
    [next, turned, 'O=next'],
    [next, next.certPem, 'O=next'],
  ] as const) {
    await api.client.patch(SecretKind, 'cacerts', { data: put(signer, roots) }, { namespace: 'istio-system' });
    expect(await issuerOf(roots)).toBe(issuer);
    await eventually(async () =>
      expect((await api.client.get<ConfigMap>(ConfigMapKind, 'istio-ca-root-cert', { namespace: 'shop' })).data?.['root-cert.pem']).toBe(
        roots,
      ),
    );
  }
  await api.client.delete(SecretKind, 'cacerts', { namespace: 'istio-system' });
  await eventually(() => expect(controlPlane.rootPem).not.toBe(next.certPem));
});

test('tells about itself over HTTP', async () => {
  const base = `http://127.0.0.1:${controlPlane.httpPort}`;
  const client = connect();
  client.begin(ADDRESS_TYPE);
  await client.nextAcked();
  expect((await fetch(`${base}/ready`)).status).toBe(200);
  const synced = await eventually(async () => {
    const list = (await (await fetch(`${base}/debug/syncz`)).json()) as {
      proxy: string;
      node: string;
      types: Record<string, { synced: boolean }>;
    }[];
    expect(list.some((item) => item.types[ADDRESS_TYPE]?.synced)).toBe(true);
    return list;
  });
  expect(synced[0]).toMatchObject({ proxy: 'ztunnel-abc.istio-system', node: 'node1' });
  const metrics = await (await fetch(`${base}/metrics`)).text();
  for (const name of [
    'pilot_xds{',
    'pilot_xds_pushes_total{type="wds"}',
    'pilot_proxy_convergence_time_bucket',
    'citadel_server_csr_count',
  ])
    expect(metrics).toContain(name);
  const configz = await (await fetch(`${base}/debug/configz`)).text();
  expect(configz).toContain('shop/web.shop.svc.cluster.local');
  expect(configz).not.toContain('PRIVATE KEY');
  client.close();
});

test('a NetworkPolicy reaches pods before proxies and leaves them after; a label is the change of one workload', async () => {
  await createPod(api, 'other', 'caller', { ip: '10.244.1.40', labels: { app: 'caller' } });
  const client = connect();
  client.begin(ADDRESS_TYPE);
  client.begin(NETWORK_POLICY_TYPE);
  await client.nextAcked();
  await client.nextAcked();
  await api.client.create<NetworkPolicy>(NetworkPolicyKind, {
    metadata: { name: 'callers', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { role: 'buyer' } } }], ports: [{ port: 8080 }] }],
    },
  });
  const named = async () => {
    const { typeUrl, resources, removed } = await client.nextAcked();
    return { typeUrl, names: resources.map(({ name }) => name), removed };
  };
  expect(await named()).toEqual({ typeUrl: ADDRESS_TYPE, names: [WEB_1], removed: [] });
  expect(await named()).toEqual({ typeUrl: NETWORK_POLICY_TYPE, names: ['shop/callers'], removed: [] });
  await api.client.patch(PodKind, 'caller', { metadata: { labels: { role: 'buyer' } } }, { namespace: 'other' });
  expect(await named()).toEqual({ typeUrl: ADDRESS_TYPE, names: ['Kubernetes//Pod/other/caller'], removed: [] });
  await api.client.delete(NetworkPolicyKind, 'callers', { namespace: 'shop' });
  expect(await named()).toEqual({ typeUrl: NETWORK_POLICY_TYPE, names: [], removed: ['shop/callers'] });
  const last = await named();
  expect({ ...last, names: last.names.sort() }).toEqual({
    typeUrl: ADDRESS_TYPE,
    names: ['Kubernetes//Pod/other/caller', WEB_1].sort(),
    removed: [],
  });
  client.close();
});

test('what is not understood of a NetworkPolicy is an event on it, once', async () => {
  await api.client.create<NetworkPolicy>(NetworkPolicyKind, {
    metadata: { name: 'typo', namespace: 'shop' },
    spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0' } }] }] },
  });
  const eventsOf = async (): Promise<Event[]> =>
    (await api.client.listAll<Event>(EventKind, { namespace: 'shop' })).items.filter(
      ({ involvedObject }) => involvedObject.name === 'typo',
    );
  await eventually(async () => expect((await eventsOf()).length).toBeGreaterThan(0));
  // Tests before this one have left more than one control plane, each of which says it.
  await Bun.sleep(200);
  const events = await eventsOf();
  expect(events[0]).toMatchObject({
    type: 'Warning',
    reason: 'NotUnderstood',
    message: expect.stringContaining('spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0" is not a CIDR'),
  });
  await api.client.patch(NetworkPolicyKind, 'typo', { metadata: { labels: { a: 'b' } } }, { namespace: 'shop' });
  await Bun.sleep(200);
  expect(await eventsOf()).toHaveLength(events.length);
  await api.client.delete(NetworkPolicyKind, 'typo', { namespace: 'shop' });
});
