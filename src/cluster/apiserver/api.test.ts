import { afterAll, beforeAll, expect, test } from 'bun:test';
import { configMap, TestServer } from './test-server.ts';

const server = new TestServer();
const MAPS = '/api/v1/namespaces/default/configmaps';
beforeAll(async () => {
  await server.start();
});
afterAll(() => server.stop());

test('creates an object with uid, time and resourceVersion, and gives it back', async () => {
  const made = await server.call('POST', MAPS, configMap('first', { a: '1' }));
  expect(made.status).toBe(201);
  expect(made.body.metadata['uid']).toMatch(/^[0-9a-f-]{36}$/);
  expect(made.body.metadata['creationTimestamp']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const read = await server.call('GET', `${MAPS}/first`);
  expect(read.body).toEqual(made.body);
});

test('refuses a second object of the same name with 409 AlreadyExists', async () => {
  await server.call('POST', MAPS, configMap('twice'));
  const { status, body } = await server.call('POST', MAPS, configMap('twice'));
  expect(status).toBe(409);
  expect(body['reason']).toBe('AlreadyExists');
  expect(body.message).toBe('configmaps "twice" already exists');
});

test('refuses an update made from an old version and stores nothing', async () => {
  const { body } = await server.call('POST', MAPS, configMap('raced'));
  expect((await server.call('PUT', `${MAPS}/raced`, { ...body, data: { by: 'first' } })).status).toBe(200);
  const late = await server.call('PUT', `${MAPS}/raced`, { ...body, data: { by: 'second' } });
  expect(late.status).toBe(409);
  expect(late.body['reason']).toBe('Conflict');
  expect((await server.call('GET', `${MAPS}/raced`)).body['data']).toEqual({ by: 'first' });
});

test('keeps the resourceVersion when an update changes nothing', async () => {
  const { body } = await server.call('POST', MAPS, configMap('same', { a: '1' }));
  const again = await server.call('PUT', `${MAPS}/same`, body);
  expect(again.body.metadata['resourceVersion']).toBe(body.metadata['resourceVersion']);
});

test('makes a name from generateName', async () => {
  const { body } = await server.call('POST', MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'made-' } });
  expect(body.metadata['name']).toMatch(/^made-[a-z0-9]{5}$/);
});

test('a dry run validates and stores nothing', async () => {
  expect((await server.call('POST', `${MAPS}?dryRun=All`, configMap('dry'))).status).toBe(201);
  expect((await server.call('GET', `${MAPS}/dry`)).status).toBe(404);
});

test('answers 422 with a cause and a field path for every problem', async () => {
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'Bad_Name' },
    spec: {
      replicas: -1,
      selector: { matchLabels: { app: 'a' } },
      template: { metadata: { labels: { app: 'b' } }, spec: { containers: [{ name: 'c' }] } },
    },
  };
  const { status, body } = await server.call('POST', '/apis/apps/v1/namespaces/default/deployments', deployment);
  expect(status).toBe(422);
  expect(body['reason']).toBe('Invalid');
  const fields = (body['details'] as { causes: { field: string }[] }).causes.map((cause) => cause.field);
  expect(fields).toEqual(
    expect.arrayContaining(['metadata.name', 'spec.replicas', 'spec.template.metadata.labels', 'spec.template.spec.containers[0].image']),
  );
  expect((await server.call('GET', '/apis/apps/v1/namespaces/default/deployments')).body.items).toEqual([]);
});

test('unknown fields are dropped with a warning, and refused when validation is strict', async () => {
  const body = { ...configMap('typo'), dtaa: { a: '1' } };
  const warned = await server.fetch('POST', `${MAPS}?fieldValidation=Warn`, body);
  expect(warned.headers.get('warning')).toBe('299 - "unknown field \\"dtaa\\""');
  expect(await warned.json()).not.toHaveProperty('dtaa');
  const strict = await server.call('PUT', `${MAPS}/typo?fieldValidation=Strict`, body);
  expect(strict.status).toBe(400);
  expect(strict.body.message).toContain('strict decoding error: unknown field "dtaa"');
});

test.each([
  ['malformed JSON', '{"a":', 'application/json', 400],
  ['malformed YAML', 'a: [', 'application/yaml', 400],
  ['a list', '[]', 'application/json', 400],
  ['an unknown media type', 'x', 'text/plain', 415],
  ['another kind', '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}', 'application/json', 400],
  ['a reserved field', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"__proto__":{"a":1}}', 'application/json', 400],
  ['a wrong type', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":5}', 'application/json', 400],
  ['more than the limit', `{"a":"${'x'.repeat(3_200_000)}"}`, 'application/json', 413],
])('refuses %s', async (_what, body, type, expected) => {
  const { status, body: answer } = await server.call('POST', MAPS, body, { 'content-type': type });
  expect(status).toBe(expected);
  expect(answer['kind']).toBe('Status');
});

test('says 404 for what is not there: object, namespace, kind', async () => {
  expect((await server.call('GET', `${MAPS}/none`)).body.message).toBe('configmaps "none" not found');
  expect((await server.call('POST', '/api/v1/namespaces/none/configmaps', configMap('x'))).body.message).toBe(
    'namespaces "none" not found',
  );
  expect((await server.call('GET', '/apis/apps/v1/namespaces/default/nothings')).body.message).toBe(
    'the server could not find the requested resource',
  );
});

test('patches in all three forms', async () => {
  const path = '/apis/apps/v1/namespaces/default/deployments/web';
  await server.call('POST', '/apis/apps/v1/namespaces/default/deployments', {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: {
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image: 'one' }] } },
    },
  });
  const patch = (type: string, body: unknown) => server.call('PATCH', path, body, { 'content-type': `application/${type}+json` });
  const strategic = await patch('strategic-merge-patch', { spec: { template: { spec: { containers: [{ name: 'b', image: 'two' }] } } } });
  expect(strategic.body['spec']).toMatchObject({ template: { spec: { containers: [{ name: 'a' }, { name: 'b' }] } } });
  const merged = await patch('merge-patch', { spec: { replicas: 7 } });
  expect(merged.body['spec']).toMatchObject({ replicas: 7 });
  expect(merged.body.metadata['generation']).toBe(3);
  const pointed = await patch('json-patch', [
    { op: 'test', path: '/spec/replicas', value: 7 },
    { op: 'remove', path: '/spec/template/spec/containers/1' },
  ]);
  expect(pointed.body['spec']).toMatchObject({ template: { spec: { containers: [{ name: 'a' }] } } });
  expect((await patch('json-patch', [{ op: 'test', path: '/spec/replicas', value: 8 }])).status).toBe(422);
});

test('selects by labels and fields, and pages consistently', async () => {
  await server.call('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'pages' } });
  const path = '/api/v1/namespaces/pages/configmaps';
  for (let index = 0; index < 7; index++)
    await server.call('POST', path, configMap(`m${index}`, {}, { parity: index % 2 === 0 ? 'even' : 'odd' }));
  const even = await server.call('GET', `${path}?labelSelector=${encodeURIComponent('parity in (even)')}`);
  expect(even.body.items.map((item) => (item['metadata'] as { name: string }).name)).toEqual(['m0', 'm2', 'm4', 'm6']);
  expect((await server.call('GET', `${path}?fieldSelector=metadata.name%3Dm3`)).body.items).toHaveLength(1);
  expect((await server.call('GET', `${path}?fieldSelector=data.x%3D1`)).status).toBe(400);
  const first = await server.call('GET', `${path}?limit=3&labelSelector=parity`);
  await server.call('DELETE', `${path}/m4`);
  const second = await server.call('GET', `${path}?limit=9&labelSelector=parity&continue=${first.body.metadata['continue']}`);
  expect(first.body.items.length + second.body.items.length).toBe(7);
  expect(second.body.metadata['resourceVersion']).toBe(first.body.metadata['resourceVersion']);
  expect((await server.call('GET', `${path}?limit=3&continue=gone:3`)).status).toBe(410);
});

test('an object with a finalizer stays until the finalizer goes', async () => {
  await server.call('POST', MAPS, { ...configMap('held'), metadata: { name: 'held', finalizers: ['example.com/hold'] } });
  const deleted = await server.call('DELETE', `${MAPS}/held`);
  expect(deleted.body.metadata['deletionTimestamp']).toBeString();
  expect((await server.call('GET', `${MAPS}/held`)).status).toBe(200);
  await server.call('PATCH', `${MAPS}/held`, { metadata: { finalizers: null } }, { 'content-type': 'application/merge-patch+json' });
  expect((await server.call('GET', `${MAPS}/held`)).status).toBe(404);
});

test('a scheduled pod gets its grace; deleting it again without grace removes it', async () => {
  const pods = '/api/v1/namespaces/default/pods';
  await server.call('POST', pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { nodeName: 'node1', containers: [{ name: 'c', image: 'i' }] },
  });
  const marked = await server.call('DELETE', `${pods}/p`);
  expect(marked.body.metadata['deletionGracePeriodSeconds']).toBe(30);
  expect((await server.call('GET', `${pods}/p`)).status).toBe(200);
  await server.call('DELETE', `${pods}/p`, { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0 });
  expect((await server.call('GET', `${pods}/p`)).status).toBe(404);
});

test('a pod gets its account, its token volume and its defaults', async () => {
  const pods = '/api/v1/namespaces/default/pods';
  const { body } = await server.call('POST', pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'd' },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  });
  expect(body['spec']).toMatchObject({
    serviceAccountName: 'default',
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    terminationGracePeriodSeconds: 30,
  });
  expect(JSON.stringify(body['spec'])).toContain('/var/run/secrets/kubernetes.io/serviceaccount');
  expect(body['status']).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
  const bound = await server.call('POST', `${pods}/d/binding`, {
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name: 'd' },
    target: { kind: 'Node', name: 'node1' },
  });
  expect(bound.status).toBe(201);
  expect((await server.call('GET', `${pods}/d`)).body['spec']).toMatchObject({ nodeName: 'node1' });
});

test('services get their own addresses, and keep them', async () => {
  const path = '/api/v1/namespaces/default/services';
  const service = (name: string, extra: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { ports: [{ port: 80 }], ...extra },
  });
  const one = await server.call('POST', path, service('one'));
  const two = await server.call('POST', path, service('two'));
  const addresses = [one, two].map((answer) => (answer.body['spec'] as { clusterIP: string }).clusterIP);
  expect(addresses[0]).toMatch(/^10\.96\./);
  expect(addresses[0]).not.toBe(addresses[1]);
  const headless = await server.call('POST', path, service('headless', { clusterIP: 'None' }));
  expect(headless.body['spec']).toMatchObject({ clusterIP: 'None' });
  expect((await server.call('POST', path, service('outside', { clusterIP: '10.1.1.1' }))).status).toBe(422);
  expect((await server.call('POST', path, service('taken', { clusterIP: addresses[0] }))).status).toBe(422);
  const kept = await server.call('PUT', `${path}/one`, service('one', { ports: [{ port: 81 }] }));
  expect(kept.body['spec']).toMatchObject({ clusterIP: addresses[0] });
});

test('a namespace brings an account and a CA, and takes its contents with it', async () => {
  await server.call('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'short' } });
  const watch = await server.watch('/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Dshort');
  expect((await watch.next())?.type).toBe('ADDED');
  expect((await server.call('GET', '/api/v1/namespaces/short/serviceaccounts/default')).status).toBe(200);
  expect((await server.call('GET', '/api/v1/namespaces/short/configmaps/kube-root-ca.crt')).body['data']).toEqual({
    'ca.crt': expect.stringContaining('BEGIN CERTIFICATE'),
  });
  const deleted = await server.call('DELETE', '/api/v1/namespaces/short');
  expect(deleted.body['status']).toMatchObject({ phase: 'Terminating' });
  let last = await watch.next();
  while (last?.type === 'MODIFIED') last = await watch.next();
  expect(last?.type).toBe('DELETED');
  watch.close();
  expect((await server.call('GET', '/api/v1/namespaces/short/configmaps')).body.items).toEqual([]);
});

test('lists as a table for kubectl', async () => {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  const { body } = await server.call('GET', '/api/v1/namespaces', undefined, { accept });
  expect(body['kind']).toBe('Table');
  expect((body['columnDefinitions'] as { name: string }[]).map((column) => column.name)).toEqual(['Name', 'Status', 'Age']);
  expect((await server.fetch('GET', '/api/v1/namespaces', undefined, { accept: 'application/vnd.kubernetes.protobuf' })).status).toBe(406);
});
