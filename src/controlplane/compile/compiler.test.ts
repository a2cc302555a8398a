import { expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import type {
  AuthorizationPolicy,
  EndpointSlice,
  Namespace,
  Node,
  PeerAuthentication,
  Pod,
  Service,
} from '../../platform/kubernetes/index.ts';
import * as wire from '../../protocol/index.ts';
import { contentVersion, ResourceStore } from '../xds/store.ts';
import { type CompiledKind, type CompiledKinds, MeshCompiler } from './compiler.ts';
import { slimPod } from './slim.ts';

const CONTEXT = {
  clusterId: 'Kubernetes',
  trustDomain: 'cluster.local',
  rootNamespace: 'istio-system',
  clusterDomain: 'cluster.local',
  network: '',
};
type AnyObject = CompiledKinds[CompiledKind];
type Entry = { [K in CompiledKind]: { kind: K; object: CompiledKinds[K] } }[CompiledKind];

const pod = (
  name: string,
  change: {
    namespace?: string;
    ip?: string;
    labels?: Record<string, string>;
    node?: string;
    hbone?: boolean;
    ready?: boolean;
    phase?: string;
    deleting?: boolean;
    spec?: Partial<Pod['spec']>;
    owner?: { kind: string; name: string };
  } = {},
): Entry => ({
  kind: 'Pod',
  object: {
    metadata: {
      name,
      namespace: change.namespace ?? 'shop',
      labels: change.labels ?? { app: 'web' },
      ...(change.hbone && { annotations: { 'ambient.istio.io/redirection': 'enabled' } }),
      ...(change.deleting && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      ...(change.owner && { ownerReferences: [{ apiVersion: 'apps/v1', uid: 'u', controller: true, ...change.owner }] }),
    },
    spec: {
      nodeName: change.node ?? 'node1',
      containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 8080 }] }],
      ...change.spec,
    },
    status: {
      phase: change.phase ?? 'Running',
      podIPs: change.ip === '' ? [] : [{ ip: change.ip ?? '10.244.1.5' }],
      conditions: [{ type: 'Ready', status: change.ready === false ? 'False' : 'True' }],
    },
  },
});
const service = (name: string, spec: Partial<NonNullable<Service['spec']>> = {}, namespace = 'shop'): Entry => ({
  kind: 'Service',
  object: {
    metadata: { name, namespace },
    spec: { clusterIP: '10.96.0.9', selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
  },
});
const policy = (name: string, spec: NonNullable<AuthorizationPolicy['spec']>, namespace = 'shop'): Entry => ({
  kind: 'AuthorizationPolicy',
  object: { metadata: { name, namespace }, spec },
});
const peer = (
  name: string,
  spec: NonNullable<PeerAuthentication['spec']>,
  namespace = 'shop',
  created = '2026-01-01T00:00:00Z',
): Entry => ({ kind: 'PeerAuthentication', object: { metadata: { name, namespace, creationTimestamp: created }, spec } });

const keyOf = (object: AnyObject): string =>
  object.metadata.namespace ? `${object.metadata.namespace}/${object.metadata.name}` : (object.metadata.name ?? '');
const put = (compiler: MeshCompiler, entry: Entry): void =>
  (compiler.upsert as (kind: CompiledKind, object: AnyObject) => void).call(compiler, entry.kind, entry.object);

/** name → version of everything, from objects alone. */
function compile(entries: Iterable<Entry>): Map<string, string> {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const entry of entries) put(compiler, entry);
  const stores = [new ResourceStore('a'), new ResourceStore('p')] as const;
  flush(compiler, stores);
  return snapshot(stores);
}
const fault = (kind: string, key: string, error: Error): never => {
  throw new Error(`${kind} ${key}: ${error.stack}`);
};
function flush(compiler: MeshCompiler, stores: readonly [ResourceStore, ResourceStore]): void {
  const { addresses, authorizations } = compiler.flush();
  stores[0].apply(addresses);
  stores[1].apply(authorizations);
}
const snapshot = (stores: readonly ResourceStore[]): Map<string, string> =>
  new Map(
    stores
      .flatMap((store) => [...store.all()].map((resource): [string, string] => [`${store.typeUrl} ${resource.name}`, resource.version]))
      .sort(),
  );

function workload(entries: Entry[], uid = 'Kubernetes//Pod/shop/p') {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const entry of entries) put(compiler, entry);
  const resource = compiler.flush().addresses.get(uid);
  if (resource === undefined) return undefined;
  const { type } = fromBinary(wire.AddressSchema, resource.value);
  return type.case === 'workload' ? type.value : undefined;
}
function serviceOf(entries: Entry[], key = 'shop/s.shop.svc.cluster.local') {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const entry of entries) put(compiler, entry);
  const resource = compiler.flush().addresses.get(key);
  if (resource === undefined) return undefined;
  const { type } = fromBinary(wire.AddressSchema, resource.value);
  return type.case === 'service' ? type.value : undefined;
}

const ns = fc.constantFrom('shop', 'bank', 'istio-system');
const labels = fc.record({ app: fc.constantFrom('web', 'db'), version: fc.constantFrom('v1', 'v2') }, { requiredKeys: [] }) as fc.Arbitrary<
  Record<string, string>
>;
const selector = fc.option(fc.record({ matchLabels: labels }), { nil: undefined });
const name = fc.constantFrom('a', 'b', 'c');
const mtls = fc.record({ mode: fc.constantFrom('STRICT' as const, 'PERMISSIVE' as const, 'UNSET' as const, 'DISABLE' as const) });
const optional = <T extends object>(value: { [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
const object: fc.Arbitrary<Entry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        ns,
        name,
        labels,
        fc.constantFrom('node1', 'node2'),
        fc.constantFrom('', '10.0.0.1', '10.0.0.2'),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom('Running', 'Succeeded'),
      )
      .map(([namespace, n, l, node, ip, hbone, ready, phase]) => pod(n, { namespace, labels: l, node, ip, hbone, ready, phase })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        ns,
        name,
        fc.option(labels, { nil: undefined }),
        fc.constantFrom<string | number>(8080, 'web', 'nope'),
        fc.constantFrom('ClusterIP' as const, 'ExternalName' as const),
      )
      .map(([namespace, n, s, targetPort, type]) =>
        service(
          n,
          { ...optional<{ selector?: Record<string, string> }>({ selector: s }), type, ports: [{ port: 80, targetPort }] },
          namespace,
        ),
      ),
  },
  fc.tuple(ns, name, name, fc.boolean(), fc.constantFrom(['192.0.2.1'], ['192.0.2.1', '192.0.2.2'])).map(
    ([namespace, n, of, isPod, addresses]): Entry => ({
      kind: 'EndpointSlice',
      object: {
        metadata: { name: n, namespace, labels: { 'kubernetes.io/service-name': of } },
        addressType: 'IPv4',
        ports: [{ name: '', port: 9000 }],
        endpoints: [{ addresses: [...addresses], ...(isPod && { targetRef: { kind: 'Pod', name: 'a' } }) }],
      } satisfies EndpointSlice,
    }),
  ),
  fc.tuple(fc.constantFrom('node1', 'node2'), fc.constantFrom('z1', 'z2')).map(
    ([n, zone]): Entry => ({
      kind: 'Node',
      object: { metadata: { name: n, labels: { 'topology.kubernetes.io/zone': zone } } } satisfies Node,
    }),
  ),
  fc.tuple(ns, fc.constantFrom('', 'PreferClose')).map(
    ([n, distribution]): Entry => ({
      kind: 'Namespace',
      object: { metadata: { name: n, annotations: { 'networking.istio.io/traffic-distribution': distribution } } } satisfies Namespace,
    }),
  ),
  {
    weight: 2,
    arbitrary: fc
      .tuple(ns, name, selector, fc.constantFrom('ALLOW' as const, 'DENY' as const, 'CUSTOM' as const), fc.boolean())
      .map(([namespace, n, s, action, http]) =>
        policy(
          n,
          optional({ selector: s, action, rules: [{ to: [{ operation: http ? { methods: ['GET'] } : { ports: ['80'] } }] }] }),
          namespace,
        ),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(ns, name, selector, mtls, fc.option(mtls, { nil: undefined }), fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'))
      .map(([namespace, n, s, mode, port, created]) =>
        peer(n, optional({ selector: s, mtls: mode, portLevelMtls: port && { '8080': port } }), namespace, created),
      ),
  },
);
/** Random sequences of changes to these objects: compiled as they come, they must end where compiling from nothing does. */
function checkSequences(object: fc.Arbitrary<Entry>, numRuns: number): void {
  const step = fc.oneof(
    { weight: 4, arbitrary: object.map((entry) => ({ do: 'put' as const, entry })) },
    { weight: 2, arbitrary: fc.nat().map((index) => ({ do: 'remove' as const, index })) },
    { weight: 2, arbitrary: fc.constant({ do: 'flush' as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
      const compiler = new MeshCompiler(CONTEXT, fault);
      const stores = [new ResourceStore('a'), new ResourceStore('p')] as const;
      const objects = new Map<string, Entry>();
      for (const action of steps) {
        if (action.do === 'flush') flush(compiler, stores);
        else if (action.do === 'put') {
          objects.set(`${action.entry.kind} ${keyOf(action.entry.object)}`, action.entry);
          put(compiler, action.entry);
        } else if (objects.size > 0) {
          const [key, entry] = [...objects][action.index % objects.size]!;
          objects.delete(key);
          compiler.remove(entry.kind, keyOf(entry.object));
        }
      }
      flush(compiler, stores);
      expect(snapshot(stores)).toEqual(compile(objects.values()));
    }),
    { numRuns },
  );
}

test('any sequence of changes gives the same resources as compiling the result from nothing', () => {
  checkSequences(object, 400);
});

test('the same holds for port modes that inherit from wider policies', () => {
  const wide = fc.tuple(fc.constantFrom('shop', 'istio-system'), mtls).map(([namespace, mode]) => peer('wide', { mtls: mode }, namespace));
  const narrow = mtls.map((port) =>
    peer('narrow', { selector: { matchLabels: { app: 'web' } }, mtls: { mode: 'UNSET' }, portLevelMtls: { '8080': port } }),
  );
  checkSequences(fc.oneof(wide, narrow, fc.constant(pod('p'))), 150);
});

test('the same holds for addresses that come and go in slices', () => {
  const slice = fc.tuple(fc.constantFrom('s', 'other'), fc.subarray(['192.0.2.1', '192.0.2.2'])).map(
    ([of, addresses]): Entry => ({
      kind: 'EndpointSlice',
      object: {
        metadata: { name: 'one', namespace: 'shop', labels: { 'kubernetes.io/service-name': of } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 9000 }],
        endpoints: [{ addresses }],
      },
    }),
  );
  checkSequences(fc.oneof(slice, fc.constant(service('s'))), 100);
});

test('a pod is a workload from its first address until it ends, healthy while it is ready and stays', () => {
  expect(workload([pod('p', { ip: '' })])).toBeUndefined();
  expect(workload([pod('p', { phase: 'Succeeded' })])).toBeUndefined();
  expect(workload([pod('p', { phase: 'Failed' })])).toBeUndefined();
  expect(workload([pod('p')])).toMatchObject({
    status: wire.WorkloadStatus.HEALTHY,
    tunnelProtocol: wire.TunnelProtocol.NONE,
    addresses: [new Uint8Array([10, 244, 1, 5])],
    clusterId: 'Kubernetes',
    canonicalName: 'web',
    canonicalRevision: 'latest',
  });
  expect(workload([pod('p', { ready: false })])?.status).toBe(wire.WorkloadStatus.UNHEALTHY);
  expect(workload([pod('p', { deleting: true })])?.status).toBe(wire.WorkloadStatus.UNHEALTHY);
});

test('HBONE is offered to captured pods and to those that speak it themselves', () => {
  expect(workload([pod('p', { hbone: true })])).toMatchObject({ tunnelProtocol: wire.TunnelProtocol.HBONE, nativeTunnel: false });
  expect(workload([pod('p', { labels: { 'networking.istio.io/tunnel': 'other, http' } })])).toMatchObject({
    tunnelProtocol: wire.TunnelProtocol.HBONE,
    nativeTunnel: true,
  });
  expect(workload([pod('p', { spec: { hostNetwork: true } })])?.networkMode).toBe(wire.NetworkMode.HOST_NETWORK);
});

test('telemetry names come from labels and owners, locality from the node', () => {
  const node: Entry = {
    kind: 'Node',
    object: {
      metadata: {
        name: 'node1',
        labels: { 'topology.kubernetes.io/region': 'r', 'topology.kubernetes.io/zone': 'z', 'topology.istio.io/subzone': 's' },
      },
    },
  };
  expect(
    workload([
      pod('p', {
        labels: { 'pod-template-hash': 'abc', 'app.kubernetes.io/name': 'n', version: 'v2' },
        owner: { kind: 'ReplicaSet', name: 'api-v1-abc' },
      }),
      node,
    ]),
  ).toMatchObject({
    workloadName: 'api-v1',
    canonicalName: 'n',
    canonicalRevision: 'v2',
    workloadType: wire.WorkloadType.POD,
    locality: { region: 'r', zone: 'z', subzone: 's' },
  });
});

test('named target ports are resolved per pod; a pod without the name leaves the port out but keeps the service', () => {
  const named = service('s', {
    ports: [
      { name: 'http', port: 80, targetPort: 'web' },
      { name: 'admin', port: 81, targetPort: 'nope' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  });
  expect(workload([pod('p'), named])?.services).toMatchObject({
    'shop/s.shop.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080, appProtocol: wire.AppProtocol.HTTP11 }] },
  });
  expect(serviceOf([named])?.ports.map((port) => [port.servicePort, port.targetPort])).toEqual([
    [80, 0],
    [81, 0],
  ]);
  expect(workload([pod('p', { labels: { app: 'other' } }), named])?.services).toEqual({});
});

test('services carry addresses, families and load balancing; ExternalName is left out', () => {
  expect(serviceOf([service('s', { type: 'ExternalName', externalName: 'x.y' })])).toBeUndefined();
  expect(serviceOf([service('s', { clusterIP: 'None' })])?.addresses).toEqual([]);
  expect(serviceOf([service('s', { clusterIPs: ['10.96.0.9', 'fd00::9'], ipFamilies: ['IPv4', 'IPv6'] })])).toMatchObject({
    ipFamilies: wire.IPFamilies.DUAL,
    canonical: true,
    addresses: [{ address: new Uint8Array([10, 96, 0, 9]) }, {}],
  });
  expect(serviceOf([service('s')])?.loadBalancing).toBeUndefined();
  expect(serviceOf([service('s', { internalTrafficPolicy: 'Local', trafficDistribution: 'PreferClose' })])?.loadBalancing).toMatchObject({
    mode: wire.LoadBalancing_Mode.STRICT,
    routingPreference: [wire.LoadBalancing_Scope.NODE],
  });
  expect(serviceOf([service('s', { publishNotReadyAddresses: true })])?.loadBalancing?.healthPolicy).toBe(
    wire.LoadBalancing_HealthPolicy.ALLOW_ALL,
  );
});

test('addresses of a slice that no pod stands for are workloads of their own', () => {
  const slice: Entry = {
    kind: 'EndpointSlice',
    object: {
      metadata: { name: 's-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 's' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 9000 }],
      endpoints: [{ addresses: ['192.0.2.1'] }, { addresses: ['10.244.1.5'], targetRef: { kind: 'Pod', name: 'p' } }],
    },
  };
  const uid = 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/s-1/192.0.2.1';
  expect(workload([slice, service('s')], uid)).toMatchObject({
    networkMode: wire.NetworkMode.HOST_NETWORK,
    services: { 'shop/s.shop.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 9000 }] } },
  });
  expect(workload([slice, service('s')], 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/s-1/10.244.1.5')).toBeUndefined();
});

test('workloads list the selector policies of their namespace and of the root namespace, and nothing else', () => {
  const rules = [{}];
  const entries = [
    pod('p'),
    policy('mine', { selector: { matchLabels: { app: 'web' } }, rules }),
    policy('not-mine', { selector: { matchLabels: { app: 'db' } }, rules }),
    policy('everybody', { rules }),
    policy('elsewhere', { selector: { matchLabels: { app: 'web' } }, rules }, 'bank'),
    policy('from-root', { selector: { matchLabels: { app: 'web' } }, rules }, 'istio-system'),
    policy('custom', { selector: { matchLabels: { app: 'web' } }, action: 'CUSTOM', rules }),
    policy('waypoint', { targetRefs: [{ kind: 'Service', name: 's' }], rules }),
  ];
  expect(workload(entries)?.authorizationPolicies).toEqual(['istio-system/from-root', 'shop/mine']);
  expect([...compile(entries).keys()].filter((key) => key.startsWith('p '))).toEqual(
    [
      'p istio-system/from-root',
      'p istio-system/istio_converted_static_strict',
      'p bank/elsewhere',
      'p shop/everybody',
      'p shop/mine',
      'p shop/not-mine',
    ].sort(),
  );
});

test('PeerAuthentication: workload over namespace over mesh, the static policy only where all ports are strict', () => {
  const strict = 'istio-system/istio_converted_static_strict';
  const keys = (...entries: Entry[]) => workload([pod('p'), ...entries])?.authorizationPolicies;
  const mesh = peer('m', { mtls: { mode: 'STRICT' } }, 'istio-system');
  expect(keys(mesh)).toEqual([strict]);
  expect(keys(mesh, peer('n', { mtls: { mode: 'PERMISSIVE' } }))).toEqual([]);
  expect(keys(mesh, peer('n', { mtls: { mode: 'UNSET' } }))).toEqual([strict]);
  const selector = { matchLabels: { app: 'web' } };
  expect(keys(mesh, peer('w', { selector, portLevelMtls: { '8080': { mode: 'PERMISSIVE' } } }))).toEqual([
    'shop/converted_peer_authentication_w',
  ]);
  expect(keys(mesh, peer('w', { selector, portLevelMtls: { '8080': { mode: 'STRICT' } } }))).toEqual([strict]);
  expect(keys(peer('w', { selector, mtls: { mode: 'PERMISSIVE' }, portLevelMtls: { '8080': { mode: 'STRICT' } } }))).toEqual([
    'shop/converted_peer_authentication_w',
  ]);
  expect(
    keys(
      peer('young', { mtls: { mode: 'STRICT' } }, 'shop', '2026-02-01T00:00:00Z'),
      peer('old', { mtls: { mode: 'PERMISSIVE' } }, 'shop', '2026-01-01T00:00:00Z'),
    ),
  ).toEqual([]);
});

test('what is dropped from a pod before it is kept changes nothing of its workload', () => {
  const full = pod('p', { hbone: true, owner: { kind: 'DaemonSet', name: 'd' } }).object as Pod;
  full.metadata.annotations = { ...full.metadata.annotations, big: 'x'.repeat(1000) };
  full.spec.containers.push({
    name: 'second',
    image: 'y',
    env: [{ name: 'SECRET', value: 'z' }],
    ports: [{ name: 'web2', containerPort: 1 }, { containerPort: 2 }],
  });
  const slim = slimPod(full);
  expect(JSON.stringify(slim)).not.toContain('SECRET');
  const named = service('s', { ports: [{ port: 80, targetPort: 'web2' }] });
  expect(compile([{ kind: 'Pod', object: slim }, named])).toEqual(compile([{ kind: 'Pod', object: full }, named]));
});

test('an object that cannot be compiled keeps its last state and the others go on', () => {
  const problems: string[] = [];
  const compiler = new MeshCompiler(CONTEXT, (kind, key) => problems.push(`${kind} ${key}`));
  const good = pod('good');
  put(compiler, good);
  put(compiler, pod('p'));
  compiler.flush();
  const broken = pod('p');
  (broken.object as Pod).spec = null as never;
  put(compiler, { kind: 'Pod', object: { ...(good.object as Pod), status: { phase: 'Running', podIPs: [{ ip: '10.0.0.77' }] } } });
  put(
    compiler,
    broken.kind === 'Pod'
      ? {
          kind: 'Pod',
          object: new Proxy(broken.object, {
            get: (target, field) =>
              field === 'spec'
                ? {
                    nodeName: 'node1',
                    get containers() {
                      throw new Error('boom');
                    },
                    get hostNetwork() {
                      throw new Error('boom');
                    },
                  }
                : Reflect.get(target, field),
          }),
        }
      : broken,
  );
  const changes = compiler.flush();
  expect(problems).toEqual(['Pod shop/p']);
  expect(changes.addresses.has('Kubernetes//Pod/shop/p')).toBe(false);
  expect(changes.addresses.has('Kubernetes//Pod/shop/good')).toBe(true);
  expect(compiler.isDirty).toBe(false);
});

test('versions are content: the same after a restart and whatever the order of labels and services', () => {
  const a = compile([service('a'), service('b'), pod('p', { labels: { app: 'web', x: '1' } })]);
  const b = compile([pod('p', { labels: { x: '1', app: 'web' } }), service('b'), service('a')]);
  expect(a).toEqual(b);
  expect(contentVersion(new TextEncoder().encode('x'))).toBe('2d711642b726b044');
});
