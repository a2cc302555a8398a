import { expect, test } from 'bun:test';
import { fromBinary } from '@bufbuild/protobuf';
import type { Pod } from '../../platform/kubernetes/index.ts';
import * as wire from '../../protocol/messages/index.ts';
import { contentVersion } from '../xds/store.ts';
import { MeshCompiler } from './compiler.ts';
import { CONTEXT, compile, type Entry, fault, peer, pod, policy, put, service } from './objects.test.ts';
import { slimPod } from './slim.ts';

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

test('how a service is balanced: its field, then its annotation, then its namespace’s, and Local before all', () => {
  const distribution = (value: string) => ({ 'networking.istio.io/traffic-distribution': value });
  const namespace: Entry = { kind: 'Namespace', object: { metadata: { name: 'shop', annotations: distribution('PreferClose') } } };
  const close = [wire.LoadBalancing_Scope.NETWORK, wire.LoadBalancing_Scope.REGION, wire.LoadBalancing_Scope.ZONE];
  const node = [...close, wire.LoadBalancing_Scope.SUBZONE, wire.LoadBalancing_Scope.NODE];
  const preference = (spec: Parameters<typeof service>[1], own: string | undefined, ...around: Entry[]) => {
    const entry = service('s', spec);
    if (own !== undefined) entry.object.metadata.annotations = distribution(own);
    const balancing = serviceOf([entry, ...around])?.loadBalancing;
    return balancing && [wire.LoadBalancing_Mode[balancing.mode], balancing.routingPreference];
  };
  expect(preference({ trafficDistribution: 'PreferClose' }, 'PreferSameNode')).toEqual(['FAILOVER', close]);
  expect(preference({}, 'PreferSameNode', namespace)).toEqual(['FAILOVER', node]);
  expect(preference({}, undefined, namespace)).toEqual(['FAILOVER', close]);
  expect(preference({}, 'Any', namespace)).toBeUndefined();
  expect(preference({ internalTrafficPolicy: 'Local', trafficDistribution: 'PreferSameZone' }, 'PreferClose', namespace)).toEqual([
    'STRICT',
    [wire.LoadBalancing_Scope.NODE],
  ]);
});

test('unready pods stay endpoints of the services that publish them, and say that they are not well', () => {
  const entries = [pod('p', { ready: false }), service('s', { publishNotReadyAddresses: true }), service('t', { clusterIP: 'None' })];
  expect(workload(entries)?.status).toBe(wire.WorkloadStatus.UNHEALTHY);
  expect(Object.keys(workload(entries)?.services ?? {})).toEqual(['shop/s.shop.svc.cluster.local', 'shop/t.shop.svc.cluster.local']);
  expect(serviceOf(entries, 'shop/t.shop.svc.cluster.local')?.loadBalancing).toBeUndefined();
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
