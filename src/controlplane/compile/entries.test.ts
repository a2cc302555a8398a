import { describe, expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import type { ServiceEntry } from '../../platform/kubernetes/index.ts';
import * as wire from '../../protocol/messages/index.ts';
import { MeshCompiler } from './compiler.ts';
import {
  CONTEXT,
  compile,
  type Entry,
  fault,
  flush,
  keyOf,
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
import { entryProblems } from './service-entry.ts';

const PREFIX = 'Kubernetes/networking.istio.io';
const bytes = (ip: string): Uint8Array => Uint8Array.from(ip.split('.').map(Number));

function compileAll(entries: Entry[]) {
  const compiler = new MeshCompiler(CONTEXT, fault);
  for (const entry of entries) put(compiler, entry);
  const services = new Map<string, wire.Service>();
  const workloads = new Map<string, wire.Workload>();
  for (const [name, resource] of compiler.flush().addresses) {
    if (resource === undefined) continue;
    const { type } = fromBinary(wire.AddressSchema, resource.value);
    if (type.case === 'service') services.set(name, type.value);
    else if (type.case === 'workload') workloads.set(name, type.value);
  }
  return { compiler, services, workloads };
}
const one = (entry: Entry, ...more: Entry[]) => compileAll([entry, ...more]);
const DB = 'shop/db.example.com';
const specOf = (entry: Entry): ServiceEntry => entry.object as ServiceEntry;

describe('a ServiceEntry', () => {
  test('is a service for each of its hosts, with its addresses, ports and alternative names', () => {
    const { services } = one(
      serviceEntry('ext', {
        hosts: ['DB.example.com', '*.example.org'],
        addresses: ['192.0.2.1', '198.51.100.0/24', '2001:db8::/32'],
        ports: [
          { number: 443, name: 'https', protocol: 'HTTPS', targetPort: 8443 },
          { number: 53, name: 'dns', protocol: 'UDP' },
        ],
        subjectAltNames: ['spiffe://td/ns/a/sa/b'],
      }),
    );
    expect([...services.keys()].sort()).toEqual(['shop/*.example.org', DB]);
    expect(services.get(DB)).toMatchObject({
      name: 'ext',
      namespace: 'shop',
      hostname: 'db.example.com',
      addresses: [{ address: bytes('192.0.2.1') }, { address: bytes('198.51.100.0'), length: 24 }, { length: 32 }],
      ports: [{ servicePort: 443, targetPort: 8443, appProtocol: wire.AppProtocol.TLS }],
      subjectAltNames: ['spiffe://td/ns/a/sa/b'],
      visibility: wire.Service_Visibility.PUBLIC,
      canonical: true,
    });
  });

  test('without addresses has those its hosts were given', () => {
    const given = [
      { value: '240.240.0.1', host: 'db.example.com' },
      { value: '240.240.0.2', host: 'other.example.com' },
    ];
    const { services } = one(serviceEntry('ext', { hosts: ['db.example.com', 'other.example.com'] }, { addresses: given }));
    expect(services.get(DB)?.addresses).toMatchObject([{ address: bytes('240.240.0.1') }]);
    expect(services.get('shop/other.example.com')?.addresses).toMatchObject([{ address: bytes('240.240.0.2') }]);
  });

  test('with resolution NONE leaves connections where they are', () => {
    const { services, workloads } = one(serviceEntry('ext', { resolution: 'NONE', addresses: ['192.0.2.0/24'] }));
    expect(services.get(DB)?.loadBalancing).toMatchObject({
      mode: wire.LoadBalancing_Mode.PASSTHROUGH,
      healthPolicy: wire.LoadBalancing_HealthPolicy.ALLOW_ALL,
    });
    expect(workloads.size).toBe(0);
  });

  test('has its endpoints as workloads, under the names Istio gives them', () => {
    const { workloads } = one(
      serviceEntry('ext', {
        hosts: ['db.example.com', 'alias.example.com'],
        endpoints: [
          {
            address: '192.0.2.7',
            ports: { pg: 15432 },
            labels: { app: 'pg', version: 'v2', 'networking.istio.io/tunnel': 'http' },
            network: 'far',
            locality: 'r/z/s',
            weight: 5,
            serviceAccount: 'pg',
          },
          { address: 'replica.example.net' },
          { address: 'unix:///var/run/pg.sock' },
        ],
      }),
    );
    expect([...workloads.keys()].sort()).toEqual([
      `${PREFIX}/ServiceEntry/shop/ext/192.0.2.7`,
      `${PREFIX}/ServiceEntry/shop/ext/replica.example.net`,
    ]);
    expect(workloads.get(`${PREFIX}/ServiceEntry/shop/ext/192.0.2.7`)).toMatchObject({
      addresses: [bytes('192.0.2.7')],
      hostname: '',
      network: 'far',
      tunnelProtocol: wire.TunnelProtocol.HBONE,
      nativeTunnel: true,
      canonicalName: 'pg',
      canonicalRevision: 'v2',
      serviceAccount: 'pg',
      capacity: 5,
      locality: { region: 'r', zone: 'z', subzone: 's' },
      networkMode: wire.NetworkMode.STANDARD,
      services: {
        [DB]: { ports: [{ servicePort: 5432, targetPort: 15432 }] },
        'shop/alias.example.com': { ports: [{ servicePort: 5432, targetPort: 15432 }] },
      },
    });
    expect(workloads.get(`${PREFIX}/ServiceEntry/shop/ext/replica.example.net`)).toMatchObject({
      addresses: [],
      hostname: 'replica.example.net',
      tunnelProtocol: wire.TunnelProtocol.NONE,
      services: { [DB]: { ports: [{ servicePort: 5432, targetPort: 5432 }] } },
    });
  });

  test.each(['DNS', 'DNS_ROUND_ROBIN'] as const)('with resolution %s and no endpoints is resolved by its own hosts', (resolution) => {
    const { workloads } = one(serviceEntry('ext', { resolution, hosts: ['a.example.com', 'b.example.com'] }));
    expect([...workloads.values()].map(({ hostname, services }) => [hostname, Object.keys(services)])).toEqual([
      ['a.example.com', ['shop/a.example.com']],
      ['b.example.com', ['shop/b.example.com']],
    ]);
  });

  test.each<[string[] | undefined, 'PUBLIC' | 'NAMESPACE' | undefined]>([
    [undefined, 'PUBLIC'],
    [['*'], 'PUBLIC'],
    [['.'], 'NAMESPACE'],
    [['bank'], 'NAMESPACE'],
    [['~'], undefined],
  ])('exported to %p is visible: %p', (exportTo, expected) => {
    const { services, workloads } = one(serviceEntry('ext', { endpoints: [{ address: '192.0.2.7' }], ...(exportTo && { exportTo }) }));
    const found = services.get(DB);
    expect(found && wire.Service_Visibility[found.visibility]).toBe(expected!);
    expect(workloads.size).toBe(expected === undefined ? 0 : 1);
  });

  test('takes its traffic distribution from its annotation, else from its namespace', () => {
    const namespace = (value: string): Entry => ({
      kind: 'Namespace',
      object: { metadata: { name: 'shop', annotations: { 'networking.istio.io/traffic-distribution': value } } },
    });
    const { services } = one(serviceEntry('ext'), namespace('PreferClose'));
    expect(services.get(DB)?.loadBalancing?.routingPreference).toHaveLength(3);
    const own = serviceEntry('ext');
    own.object.metadata.annotations = { 'networking.istio.io/traffic-distribution': 'PreferSameNode' };
    expect(one(own, namespace('PreferClose')).services.get(DB)?.loadBalancing?.routingPreference).toHaveLength(5);
  });
});

describe('of several with one host', () => {
  const old = { created: '2025-01-01T00:00:00Z' };
  test('the oldest of the mesh is canonical', () => {
    const { services } = one(serviceEntry('young'), serviceEntry('old', {}, { ...old, namespace: 'bank' }));
    expect([services.get(DB)?.canonical, services.get('bank/db.example.com')?.canonical]).toEqual([false, true]);
  });
  test('in one namespace the oldest is the service, and all have their endpoints in it', () => {
    const { services, workloads } = one(
      serviceEntry('young', { addresses: ['192.0.2.2'], endpoints: [{ address: '192.0.2.20' }] }),
      serviceEntry('old', { addresses: ['192.0.2.1'], endpoints: [{ address: '192.0.2.10' }] }, old),
    );
    expect(services.get(DB)).toMatchObject({ name: 'old', addresses: [{ address: bytes('192.0.2.1') }] });
    expect([...workloads.values()].flatMap(({ services: of }) => Object.keys(of))).toEqual([DB, DB]);
  });
  test('a Service of Kubernetes comes before all of them', () => {
    const host = 's.shop.svc.cluster.local';
    const { services } = one(
      serviceEntry('ext', { hosts: [host] }),
      serviceEntry('far', { hosts: [host] }, { ...old, namespace: 'bank' }),
      service('s'),
    );
    expect(services.get(`shop/${host}`)).toMatchObject({ name: 's', canonical: true });
    expect(services.get(`bank/${host}`)).toMatchObject({ name: 'far', canonical: false });
  });
});

describe('a selector', () => {
  const selecting = serviceEntry('ext', {
    workloadSelector: { labels: { app: 'web' } },
    ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 }],
  });
  const uid = 'Kubernetes//Pod/shop/p';

  test('takes pods and WorkloadEntries of its namespace as endpoints, at their own ports', () => {
    const { workloads } = one(
      selecting,
      pod('p'),
      pod('q', { labels: { app: 'other' } }),
      pod('r', { namespace: 'bank' }),
      workloadEntry('vm', { address: '192.0.2.9', labels: { app: 'web' }, ports: { http: 9090 } }),
    );
    const portsOf = (name: string) => workloads.get(name)?.services[DB]?.ports.map(({ targetPort }) => targetPort);
    expect(portsOf(uid)).toEqual([8080]);
    expect(portsOf(`${PREFIX}/WorkloadEntry/shop/vm`)).toEqual([9090]);
    expect([portsOf('Kubernetes//Pod/shop/q'), portsOf('Kubernetes//Pod/bank/r')]).toEqual([undefined, undefined]);
  });
  test('that is empty takes none', () => {
    const { workloads } = one(serviceEntry('ext', { workloadSelector: { labels: {} } }), pod('p'));
    expect(workloads.get(uid)?.services).toEqual({});
  });
});

describe('a WorkloadEntry', () => {
  const uid = `${PREFIX}/WorkloadEntry/shop/vm`;
  const vm = (over: object = {}) => workloadEntry('vm', { address: '192.0.2.9', labels: { app: 'web' }, ...over });

  test('is a workload with the services that select it, named ports by its own', () => {
    const named = service('named', {
      ports: [
        { name: 'http', port: 80, targetPort: 'web' },
        { name: 'admin', port: 81, targetPort: 'nope' },
        { name: 'grpc', port: 82, targetPort: 8282 },
      ],
    });
    const { workloads } = one(vm({ ports: { web: 8081, grpc: 8383 } }), service('s'), named);
    expect(workloads.get(uid)).toMatchObject({ name: 'vm', serviceAccount: 'default', status: wire.WorkloadStatus.HEALTHY });
    expect(workloads.get(uid)?.services).toMatchObject({
      'shop/s.shop.svc.cluster.local': { ports: [{ servicePort: 80, targetPort: 8080 }] },
      'shop/named.shop.svc.cluster.local': {
        ports: [
          { servicePort: 80, targetPort: 8081 },
          { servicePort: 82, targetPort: 8383 },
        ],
      },
    });
  });

  test('lists the policies that select its labels', () => {
    const selector = { matchLabels: { app: 'web' } };
    const { workloads } = one(
      vm(),
      policy('mine', { selector, rules: [{}] }),
      policy('not-mine', { selector: { matchLabels: { app: 'db' } }, rules: [{}] }),
      policy('from-root', { selector, rules: [{}] }, 'istio-system'),
      peer('n', { mtls: { mode: 'STRICT' } }),
    );
    expect(workloads.get(uid)?.authorizationPolicies).toEqual([
      'istio-system/from-root',
      'istio-system/istio_converted_static_strict',
      'shop/mine',
    ]);
  });

  test('that says it is ill is not healthy, and one by host name is resolved', () => {
    const ill = vm();
    (ill.object as { status?: unknown }).status = { conditions: [{ type: 'Healthy', status: 'False' }] };
    expect(one(ill).workloads.get(uid)?.status).toBe(wire.WorkloadStatus.UNHEALTHY);
    expect(one(vm({ address: 'VM.example.net' })).workloads.get(uid)).toMatchObject({ addresses: [], hostname: 'vm.example.net' });
  });

  test('without an address is no workload', () => expect(one(vm({ address: '', network: 'far' })).workloads.has(uid)).toBe(false));
});

test('what goes takes its services and endpoints with it', () => {
  const { compiler } = one(serviceEntry('ext', { endpoints: [{ address: '192.0.2.7' }] }), workloadEntry('vm', { address: '192.0.2.9' }));
  compiler.remove('ServiceEntry', 'shop/ext');
  compiler.remove('WorkloadEntry', 'shop/vm');
  expect([...compiler.flush().addresses]).toEqual([
    [`${PREFIX}/ServiceEntry/shop/ext/192.0.2.7`, undefined],
    [DB, undefined],
    [`${PREFIX}/WorkloadEntry/shop/vm`, undefined],
  ]);
});

describe('a later change', () => {
  const namespace: Entry = {
    kind: 'Namespace',
    object: { metadata: { name: 'shop', annotations: { 'networking.istio.io/traffic-distribution': 'PreferClose' } } },
  };
  const selector = serviceEntry('ext', { workloadSelector: { labels: { app: 'web' } } });
  const vm = workloadEntry('vm', { address: '192.0.2.9', labels: { app: 'web' } });
  test.each<[string, Entry[], Entry]>([
    ['of a selector reaches pods', [pod('p')], selector],
    ['of a selector reaches WorkloadEntries', [vm], selector],
    ['of a Service reaches WorkloadEntries', [vm], service('s')],
    [
      'of a Service reaches entries with its host',
      [serviceEntry('far', { hosts: ['s.shop.svc.cluster.local'] }, { namespace: 'bank' })],
      service('s'),
    ],
    ['of the namespace reaches its entries', [serviceEntry('ext')], namespace],
    [
      'of an older entry reaches the canonical one',
      [serviceEntry('ext')],
      serviceEntry('old', {}, { namespace: 'bank', created: '2020-01-01T00:00:00Z' }),
    ],
    ['of a policy reaches WorkloadEntries', [vm], policy('mine', { selector: { matchLabels: { app: 'web' } }, rules: [{}] })],
    ['of the mode of the mesh reaches WorkloadEntries', [vm], peer('m', { mtls: { mode: 'STRICT' } }, 'istio-system')],
  ])('%s, and its end does too', (_title, first, later) => {
    const compiler = new MeshCompiler(CONTEXT, fault);
    const stores = newStores();
    for (const entry of first) put(compiler, entry);
    flush(compiler, stores);
    const before = snapshot(stores);
    put(compiler, later);
    flush(compiler, stores);
    const own = (of: Map<string, string>) => new Map([...of].filter(([name]) => before.has(name)));
    expect(own(snapshot(stores))).not.toEqual(before);
    expect(snapshot(stores)).toEqual(compile([...first, later]));
    compiler.remove(later.kind, keyOf(later.object));
    flush(compiler, stores);
    expect(snapshot(stores)).toEqual(before);
  });
});

test.each<[string, Entry, string[]]>([
  ['nothing', serviceEntry('e', { addresses: ['192.0.2.1'], endpoints: [{ address: '192.0.2.7' }] }), []],
  ['a hidden one', serviceEntry('e', { exportTo: ['~'] }), ['spec.exportTo: "~" hides it from everybody, so it has no effect']],
  [
    'a list of namespaces',
    serviceEntry('e', { exportTo: ['.', 'bank'] }),
    ['spec.exportTo: node proxies know only "*" and "."; clients of the other namespaces do not see it'],
  ],
  [
    'endpoints nobody reaches',
    serviceEntry('e', { endpoints: [{ address: 'unix:///x' }, { network: 'far' }] }),
    [
      'spec.endpoints[0].address: a Unix socket is not reached through the mesh',
      'spec.endpoints[1].address: missing, and no gateway to its network is known',
    ],
  ],
  [
    'NONE without addresses',
    serviceEntry('e', { resolution: 'NONE' }),
    ['spec.addresses: without them node proxies do not recognise its traffic, which passes as that of an unknown host'],
  ],
])('the status names what node proxies cannot do: %s', (_title, entry, expected) => {
  expect(entryProblems(specOf(entry))).toEqual(expected);
});
