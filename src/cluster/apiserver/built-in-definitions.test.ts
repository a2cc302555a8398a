import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUILT_IN_KINDS } from '../../platform/kubernetes/kinds/index.ts';
import { TestServer } from './test-server.ts';

const server = new TestServer();
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const ROUTES = `${CRDS}/httproutes.gateway.networking.k8s.io`;
const BUNDLE = 'gateway.networking.k8s.io/bundle-version';

beforeAll(async () => void (await server.start()));
afterAll(() => server.stop());

test('kinds that are definitions elsewhere are shown as such, established, with the bundle of the Gateway API', async () => {
  const { body } = await server.call('GET', CRDS);
  const expected = BUILT_IN_KINDS.filter((kind) => kind.isCustom).map((kind) => `${kind.plural}.${kind.group}`);
  expect(body.items.map((item) => (item['metadata'] as { name: string }).name)).toEqual(expected.toSorted());
  const gateways = body.items.filter((item) => (item['spec'] as { group: string }).group === 'gateway.networking.k8s.io');
  expect(new Set(gateways.map((item) => (item['metadata'] as { annotations: Record<string, string> }).annotations[BUNDLE]))).toEqual(
    new Set(['v1.6.3']),
  );
  const routes = await server.call('GET', ROUTES);
  expect(routes.body['status']).toMatchObject({
    conditions: expect.arrayContaining([expect.objectContaining({ type: 'Established', status: 'True' })]),
  });
  expect(routes.body['spec']).toMatchObject({
    names: { kind: 'HTTPRoute', listKind: 'HTTPRouteList', categories: ['gateway-api'] },
    versions: [
      { name: 'v1', served: true, storage: true, subresources: { status: {} } },
      { name: 'v1beta1', served: true, storage: false },
    ],
  });
  expect(JSON.stringify(body)).not.toContain('x-kubernetes-patch-');
});

/** What somebody else's bundle says of the same kind. */
const foreign = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'httproutes.gateway.networking.k8s.io', annotations: { [BUNDLE]: 'v9.9.9' } },
  spec: {
    group: 'gateway.networking.k8s.io',
    scope: 'Namespaced',
    names: { kind: 'HTTPRoute', plural: 'httproutes' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object' } } } },
      },
    ],
  },
};
const route = {
  apiVersion: 'gateway.networking.k8s.io/v1beta1',
  kind: 'HTTPRoute',
  metadata: { name: 'r' },
  spec: { hostnames: ['a.b'] },
};
const INSTANCES = '/apis/gateway.networking.k8s.io/v1beta1/namespaces/default/httproutes';

test('a definition may be applied over a built-in one: it is kept, and the kind stays as it is', async () => {
  const apply = { 'content-type': 'application/apply-patch+yaml' };
  const applied = await server.call('PATCH', `${ROUTES}?fieldManager=bundle`, foreign, apply);
  expect(applied.status).toBe(200);
  expect((await server.call('POST', INSTANCES, route)).body['spec']).toMatchObject({ hostnames: ['a.b'], rules: [{}] });
  await server.restart();
  const kept = await server.call('GET', ROUTES);
  expect(kept.body.metadata['annotations']).toEqual(expect.objectContaining({ [BUNDLE]: 'v9.9.9' }));
  expect((kept.body['spec'] as { versions: object[] }).versions).toHaveLength(1);
  expect((await server.call('GET', `${INSTANCES}/r`)).status).toBe(200);
});

test('deleting the definition of a built-in kind leaves its objects, and it is back after a restart', async () => {
  const watch = await server.watch(`${CRDS}?watch=1&fieldSelector=metadata.name%3D${foreign.metadata.name}`);
  await server.call('DELETE', ROUTES);
  let event = await watch.next();
  while (event !== undefined && event.type !== 'DELETED') event = await watch.next();
  watch.close();
  expect((await server.call('GET', `${INSTANCES}/r`)).status).toBe(200);
  await server.restart();
  expect((await server.call('GET', ROUTES)).body.metadata['annotations']).toEqual(expect.objectContaining({ [BUNDLE]: 'v1.6.3' }));
  expect((await server.call('GET', `${INSTANCES}/r`)).status).toBe(200);
});

test('nothing is written at a restart when nothing changed', async () => {
  const revisions = async () =>
    (await server.call('GET', CRDS)).body.items.map((item) => (item['metadata'] as { resourceVersion: string }).resourceVersion);
  const before = await revisions();
  await server.restart();
  expect(await revisions()).toEqual(before);
});
