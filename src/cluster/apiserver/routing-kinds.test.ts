import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUILT_IN_KINDS } from '../../platform/kubernetes/kinds/index.ts';
import { TestServer } from './test-server.ts';

const server = new TestServer();
beforeAll(async () => void (await server.start()));
afterAll(() => server.stop());

const gateway = 'gateway.networking.k8s.io';
const istio = 'networking.istio.io';
const backendRefs = [{ name: 'echo', port: 80 }];
const route = [{ destination: { host: 'reviews', subset: 'v1' } }];

/** One object of each kind, the cells it prints as (without name and age), and a field that is wrong in a variant of it. */
const CASES: [group: string, kind: string, spec: object, cells: unknown[], wrong: [object, string]][] = [
  [gateway, 'GatewayClass', { controllerName: 'a.b/c' }, ['a.b/c', 'Unknown', null], [{ controllerName: 'x' }, 'spec.controllerName']],
  [
    gateway,
    'Gateway',
    { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    ['istio-waypoint', null, 'Unknown'],
    [{ gatewayClassName: 'c', listeners: [] }, 'spec.listeners'],
  ],
  [gateway, 'HTTPRoute', { hostnames: ['a.b'], rules: [{ backendRefs }] }, ['["a.b"]'], [{ hostnames: ['A'] }, 'spec.hostnames[0]']],
  [
    gateway,
    'GRPCRoute',
    { rules: [{ matches: [{ method: { service: 'a.B' } }], backendRefs }] },
    [null],
    [{ rules: [{ backendRefs: [{ ...backendRefs[0], weight: 1_000_001 }] }] }, 'spec.rules[0].backendRefs[0].weight'],
  ],
  [gateway, 'TCPRoute', { rules: [{ backendRefs }] }, [], [{ rules: [] }, 'spec.rules']],
  [gateway, 'TLSRoute', { hostnames: ['a.b'], rules: [{ backendRefs }] }, [], [{ rules: [{ backendRefs }] }, 'spec.hostnames']],
  [
    gateway,
    'ReferenceGrant',
    { from: [{ group: gateway, kind: 'HTTPRoute', namespace: 'a' }], to: [{ group: '', kind: 'Service' }] },
    [],
    [{ from: [], to: [{ group: '', kind: 'Service' }] }, 'spec.from'],
  ],
  [
    gateway,
    'BackendTLSPolicy',
    { targetRefs: [{ group: '', kind: 'Service', name: 's' }], validation: { hostname: 'a.b', wellKnownCACertificates: 'System' } },
    [],
    [{ targetRefs: [], validation: { hostname: 'a.b', wellKnownCACertificates: 'System' } }, 'spec.targetRefs'],
  ],
  [
    istio,
    'VirtualService',
    { hosts: ['reviews'], http: [{ route }] },
    [null, '["reviews"]'],
    [{ hosts: ['reviews'], http: [{ match: [{ uri: { exact: '/', prefix: '/' } }], route }] }, 'spec.http[0].match[0].uri'],
  ],
  [
    istio,
    'DestinationRule',
    { host: 'reviews', subsets: [{ name: 'v1', labels: { version: 'v1' } }] },
    ['reviews'],
    [{ host: 'reviews', trafficPolicy: { loadBalancer: { simple: 'FAIREST' } } }, 'spec.trafficPolicy.loadBalancer.simple'],
  ],
  [
    istio,
    'ServiceEntry',
    { hosts: ['a.com'], ports: [{ number: 443, name: 'https', protocol: 'TLS' }], resolution: 'DNS', location: 'MESH_EXTERNAL' },
    ['["a.com"]', 'MESH_EXTERNAL', 'DNS'],
    [{ hosts: [] }, 'spec.hosts'],
  ],
  [istio, 'WorkloadEntry', { address: '10.0.0.1' }, ['10.0.0.1'], [{ address: '10.0.0.1', ports: { a: 0 } }, 'spec.ports.a']],
  [
    istio,
    'EnvoyFilter',
    { configPatches: [{ applyTo: 'CLUSTER', match: { context: 'ANY' }, patch: { operation: 'MERGE', value: { a: { b: 1 } } } }] },
    [],
    [{ configPatches: [{ applyTo: 'EVERYTHING', patch: {} }] }, 'spec.configPatches[0].applyTo'],
  ],
  ['extensions.istio.io', 'WasmPlugin', { url: 'oci://a/b', pluginConfig: { any: [1] } }, [], [{ url: '' }, 'spec.url']],
  [
    'telemetry.istio.io',
    'Telemetry',
    { tracing: [{ randomSamplingPercentage: 0 }] },
    [],
    [{ tracing: [{ randomSamplingPercentage: 101 }] }, 'spec.tracing[0].randomSamplingPercentage'],
  ],
  [
    'security.istio.io',
    'RequestAuthentication',
    { jwtRules: [{ issuer: 'a' }] },
    [],
    [{ jwtRules: [{ issuer: '' }] }, 'spec.jwtRules[0].issuer'],
  ],
];

const kindOf = (group: string, name: string) => BUILT_IN_KINDS.find((kind) => kind.group === group && kind.kind === name)!;
const pathOf = (group: string, name: string, version: string): string => {
  const kind = kindOf(group, name);
  return `/apis/${group}/${version}/${kind.namespaced ? 'namespaces/default/' : ''}${kind.plural}`;
};

test.each(CASES)(
  '%s %s is made in each version, read in the others, printed, and refused when wrong',
  async (group, name, spec, cells, [wrong, field]) => {
    const { versions, version: preferred } = kindOf(group, name);
    for (const version of versions) {
      const path = pathOf(group, name, version);
      const object = { apiVersion: `${group}/${version}`, kind: name, metadata: { name: `in-${version}` } };
      const made = await server.call('POST', `${path}?fieldValidation=Strict`, { ...object, spec });
      expect({ status: made.status, message: made.body.message }).toEqual({ status: 201, message: undefined as unknown as string });
      expect(made.body).toMatchObject({ apiVersion: `${group}/${version}`, spec });
      for (const other of versions) {
        const read = await server.call('GET', `${pathOf(group, name, other)}/in-${version}`);
        expect(read.body).toMatchObject({ apiVersion: `${group}/${other}`, spec: made.body['spec'] });
      }
      const refused = await server.call('POST', path, { ...object, metadata: { name: 'wrong' }, spec: wrong });
      expect(refused.status).toBe(422);
      expect((refused.body['details'] as { causes: { field: string }[] }).causes.map((cause) => cause.field)).toEqual([field]);
    }
    const table = await server.call('GET', `${pathOf(group, name, preferred)}/in-${preferred}`, undefined, {
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    });
    const columns = (table.body['columnDefinitions'] as { name: string }[]).map((column) => column.name);
    const row = (table.body['rows'] as { cells: unknown[] }[])[0]!.cells;
    expect(row.filter((_, index) => !['Name', 'Age'].includes(columns[index]!))).toEqual(cells);
  },
);

test('the status of a route is written apart, and checked', async () => {
  const path = pathOf(gateway, 'HTTPRoute', 'v1');
  const object = { apiVersion: `${gateway}/v1`, kind: 'HTTPRoute', metadata: { name: 'with-status' } };
  const condition = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' };
  const parent = { parentRef: { kind: 'Service', group: '', name: 'echo' }, controllerName: 'a.b/c', conditions: [condition] };
  const made = await server.call('POST', path, { ...object, spec: {}, status: { parents: [parent] } });
  expect(made.body['status']).toBeUndefined();
  const set = await server.call('PUT', `${path}/with-status/status`, { ...made.body, status: { parents: [parent] } });
  expect(set.body['status']).toEqual({ parents: [parent] });
  expect(set.body.metadata['generation']).toBe(1);
  const bad = { parents: [{ ...parent, conditions: [{ ...condition, reason: 'not a word' }] }] };
  const refused = await server.call('PUT', `${path}/with-status/status`, { ...set.body, status: bad });
  expect((refused.body['details'] as { causes: { field: string }[] }).causes.map((cause) => cause.field)).toEqual([
    'status.parents[0].conditions[0].reason',
  ]);
});

test('a gateway waits for its controller from the start, and its listeners merge by name', async () => {
  const path = `${pathOf(gateway, 'Gateway', 'v1')}/waypoint`;
  const object = { apiVersion: `${gateway}/v1`, kind: 'Gateway', metadata: { name: 'waypoint' } };
  const apply = (manager: string, spec: object) =>
    server.call('PATCH', `${path}?fieldManager=${manager}`, { ...object, spec }, { 'content-type': 'application/apply-patch+yaml' });
  const made = await apply('one', { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] });
  expect(made.status).toBe(201);
  expect((made.body['status'] as { conditions: { type: string }[] }).conditions.map(({ type }) => type)).toEqual([
    'Accepted',
    'Programmed',
  ]);
  const merged = await apply('two', { listeners: [{ name: 'other', port: 80, protocol: 'HTTP' }] });
  expect((merged.body['spec'] as { listeners: { name: string }[] }).listeners.map(({ name }) => name).toSorted()).toEqual([
    'mesh',
    'other',
  ]);
  const strategic = await server.call('PATCH', path, { spec: {} }, { 'content-type': 'application/strategic-merge-patch+json' });
  expect(strategic.status).toBe(415);
});

test('the fields of a route can be explained', async () => {
  const { body } = await server.call('GET', '/openapi/v3/apis/gateway.networking.k8s.io/v1');
  const schemas = (body['components'] as { schemas: Record<string, object> }).schemas;
  expect(schemas['io.k8s.networking.gateway.v1.HTTPRoute']).toMatchObject({
    properties: {
      spec: { properties: { rules: { items: { properties: { timeouts: { properties: { request: { type: 'string' } } } } } } } },
    },
  });
});

test('an admission policy is stored', async () => {
  const path = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
  const made = await server.call('POST', path, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'p' },
    spec: { validations: [{ expression: 'true' }] },
  });
  expect(made.status).toBe(201);
  expect(made.body['spec']).toEqual({ validations: [{ expression: 'true' }], failurePolicy: 'Fail' });
});

test('who may edit a namespace may edit its routes, and not the classes of gateways', async () => {
  const { body } = await server.call('GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles/edit');
  const rules = body['rules'] as { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  const found = rules.find((rule) => rule.apiGroups.includes(gateway));
  expect(found?.resources).toContain('httproutes');
  expect(found?.resources).not.toContain('gatewayclasses');
  expect(found?.verbs).toContain('update');
});
