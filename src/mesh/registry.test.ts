import { expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Service, Workload } from './model.ts';
import { bestService, MeshRegistry, type RegistryChange } from './registry.ts';
import { memberOf, policy, port, registryOf, service, workload } from './test-fixtures.ts';

const names = (services: readonly Service[]) => services.map(({ name }) => name);

test('finds a workload by uid, by address within its network, and by hostname', () => {
  const registry = registryOf(workload('a', { addresses: ['10.0.0.1', 'fd00::1'], network: 'n1', hostname: 'a.example' }));
  expect(registry.workload('Kubernetes//Pod/default/a')?.name).toBe('a');
  expect(registry.workloadByAddress('n1', 'fd00::1')?.name).toBe('a');
  expect(registry.workloadByAddress('', '10.0.0.1')).toBeUndefined();
  expect(registry.workloadByHostname('a.example', 'default')?.name).toBe('a');
});

test('does not index the addresses of host-network workloads', () => {
  const registry = registryOf(workload('a', { addresses: ['10.0.0.1'], networkMode: 'HOST_NETWORK' }));
  expect(registry.workloadByAddress('', '10.0.0.1')).toBeUndefined();
});

test('prefers a pod, then HBONE, among workloads with one address', () => {
  const entry = workload('entry', { uid: 'c/networking.istio.io/WorkloadEntry/default/e', addresses: ['10.0.0.1'] });
  const plain = workload('plain', { addresses: ['10.0.0.1'], tunnelProtocol: 'NONE' });
  const tunnel = workload('tunnel', { addresses: ['10.0.0.1'] });
  expect(registryOf(entry, plain).workloadByAddress('', '10.0.0.1')?.name).toBe('plain');
  for (const order of [
    [entry, plain, tunnel],
    [tunnel, plain, entry],
    [plain, entry, tunnel],
  ]) {
    const registry = registryOf(...order);
    expect(registry.workloadByAddress('', '10.0.0.1')?.name).toBe('tunnel');
    registry.removeWorkload(tunnel.uid);
    expect(registry.workloadByAddress('', '10.0.0.1')?.name).toBe('plain');
  }
});

test('finds the source of a connection by name, namespace and service account, in its own cluster first', () => {
  const far = workload('a', { uid: 'a-far//Pod/default/a', clusterId: 'far' });
  const near = workload('a', { uid: 'near//Pod/default/a', clusterId: 'near' });
  const registry = registryOf(far, near, workload('a', { namespace: 'other' }));
  expect(registry.workloadByInfo('a', 'default', 'default', 'near')).toBe(near);
  expect(registry.workloadByInfo('a', 'default', 'default')).toBe(far);
  expect(registry.workloadByInfo('a', 'default', 'someone-else')).toBeUndefined();
});

test('keeps endpoints that arrive before their service', () => {
  const svc = service('s', '10.96.0.1');
  const registry = registryOf(workload('a', { services: memberOf(svc, port(80, 9000)) }));
  const key = 'default/s.default.svc.cluster.local';
  expect(registry.stagedServices()).toEqual(new Map([[key, ['Kubernetes//Pod/default/a']]]));
  registry.insertService(svc);
  expect(registry.stagedServices().size).toBe(0);
  expect(registry.endpoints(key).map((endpoint) => [endpoint.workload.name, endpoint.ports])).toEqual([['a', [port(80, 9000)]]]);
});

test('drops the endpoints of the previous version of a workload', () => {
  const svc = service('s', '10.96.0.1');
  const registry = registryOf(svc, workload('a', { services: memberOf(svc), addresses: ['10.0.0.1'] }));
  registry.insertWorkload(workload('a', { addresses: ['10.0.0.2'] }));
  expect(registry.endpoints('default/s.default.svc.cluster.local')).toEqual([]);
  expect(registry.workloadByAddress('', '10.0.0.1')).toBeUndefined();
  expect(registry.workloadByAddress('', '10.0.0.2')?.name).toBe('a');
});

test('unhealthy workloads are endpoints only where the service allows all', () => {
  const svc = service('s', '10.96.0.1');
  const key = 'default/s.default.svc.cluster.local';
  const registry = registryOf(svc, workload('sick', { services: memberOf(svc), status: 'UNHEALTHY' }));
  expect(registry.endpoints(key)).toEqual([]);
  registry.insertService({ ...svc, loadBalancing: { mode: 'UNSPECIFIED', routingPreference: [], healthPolicy: 'ALLOW_ALL' } });
  expect(registry.endpoints(key)).toHaveLength(1);
  registry.insertService(svc);
  expect(registry.endpoints(key)).toEqual([]);
  registry.insertWorkload(workload('sick', { services: memberOf(svc) }));
  expect(registry.endpoints(key)).toHaveLength(1);
});

test('of services with one VIP takes the client’s own, then the canonical one, then the first', () => {
  const a = service('a', '240.0.0.1', { namespace: 'a' });
  const b = service('b', '240.0.0.1', { namespace: 'b', canonical: true });
  const c = service('c', '240.0.0.1', { namespace: 'c' });
  const registry = registryOf(c, b, a);
  expect(registry.serviceByAddress('', '240.0.0.1', 'c')?.name).toBe('c');
  expect(registry.serviceByAddress('', '240.0.0.1', 'z')?.name).toBe('b');
  registry.removeService('b/b.b.svc.cluster.local');
  expect(registry.serviceByAddress('', '240.0.0.1', 'z')?.name).toBe('a');
});

test('prefers the configured namespace for DNS after the canonical service', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((namespace) => service('s', undefined, { namespace })) as [Service, Service, Service];
  expect(bestService([a, b, c], 'z', 'c')).toBe(c);
  const canonical = { ...b, canonical: true };
  expect(bestService([a, canonical, c], 'z', 'c')).toBe(canonical);
  expect(bestService([], 'z')).toBeUndefined();
});

test('a service visible in its namespace does not exist for clients of others', () => {
  const hidden = service('hidden', '240.0.0.1', { namespace: 'a', visibility: 'NAMESPACE', canonical: true });
  const open = service('open', '240.0.0.1', { namespace: 'b' });
  const registry = registryOf(hidden, open);
  expect(registry.serviceByAddress('', '240.0.0.1', 'a')?.name).toBe('hidden');
  expect(registry.serviceByAddress('', '240.0.0.1', 'z')?.name).toBe('open');
  registry.remove('b/open.b.svc.cluster.local');
  expect(registry.serviceByAddress('', '240.0.0.1', 'z')).toBeUndefined();
  expect(registry.serviceByHostname('hidden.a.svc.cluster.local', 'z')).toBeUndefined();
});

const ranged = (name: string, address: string, length: number, over: Partial<Service> = {}) =>
  service(name, undefined, { vips: [{ network: '', address, length }], ...over });

test('asks CIDR VIPs after exact ones: own namespace, then longest prefix, then canonical', () => {
  const wide = ranged('wide', '10.0.0.0', 8, { namespace: 'a' });
  const narrow = ranged('narrow', '10.1.0.0', 16, { namespace: 'b' });
  const twin = ranged('twin', '10.1.0.0', 16, { namespace: 'c', canonical: true });
  const exact = service('exact', '10.1.0.5');
  const registry = registryOf(wide, narrow, twin, exact);
  expect(registry.serviceByAddress('', '10.1.0.5', 'z')?.name).toBe('exact');
  expect(registry.serviceByAddress('', '10.1.0.6', 'z')?.name).toBe('twin');
  expect(registry.serviceByAddress('', '10.1.0.6', 'a')?.name).toBe('wide');
  expect(registry.serviceByAddress('', '10.2.0.1', 'z')?.name).toBe('wide');
  expect(registry.serviceByAddress('', '11.0.0.1', 'z')).toBeUndefined();
  expect(registry.serviceByAddress('other', '10.1.0.6', 'z')).toBeUndefined();
  registry.removeService('c/twin.c.svc.cluster.local');
  expect(registry.serviceByAddress('', '10.1.0.6', 'z')?.name).toBe('narrow');
  registry.removeService('b/narrow.b.svc.cluster.local');
  expect(registry.serviceByAddress('', '10.1.0.6', 'z')?.name).toBe('wide');
});

test('a full-length CIDR VIP is an exact one, IPv6 ranges work, and the whole space is a range', () => {
  const registry = registryOf(ranged('one', '10.0.0.1', 32), ranged('six', 'fd00::', 16), ranged('all', '0.0.0.0', 0));
  expect(names(registry.servicesByVip('', '10.0.0.1'))).toEqual(['one']);
  expect(registry.serviceByAddress('', 'fd00:1::9', 'z')?.name).toBe('six');
  expect(registry.serviceByAddress('', '9.9.9.9', 'z')?.name).toBe('all');
  expect(registry.serviceByAddress('', 'fe00::1', 'z')).toBeUndefined();
});

test('the two lookups of an address differ in order: workloads first, or VIPs first', () => {
  const registry = registryOf(workload('w', { addresses: ['10.0.0.1'] }), service('s', '10.0.0.1'));
  expect(registry.findAddress('', '10.0.0.1', 'default')?.kind).toBe('workload');
  expect(registry.findUpstream('', '10.0.0.1', 'default')?.kind).toBe('service');
});

test('files policies by scope: everywhere, by namespace, or only by key', () => {
  const registry = registryOf(
    policy('g', { scope: 'GLOBAL', namespace: 'root' }),
    policy('n'),
    policy('w', { scope: 'WORKLOAD_SELECTOR' }),
  );
  expect(registry.policiesOfNamespace('').map(({ name }) => name)).toEqual(['g']);
  expect(registry.policiesOfNamespace('default').map(({ name }) => name)).toEqual(['n']);
  expect(registry.policiesOfNamespace('root')).toEqual([]);
  expect(registry.policy('default/w')?.name).toBe('w');
  expect(registry.removePolicy('default/n')).toBe(true);
  expect(registry.policiesOfNamespace('default')).toEqual([]);
});

test('tells listeners what changed, once per batch, and ignores names it does not know', () => {
  const registry = new MeshRegistry();
  const seen: RegistryChange[] = [];
  const stop = registry.onChange((change) => seen.push(change));
  registry.batch(() => {
    registry.insertWorkload(workload('a'));
    registry.batch(() => registry.insertService(service('s', undefined)));
    registry.insertPolicy(policy('p'));
  });
  expect(seen).toHaveLength(1);
  expect([...seen[0]!.workloads, ...seen[0]!.services, ...seen[0]!.policies]).toEqual([
    'Kubernetes//Pod/default/a',
    'default/s.default.svc.cluster.local',
    'default/p',
  ]);
  const before = registry.version;
  expect(registry.remove('no/such')).toBe(false);
  expect(registry.removePolicy('no/such')).toBe(false);
  expect(registry.version).toBe(before);
  expect(seen).toHaveLength(1);
  registry.remove('Kubernetes//Pod/default/a');
  expect([...seen[1]!.workloads]).toEqual(['Kubernetes//Pod/default/a']);
  expect(registry.version).toBeGreaterThan(before);
  stop();
  registry.removePolicy('default/p');
  expect(seen).toHaveLength(2);
});

test('a batch that throws still reports what it did', () => {
  const registry = new MeshRegistry();
  let changes = 0;
  registry.onChange(() => changes++);
  expect(() =>
    registry.batch(() => {
      registry.insertPolicy(policy('p'));
      throw new Error('stop');
    }),
  ).toThrow('stop');
  expect(changes).toBe(1);
  registry.removePolicy('default/p');
  expect(changes).toBe(2);
});

test('indexes depend on the contents, not on the history that led to them', () => {
  const ips = ['10.0.0.1', '10.0.0.2', '10.1.0.1'];
  const smallWorkload = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    ip: fc.constantFrom(...ips),
    healthy: fc.boolean(),
    hbone: fc.boolean(),
    member: fc.boolean(),
    pod: fc.boolean(),
  });
  const smallService = fc.record({
    name: fc.constantFrom('s', 't'),
    namespace: fc.constantFrom('default', 'x'),
    vip: fc.constantFrom(...ips),
    length: fc.constantFrom(undefined, 8, 16),
    canonical: fc.boolean(),
  });
  const shared = service('s', undefined);
  const makeWorkload = ({
    name,
    ip,
    healthy,
    hbone,
    member,
    pod,
  }: {
    name: string;
    ip: string;
    healthy: boolean;
    hbone: boolean;
    member: boolean;
    pod: boolean;
  }): Workload =>
    workload(name, {
      ...(pod ? {} : { uid: `c/other/${name}` }),
      addresses: [ip],
      status: healthy ? 'HEALTHY' : 'UNHEALTHY',
      tunnelProtocol: hbone ? 'HBONE' : 'NONE',
      services: member ? memberOf(shared) : new Map(),
    });
  const step = fc.oneof(
    smallWorkload.map((value) => (registry: MeshRegistry) => registry.insertWorkload(makeWorkload(value))),
    smallWorkload.map((value) => (registry: MeshRegistry) => void registry.removeWorkload(makeWorkload(value).uid)),
    smallService.map(
      (value) => (registry: MeshRegistry) =>
        registry.insertService(
          service(value.name, undefined, {
            namespace: value.namespace,
            canonical: value.canonical,
            vips: [{ network: '', address: value.vip, ...(value.length !== undefined && { length: value.length }) }],
          }),
        ),
    ),
    smallService.map(
      (value) => (registry: MeshRegistry) =>
        void registry.removeService(`${value.namespace}/${value.name}.${value.namespace}.svc.cluster.local`),
    ),
  );
  const view = (registry: MeshRegistry) => ({
    workloads: registry.allWorkloads(),
    services: registry.allServices(),
    staged: [...registry.stagedServices()],
    endpoints: registry.endpoints('default/s.default.svc.cluster.local').map((endpoint) => endpoint.workload.uid),
    byIp: ips.map((ip) => registry.workloadByAddress('', ip)?.uid),
    byVip: ips.flatMap((ip) => ['default', 'x', 'z'].map((namespace) => registry.serviceByAddress('', ip, namespace))),
    byInfo: ['a', 'b', 'c', 'd'].map((name) => registry.workloadByInfo(name, 'default', 'default')?.uid),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.integer(), (steps, seed) => {
      const lived = new MeshRegistry();
      for (const apply of steps) {
        apply(lived);
        lived.endpoints('default/s.default.svc.cluster.local'); // fills the cache that changes must invalidate
      }
      const contents = [...lived.allWorkloads(), ...lived.allServices()];
      contents.sort((x, y) => hash(x.name + x.namespace, seed) - hash(y.name + y.namespace, seed));
      expect(view(registryOf(...contents))).toEqual(view(lived));
    }),
    { numRuns: 300 },
  );
});

const hash = (text: string, seed: number): number => [...text].reduce((sum, char) => Math.imul(sum ^ char.charCodeAt(0), 16_777_619), seed);
