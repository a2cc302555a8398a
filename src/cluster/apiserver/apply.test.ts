import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestServer } from './test-server.ts';

const server = new TestServer();
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
beforeAll(async () => {
  await server.start();
});
afterAll(() => server.stop());

const APPLY = { 'content-type': 'application/apply-patch+yaml' };
const deployment = (name: string, spec: object, env: readonly object[] = []) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    ...spec,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i', env }] } },
  },
});
const apply = (name: string, body: object, manager: string, force = false) =>
  server.call('PATCH', `${DEPLOYMENTS}/${name}?fieldManager=${manager}&force=${force}`, body, APPLY);
const managers = (body: { metadata: Record<string, unknown> }) =>
  ((body.metadata['managedFields'] ?? []) as { manager: string; operation: string }[]).map(
    (entry) => `${entry.manager} ${entry.operation}`,
  );

test('apply creates, and applying again changes nothing', async () => {
  const made = await apply('one', deployment('one', { replicas: 2 }), 'me');
  expect(made.status).toBe(201);
  expect(managers(made.body)).toEqual(['me Apply']);
  const again = await apply('one', deployment('one', { replicas: 2 }), 'me');
  expect(again.body.metadata['resourceVersion']).toBe(made.body.metadata['resourceVersion']);
});

test('a field of another manager is a conflict that names both, unless forced', async () => {
  await apply('two', deployment('two', { replicas: 2 }), 'me');
  const other = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'two' }, spec: { replicas: 5 } };
  const refused = await apply('two', other, 'you');
  expect(refused.status).toBe(409);
  expect(refused.body.message).toBe('Apply failed with 1 conflict with "me" using apps/v1: .spec.replicas');
  expect((refused.body['details'] as { causes: object[] }).causes).toEqual([
    { reason: 'FieldManagerConflict', message: 'conflict with "me" using apps/v1', field: '.spec.replicas' },
  ]);
  const forced = await apply('two', other, 'you', true);
  expect(forced.body['spec']).toMatchObject({ replicas: 5 });
  expect(managers(forced.body).toSorted()).toEqual(['me Apply', 'you Apply']);
  // what was taken over is no longer mine to remove
  const without = await apply('two', deployment('two', {}), 'me');
  expect(without.body['spec']).toMatchObject({ replicas: 5 });
});

test('two managers may hold the same value', async () => {
  await apply('three', deployment('three', { replicas: 2 }), 'me');
  const shared = await apply(
    'three',
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'three' }, spec: { replicas: 2 } },
    'you',
  );
  expect(shared.status).toBe(200);
  expect((await apply('three', deployment('three', {}), 'me')).body['spec']).toMatchObject({ replicas: 2 });
});

test('what a manager no longer applies is removed, entry by entry', async () => {
  await apply(
    'four',
    deployment('four', {}, [
      { name: 'A', value: '1' },
      { name: 'B', value: '2' },
    ]),
    'me',
  );
  await apply('four', { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'four', labels: { theirs: 'yes' } } }, 'you');
  const { body } = await apply('four', deployment('four', {}, [{ name: 'B', value: '2' }]), 'me');
  expect(body['spec']).toMatchObject({ template: { spec: { containers: [{ name: 'c', env: [{ name: 'B', value: '2' }] }] } } });
  expect(body.metadata['labels']).toEqual({ theirs: 'yes' });
});

test('an update takes its fields from whoever applied them', async () => {
  await apply('five', deployment('five', { replicas: 2 }), 'me');
  await server.call(
    'PATCH',
    `${DEPLOYMENTS}/five?fieldManager=hand`,
    { spec: { replicas: 9 } },
    { 'content-type': 'application/merge-patch+json' },
  );
  const refused = await apply('five', deployment('five', { replicas: 2 }), 'me');
  expect(refused.body.message).toBe('Apply failed with 1 conflict with "hand" using apps/v1: .spec.replicas');
});

test('apply without a manager, or with managedFields, is refused', async () => {
  expect((await server.call('PATCH', `${DEPLOYMENTS}/six`, deployment('six', {}), APPLY)).status).toBe(400);
  const body = deployment('six', {});
  expect((await apply('six', { ...body, metadata: { ...body.metadata, managedFields: [{}] } }, 'me')).status).toBe(400);
});

test('an empty map gives up what its manager put there and leaves alone what others did', async () => {
  const CONFIG = '/api/v1/namespaces/default/configmaps/shared?fieldManager=';
  const put = (manager: string, data: object) =>
    server.call('PATCH', CONFIG + manager, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'shared' }, data }, APPLY);
  await put('first', { a: '1' });
  expect((await put('second', { b: '2' })).body['data']).toEqual({ a: '1', b: '2' });
  const emptied = await put('second', {});
  expect([emptied.status, emptied.body['data']]).toEqual([200, { a: '1' }]);
  expect((await put('second', {})).body.metadata['resourceVersion']).toBe(emptied.body.metadata['resourceVersion']);
  expect((await put('first', {})).body['data']).toEqual({});
});

test('a map that an update empties belongs to nobody entry by entry', async () => {
  const path = '/api/v1/namespaces/default/configmaps/emptied';
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'emptied' } };
  await server.call('PATCH', `${path}?fieldManager=first`, { ...object, data: { a: '1' } }, APPLY);
  await server.call('PUT', `${path}?fieldManager=hand`, { ...object, data: {} });
  const { body } = await server.call('PATCH', `${path}?fieldManager=third`, { ...object, data: { a: '3' } }, APPLY);
  expect(body['data']).toEqual({ a: '3' });
});
