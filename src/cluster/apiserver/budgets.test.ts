import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestServer } from './test-server.ts';

const server = new TestServer();
const PODS = '/api/v1/namespaces/default/pods';
const BUDGETS = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
beforeAll(async () => {
  await server.start();
  await server.call('POST', BUDGETS, {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'keep-one' },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'waypoint' } } },
  });
});
afterAll(() => server.stop());

async function running(name: string, app: string, ready = true): Promise<void> {
  const made = await server.call('POST', PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app } },
    spec: { nodeName: 'node1', containers: [{ name: 'c', image: 'x' }] },
  });
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] };
  expect((await server.call('PUT', `${PODS}/${name}/status`, { ...made.body, status })).status).toBe(200);
}
const evict = (name: string) =>
  server.call('POST', `${PODS}/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'default' } });
const allow = async (disruptionsAllowed: number, currentHealthy: number): Promise<void> => {
  const { body } = await server.call('GET', `${BUDGETS}/keep-one`);
  const status = { observedGeneration: 1, disruptionsAllowed, currentHealthy, desiredHealthy: 1, expectedPods: 2 };
  expect((await server.call('PUT', `${BUDGETS}/keep-one/status`, { ...body, status })).status).toBe(200);
};

test('an eviction spends the budget of its pod; none is left for the next', async () => {
  await running('a', 'waypoint');
  await running('b', 'waypoint');
  const early = await evict('a');
  expect([early.status, early.body['reason']]).toEqual([429, 'TooManyRequests']);
  await allow(1, 2);
  expect((await evict('a')).status).toBe(201);
  expect((await server.call('GET', `${PODS}/a`)).body.metadata['deletionTimestamp']).toBeString();
  const refused = await evict('b');
  expect(refused.status).toBe(429);
  expect(JSON.stringify(refused.body['details'])).toContain('needs 1 healthy pods and has 2 currently');
  expect((await server.call('GET', `${PODS}/b`)).body.metadata['deletionTimestamp']).toBeUndefined();
});

test('other pods, and those that are not ready beside enough others, may always go', async () => {
  await running('other', 'else');
  expect((await evict('other')).status).toBe(201);
  await running('unready', 'waypoint', false);
  await allow(0, 1);
  expect((await evict('unready')).status).toBe(201);
});
