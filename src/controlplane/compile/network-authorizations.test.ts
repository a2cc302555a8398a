/** NetworkPolicies in other words: the Authorizations for a node proxy that knows nothing else refuse exactly what the policies refuse. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { authorize, decodeAddress, decodeAuthorization, MeshRegistry, policiesFor } from '../../mesh/index.ts';
import { type OracleCluster, oracleAllows } from '../../mesh/network-policy/oracle.test.ts';
import type { NetworkPolicy } from '../../platform/kubernetes/index.ts';
import { MeshCompiler } from './compiler.ts';
import { anyCluster, namespaceObject, podObject } from './network-clusters.test.ts';
import { CONTEXT, fault, flush, networkPolicy, newStores, pod, put, service, snapshot } from './objects.test.ts';

const EXPANDING = { ...CONTEXT, networkPolicyAuthorizations: true };

/** A registry as a proxy has it that never heard of NetworkPolicies. */
function registryOf(compiler: MeshCompiler): MeshRegistry {
  const registry = new MeshRegistry();
  const { addresses, authorizations } = compiler.flush();
  for (const resource of addresses.values()) {
    const decoded = resource && decodeAddress(resource.value);
    if (decoded?.ok && decoded.value.kind === 'workload') registry.insertWorkload(decoded.value.workload);
  }
  for (const resource of authorizations.values()) {
    const decoded = resource && decodeAuthorization(resource.value);
    if (decoded?.ok) registry.insertPolicy(decoded.value.policy);
  }
  return registry;
}

function refuses(registry: MeshRegistry, from: string, to: string, port: number, account?: string): boolean {
  const destination = registry.workloadByAddress('', to)!;
  const { policies, missing } = policiesFor(registry, destination);
  expect(missing).toEqual([]);
  const identity = account === undefined ? undefined : { trustDomain: 'cluster.local', namespace: 'shop', serviceAccount: account };
  return !authorize(policies, { sourceIp: from, destinationIp: to, destinationPort: port, identity }).allowed;
}

const compilerOf = ({ namespaces, pods, policies }: OracleCluster): MeshCompiler => {
  const compiler = new MeshCompiler(EXPANDING, fault);
  for (const [name, labels] of Object.entries(namespaces)) compiler.upsert('Namespace', namespaceObject(name, labels));
  for (const policy of policies) compiler.upsert('NetworkPolicy', policy as NetworkPolicy);
  for (const one of pods) compiler.upsert('Pod', podObject(one));
  return compiler;
};

test('for any cluster, policies and connection to a pod they decide as the specification reads', () => {
  let refused = 0;
  fc.assert(
    fc.property(anyCluster, (cluster) => {
      const registry = registryOf(compilerOf(cluster));
      const addresses = [...cluster.pods.map(({ ip }) => ip), '203.0.113.9', '192.168.0.0'];
      for (const from of addresses)
        for (const { ip: to } of cluster.pods)
          for (const port of [80, 81, 443, 8080]) {
            const expected = !oracleAllows(cluster, from, to, port);
            if (expected) refused++;
            if (refuses(registry, from, to, port) !== expected)
              throw new Error(`${from} to ${to}:${port} should be ${expected ? 'refused' : 'allowed'}`);
          }
    }),
    { numRuns: 500 },
  );
  expect(refused).toBeGreaterThan(1000);
});

test('a range of nearly all ports is listed by the ports it leaves out', () => {
  const compiler = new MeshCompiler(EXPANDING, fault);
  put(compiler, pod('server', { ip: '10.0.0.1' }));
  put(compiler, networkPolicy('high', { podSelector: {}, ingress: [{ ports: [{ port: 1024, endPort: 65_535 }] }] }));
  const registry = registryOf(compiler);
  expect([80, 1023, 1024, 40_000, 65_535].map((port) => refuses(registry, '10.0.0.9', '10.0.0.1', port))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  const [match] = registry.policy('shop/converted_network_policy_ingress_server')?.rules[0]?.clauses[1]?.matches ?? [];
  expect(match).toMatchObject({ notDestinationPorts: [] });
  expect(match?.destinationPorts).toHaveLength(1024);
});

test('the waypoint of the destination passes with its certificate, which nobody else has', () => {
  const compiler = new MeshCompiler(EXPANDING, fault);
  const labels = { 'gateway.networking.k8s.io/gateway-name': 'wp' };
  put(compiler, {
    kind: 'GatewayClass',
    object: { metadata: { name: 'istio-waypoint' }, spec: { controllerName: 'istio.io/mesh-controller' } },
  });
  put(compiler, {
    kind: 'Gateway',
    object: {
      metadata: { name: 'wp', namespace: 'shop' },
      spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15_008, protocol: 'HBONE' }] },
    },
  });
  put(compiler, pod('wp-1', { ip: '10.0.0.8', labels, spec: { serviceAccountName: 'wp' } }));
  put(compiler, pod('server', { ip: '10.0.0.1' }));
  const web = service('web');
  web.object.metadata.labels = { 'istio.io/use-waypoint': 'wp' };
  put(compiler, web);
  put(compiler, networkPolicy('deny', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }));
  const registry = registryOf(compiler);
  expect(refuses(registry, '10.0.0.8', '10.0.0.1', 8080, 'wp')).toBe(false);
  expect(refuses(registry, '10.0.0.8', '10.0.0.1', 8080)).toBe(true);
  expect(refuses(registry, '10.0.0.9', '10.0.0.1', 8080, 'wp')).toBe(true);
});

test('they follow pods and policies, and are gone with the last policy', () => {
  const compiler = new MeshCompiler(EXPANDING, fault);
  const stores = newStores();
  put(compiler, pod('server', { ip: '10.0.0.1' }));
  put(compiler, pod('client', { ip: '10.0.0.2', labels: { app: 'client' } }));
  flush(compiler, stores);
  const before = snapshot(stores);
  put(
    compiler,
    networkPolicy('clients', {
      podSelector: { matchLabels: { app: 'web' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
    }),
  );
  flush(compiler, stores);
  const key = 'p shop/converted_network_policy_ingress_server';
  const first = snapshot(stores).get(key);
  expect(first).toBeDefined();
  put(compiler, pod('client', { ip: '10.0.0.3', labels: { app: 'client' } }));
  flush(compiler, stores);
  expect(snapshot(stores).get(key)).not.toBe(first);
  put(compiler, pod('client', { ip: '10.0.0.2', labels: { app: 'client' } }));
  flush(compiler, stores);
  expect(snapshot(stores).get(key)).toBe(first);
  compiler.remove('NetworkPolicy', 'shop/clients');
  flush(compiler, stores);
  expect(snapshot(stores)).toEqual(before);
});
