import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { EndpointSlice, Gateway, GatewayClass, Namespace, Node } from '../../platform/kubernetes/index.ts';
import { MeshCompiler } from './compiler.ts';
import {
  CONTEXT,
  compile,
  type Entry,
  fault,
  flush,
  keyOf,
  networkPolicy,
  newStores,
  peer,
  pod,
  policy,
  put,
  service,
  serviceEntry,
  snapshot,
  workloadEntry,
} from './objects.test.ts';

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
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        ns,
        name,
        fc.uniqueArray(fc.constantFrom('x.example.com', 'y.example.com', 'a.shop.svc.cluster.local'), { minLength: 1 }),
        fc.constantFrom('NONE' as const, 'STATIC' as const, 'DNS' as const),
        fc.constantFrom('pods', 'endpoints', 'nothing'),
        fc.constantFrom(['*'], ['.'], ['~']),
        fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
        labels,
      )
      .map(([namespace, n, hosts, resolution, takes, exportTo, created, l]) =>
        serviceEntry(
          n,
          {
            hosts,
            resolution,
            exportTo: [...exportTo],
            ...(takes === 'pods' && { workloadSelector: { labels: l } }),
            ...(takes === 'endpoints' && { endpoints: [{ address: '192.0.2.1' }, { address: 'ep.example.com', weight: 2 }] }),
          },
          { namespace, created },
        ),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(ns, name, labels, fc.constantFrom('', '192.0.2.8', 'vm.example.com'))
      .map(([namespace, n, l, address]) => workloadEntry(n, { address, network: 'far', labels: l }, namespace)),
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
      const stores = newStores();
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

test('the same holds for waypoints that come, go and change, and whatever asks for them', () => {
  const use = fc.constantFrom<Record<string, string>>(
    {},
    { 'istio.io/use-waypoint': 'wp' },
    { 'istio.io/use-waypoint': 'none' },
    { 'istio.io/use-waypoint': 'wp', 'istio.io/use-waypoint-namespace': 'bank' },
    { 'istio.io/use-waypoint': 'wp', 'istio.io/use-waypoint-canary': 'next' },
  );
  const gateway = fc
    .tuple(
      fc.constantFrom('shop', 'bank'),
      fc.constantFrom('wp', 'next'),
      fc.constantFrom<Record<string, string>>({}, { 'istio.io/waypoint-for': 'all' }, { 'istio.io/waypoint-for': 'workload' }),
      fc.constantFrom('Same', 'All', 'Selector'),
      fc.boolean(),
      fc.constantFrom('istio-waypoint', 'edge'),
      fc.constantFrom<Record<string, string>>({}, { 'ambient.istio.io/waypoint-inbound-binding': 'PROXY/15088' }),
    )
    .map(
      ([namespace, n, l, from, isReady, gatewayClassName, annotations]): Entry => ({
        kind: 'Gateway',
        object: {
          metadata: { name: n, namespace, labels: l, annotations },
          spec: {
            gatewayClassName,
            listeners: [
              {
                name: 'mesh',
                port: isReady ? 15_008 : 80,
                protocol: 'HBONE',
                allowedRoutes: { namespaces: { from, selector: { matchLabels: { tier: 'ai' } } } },
              },
            ],
          },
          ...(isReady && { status: { addresses: [{ type: 'Hostname', value: `${n}.${namespace}.svc.cluster.local` }], conditions: [] } }),
        } satisfies Gateway,
      }),
    );
  const gatewayClass = fc.tuple(fc.constantFrom('istio.io/mesh-controller', 'other/controller'), fc.constantFrom('service', 'all')).map(
    ([controllerName, waypointFor]): Entry => ({
      kind: 'GatewayClass',
      object: {
        metadata: { name: 'istio-waypoint', labels: { 'istio.io/waypoint-for': waypointFor } },
        spec: { controllerName },
      } satisfies GatewayClass,
    }),
  );
  const namespace = fc.tuple(fc.constantFrom('shop', 'bank'), use, fc.boolean(), fc.constantFrom('10', '90')).map(
    ([n, l, isAi, weight]): Entry => ({
      kind: 'Namespace',
      object: {
        metadata: {
          name: n,
          labels: { ...l, ...(isAi && { tier: 'ai' }) },
          annotations: { 'istio.io/use-waypoint-canary-weight': weight },
        },
      } satisfies Namespace,
    }),
  );
  const bound = fc.tuple(fc.constantFrom('shop', 'bank'), use, fc.boolean()).map(([home, l, isService]): Entry => {
    const entry = isService ? service('s', {}, home) : pod('p', { namespace: home, labels: { app: 'web', ...l } });
    if (isService) entry.object.metadata.labels = l;
    return entry;
  });
  const own = fc
    .constantFrom('shop', 'bank')
    .map((home) => pod('wp-1', { namespace: home, labels: { 'gateway.networking.k8s.io/gateway-name': 'wp' } }));
  checkSequences(fc.oneof(gateway, gatewayClass, namespace, bound, own), 200);
});

test('the same holds for NetworkPolicies, the pods they speak of, and the labels of their namespaces', () => {
  const home = fc.constantFrom('shop', 'bank');
  const label = fc.constantFrom<Record<string, string>>({}, { app: 'web' }, { app: 'db' }, { app: 'web', tier: 'ai' });
  const selector = fc.oneof(
    label.map((matchLabels) => ({ matchLabels })),
    fc.constantFrom('Exists' as const, 'DoesNotExist' as const).map((operator) => ({ matchExpressions: [{ key: 'tier', operator }] })),
  );
  const one = fc.oneof(
    fc.record({ podSelector: selector, namespaceSelector: selector }, { requiredKeys: [] }),
    fc.constant({ ipBlock: { cidr: '10.0.0.0/8' } }),
  );
  const ports = fc.subarray([{ port: 'web' }, { port: 'admin' }, { port: 80 }]);
  const policies = fc
    .tuple(home, name, selector, fc.array(one, { maxLength: 2 }), ports, fc.boolean())
    .map(([namespace, n, podSelector, from, list, egress]) =>
      networkPolicy(
        n,
        { podSelector, ingress: [{ from, ports: list }], ...(egress && { egress: [{ to: from, ports: list }] }) },
        namespace,
      ),
    );
  const namespaces = fc
    .tuple(home, label)
    .map(([n, l]): Entry => ({ kind: 'Namespace', object: { metadata: { name: n, labels: l } } satisfies Namespace }));
  const pods = fc.tuple(home, name, label, fc.constantFrom('web', 'admin'), fc.boolean()).map(([namespace, n, l, port, hostNetwork]) =>
    pod(n, {
      namespace,
      labels: l,
      spec: { containers: [{ name: 'app', ports: [{ name: port, containerPort: 80 }] }], ...(hostNetwork && { hostNetwork }) },
    }),
  );
  checkSequences(fc.oneof(policies, namespaces, pods), 300);
});
