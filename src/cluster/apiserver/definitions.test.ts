import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestServer } from './test-server.ts';

const server = new TestServer();
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const WIDGETS = '/apis/example.com/v1/namespaces/default/widgets';
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
        additionalPrinterColumns: [{ name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 1, maximum: 10 },
                  color: { type: 'string', default: 'red', enum: ['red', 'blue'] },
                },
              },
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};
const widget = (name: string, spec: object) => ({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name }, spec });

beforeAll(async () => {
  await server.start();
  expect((await server.call('POST', CRDS, definition)).status).toBe(201);
});
afterAll(() => server.stop());

test('a defined kind is served at once, with defaults, pruning and validation', async () => {
  const made = await server.call('POST', WIDGETS, widget('a', { size: 3, wheels: 4 }));
  expect(made.status).toBe(201);
  expect(made.body['spec']).toEqual({ size: 3, color: 'red' });
  const refused = await server.call('POST', WIDGETS, widget('b', { size: 30, color: 'green' }));
  expect(refused.status).toBe(422);
  expect((refused.body['details'] as { causes: { field: string }[] }).causes.map((cause) => cause.field).toSorted()).toEqual([
    'spec.color',
    'spec.size',
  ]);
  expect((await server.call('POST', WIDGETS, widget('c', {}))).body.message).toContain('spec.size: Required value');
  expect((await server.call('POST', WIDGETS, widget('d', { size: 'x' }))).status).toBe(422);
});

test('every served version shows the same object', async () => {
  const { body } = await server.call('GET', '/apis/example.com/v1beta1/namespaces/default/widgets/a');
  expect(body['apiVersion']).toBe('example.com/v1beta1');
  expect(body['spec']).toEqual({ size: 3, color: 'red' });
});

test('status and scale are separate from the object', async () => {
  const { body } = await server.call('GET', `${WIDGETS}/a`);
  const status = { conditions: [{ type: 'Ready', status: 'True' }], size: 3 };
  const ignored = await server.call('PUT', `${WIDGETS}/a`, { ...body, status });
  expect(ignored.body['status']).toBeUndefined();
  const set = await server.call('PUT', `${WIDGETS}/a/status`, { ...ignored.body, spec: { size: 9 }, status });
  expect(set.body['status']).toEqual(status);
  expect(set.body['spec']).toEqual({ size: 3, color: 'red' });
  const scaled = await server.call(
    'PATCH',
    `${WIDGETS}/a/scale`,
    { spec: { replicas: 5 } },
    { 'content-type': 'application/merge-patch+json' },
  );
  expect(scaled.body).toMatchObject({ kind: 'Scale', spec: { replicas: 5 }, status: { replicas: 3 } });
  expect((await server.call('GET', `${WIDGETS}/a`)).body['spec']).toMatchObject({ size: 5 });
  const table = await server.call('GET', WIDGETS, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  expect((table.body['rows'] as { cells: unknown[] }[])[0]?.cells).toEqual(['a', 'True']);
});

test('a definition reports itself established and appears in discovery', async () => {
  const { body } = await server.call('GET', `${CRDS}/widgets.example.com`);
  expect(body['status']).toMatchObject({
    conditions: expect.arrayContaining([expect.objectContaining({ type: 'Established', status: 'True' })]),
  });
  const group = await server.call('GET', '/apis/example.com/v1');
  expect((group.body['resources'] as { name: string }[]).map((resource) => resource.name)).toEqual([
    'widgets',
    'widgets/status',
    'widgets/scale',
  ]);
});

test('a bad definition is refused', async () => {
  const bad = structuredClone(definition);
  bad.metadata.name = 'other.example.com';
  bad.spec.versions[1]!.storage = true;
  const { status, body } = await server.call('POST', CRDS, bad);
  expect(status).toBe(422);
  expect((body['details'] as { causes: { field: string }[] }).causes.map((cause) => cause.field)).toEqual([
    'metadata.name',
    'spec.versions',
  ]);
});

test('definitions survive a restart; deleting one takes its objects along', async () => {
  await server.restart();
  expect((await server.call('GET', `${WIDGETS}/a`)).status).toBe(200);
  const watch = await server.watch(`${CRDS}?watch=1&fieldSelector=metadata.name%3Dwidgets.example.com`);
  await server.call('DELETE', `${CRDS}/widgets.example.com`);
  let event = await watch.next();
  while (event !== undefined && event.type !== 'DELETED') event = await watch.next();
  watch.close();
  expect(event?.type).toBe('DELETED');
  expect((await server.call('GET', WIDGETS)).status).toBe(404);
  await server.call('POST', CRDS, definition);
  expect((await server.call('GET', WIDGETS)).body.items).toEqual([]);
});

test('Istio security kinds are served in both versions', async () => {
  const path = (version: string) => `/apis/security.istio.io/${version}/namespaces/default/authorizationpolicies`;
  const policy = {
    apiVersion: 'security.istio.io/v1beta1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'deny' },
    spec: { action: 'DENY', rules: [{}] },
  };
  expect((await server.call('POST', path('v1beta1'), policy)).status).toBe(201);
  expect((await server.call('GET', `${path('v1')}/deny`)).body['apiVersion']).toBe('security.istio.io/v1');
  const refused = await server.call('POST', path('v1'), {
    ...policy,
    apiVersion: 'security.istio.io/v1',
    metadata: { name: 'x' },
    spec: { action: 'MAYBE' },
  });
  expect(refused.body.message).toContain('spec.action: Unsupported value: "MAYBE": supported values: "ALLOW", "DENY", "AUDIT", "CUSTOM"');
});
