import { afterAll, beforeAll, expect, test } from 'bun:test';
import { configMap, TestServer } from './test-server.ts';

const server = new TestServer();
const MAPS = '/api/v1/namespaces/default/configmaps';
const MERGE = { 'content-type': 'application/merge-patch+json' };
beforeAll(async () => {
  await server.start();
});
afterAll(() => server.stop());

const nameOf = (event: { object: { metadata: Record<string, unknown> } } | undefined) => event?.object.metadata['name'];

test('a watch from a revision delivers every later change once, in order', async () => {
  const { body } = await server.call('GET', MAPS);
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${body.metadata['resourceVersion']}`);
  await server.call('POST', MAPS, configMap('w', { n: '0' }));
  await server.call('PATCH', `${MAPS}/w`, { data: { n: '1' } }, MERGE);
  await server.call('DELETE', `${MAPS}/w`);
  const events = [await watch.next(), await watch.next(), await watch.next()];
  watch.close();
  expect(events.map((event) => event?.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
  const revisions = events.map((event) => Number(event?.object.metadata['resourceVersion']));
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
});

test('a change that moves an object in or out of a selector is ADDED or DELETED', async () => {
  const { body } = await server.call('GET', MAPS);
  const watch = await server.watch(`${MAPS}?watch=1&labelSelector=in%3Dyes&resourceVersion=${body.metadata['resourceVersion']}`);
  await server.call('POST', MAPS, configMap('mover'));
  await server.call('PATCH', `${MAPS}/mover`, { metadata: { labels: { in: 'yes' } } }, MERGE);
  await server.call('PATCH', `${MAPS}/mover`, { data: { x: '1' } }, MERGE);
  await server.call('PATCH', `${MAPS}/mover`, { metadata: { labels: { in: 'no' } } }, MERGE);
  expect([await watch.next(), await watch.next(), await watch.next()].map((event) => event?.type)).toEqual([
    'ADDED',
    'MODIFIED',
    'DELETED',
  ]);
  watch.close();
});

test('initial events end with a marked bookmark', async () => {
  const watch = await server.watch(
    `${MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&fieldSelector=metadata.name%3Dkube-root-ca.crt`,
  );
  expect(nameOf(await watch.next())).toBe('kube-root-ca.crt');
  const mark = await watch.next();
  watch.close();
  expect(mark?.type).toBe('BOOKMARK');
  expect(mark?.object.metadata['annotations']).toEqual({ 'k8s.io/initial-events-end': 'true' });
});

test('a watch ends by itself after timeoutSeconds', async () => {
  const watch = await server.watch(`${MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone`);
  expect(await watch.next()).toBeUndefined();
});

test('a watch resumes across a restart of the server', async () => {
  const { body } = await server.call('POST', MAPS, configMap('before'));
  await server.call('PATCH', `${MAPS}/before`, { data: { x: '1' } }, MERGE);
  await server.restart();
  await server.call('PATCH', `${MAPS}/before`, { data: { x: '2' } }, MERGE);
  const watch = await server.watch(`${MAPS}?watch=1&resourceVersion=${body.metadata['resourceVersion']}`);
  expect((await watch.next())?.object['data']).toEqual({ x: '1' });
  expect((await watch.next())?.object['data']).toEqual({ x: '2' });
  watch.close();
});
