import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { KubeClient } from '../../platform/kubernetes/index.ts';
import { type CommandApi, startCommandApi } from '../harness.test.ts';
import { GATEWAYS, NAMESPACES, SERVICES } from './gateway.ts';

let api: CommandApi;
let client: KubeClient;
const lateen: CommandApi['lateen'] = (...words) => api.lateen(...words);

beforeAll(async () => {
  api = await startCommandApi();
  client = api.client;
  for (const name of ['ai-inference', 'shared']) await client.create(NAMESPACES, { metadata: { name } });
});
afterAll(() => api.stop());

const rows = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split(/ {3,}/));

/** What the control plane would say. */
const program = (name: string, namespace: string, status: 'True' | 'False', reason: string) =>
  client.patch(
    GATEWAYS,
    name,
    {
      status: {
        conditions: [
          {
            type: 'Programmed',
            status,
            reason,
            message: `said ${reason}`,
            observedGeneration: 1,
            lastTransitionTime: '2026-01-01T00:00:00Z',
          },
        ],
      },
    },
    { namespace, subresource: 'status' },
  );

test('a waypoint is applied, seen, bound and deleted, with what is left bound to it named', async () => {
  const applying = lateen('waypoint', 'apply', '-n', 'ai-inference', '--for', 'all', '--enroll-namespace', '--wait', '--timeout', '20s');
  for (;;) {
    const found = await client.get(GATEWAYS, 'waypoint', { namespace: 'ai-inference' }).catch(() => undefined);
    if (found !== undefined) break;
    await Bun.sleep(20);
  }
  await program('waypoint', 'ai-inference', 'True', 'Programmed');
  const applied = await applying;
  expect(applied).toMatchObject({
    code: 0,
    stdout:
      'waypoint ai-inference/waypoint applied\nwaypoint ai-inference/waypoint is ready!\nnamespace ai-inference labeled with "istio.io/use-waypoint: waypoint"\n',
  });
  expect(applied.stderr).toContain('lateen label namespace ai-inference istio.io/dataplane-mode=ambient');
  expect((await client.get(NAMESPACES, 'ai-inference')).metadata?.labels?.['istio.io/use-waypoint']).toBe('waypoint');

  expect(rows((await lateen('waypoint', 'list', '-A')).stdout)).toEqual([
    ['NAMESPACE', 'NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'],
    ['ai-inference', 'waypoint', 'default', 'all', 'True'],
  ]);
  expect(rows((await lateen('x', 'waypoint', 'status', '-n', 'ai-inference')).stdout)).toEqual([
    ['NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
    ['waypoint', 'True', 'Programmed', 'Programmed', 'said Programmed'],
  ]);

  const deleted = await lateen('waypoint', 'delete', 'waypoint', 'absent', '-n', 'ai-inference');
  expect(deleted).toMatchObject({ code: 3, stdout: 'waypoint ai-inference/waypoint deleted\n' });
  expect(deleted.stderr).toContain('waypoint ai-inference/absent not found');
  expect(deleted.stderr).toContain('lateen label namespace ai-inference istio.io/use-waypoint-');
}, 60_000);

test('waiting in vain says what the control plane said last', async () => {
  await lateen('waypoint', 'apply', '-n', 'shared', '--name', 'slow');
  await program('slow', 'shared', 'False', 'Pending');
  for (const command of [
    ['waypoint', 'apply', '--name', 'slow', '--wait', '-n', 'shared', '--waypoint-timeout', '300ms'],
    ['waypoint', 'status', '-n', 'shared', '--timeout', '300ms'],
  ]) {
    const { code, stderr } = await lateen(...command);
    expect(code).toBe(6);
    expect(stderr).toContain('Programmed=False (Pending: said Pending)');
  }
  expect(JSON.parse((await lateen('waypoint', 'list', '-n', 'shared', '-o', 'json')).stdout)).toMatchObject([
    { namespace: 'shared', name: 'slow', revision: 'default', trafficType: 'service', programmed: 'False' },
  ]);
}, 60_000);

test('a namespace is not taken from another waypoint, and a gateway of another class is left alone', async () => {
  await client.patch(NAMESPACES, 'shared', { metadata: { labels: { 'istio.io/use-waypoint': 'other' } } });
  const refused = await lateen('waypoint', 'apply', '-n', 'shared', '--enroll-namespace');
  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toContain('is already "other"');
  await client.create(
    GATEWAYS,
    {
      metadata: { name: 'edge', namespace: 'shared' },
      spec: { gatewayClassName: 'istio', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
    } as object,
    { namespace: 'shared' },
  );
  const other = await lateen('waypoint', 'apply', '-n', 'shared', '--name', 'edge');
  expect(other.code).toBe(5);
  expect(other.stderr).toContain('spec.gatewayClassName is istio');
  const all = await lateen('waypoint', 'delete', '--all', '-n', 'shared');
  expect(all.stdout).not.toContain('edge');
}, 60_000);

test('the old form with a service account is answered with the services it means', async () => {
  await client.create(
    SERVICES,
    { metadata: { name: 'inference-api' }, spec: { selector: { app: 'api' }, ports: [{ port: 9000 }] } } as object,
    { namespace: 'ai-inference' },
  );
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'api-1', labels: { app: 'api' } },
    spec: { serviceAccountName: 'inference-sa', containers: [{ name: 'api', image: 'x' }] },
  };
  await client.create(await client.discovery.forName('serviceaccounts'), { metadata: { name: 'inference-sa', namespace: 'ai-inference' } });
  await client.create(await client.discovery.forName('pods'), pod, { namespace: 'ai-inference' });
  const answer = await lateen('x', 'waypoint', 'generate', '--service-account', 'inference-sa', '-n', 'ai-inference');
  expect(answer).toMatchObject({ code: 2, stdout: '' });
  expect(answer.stderr).toContain('lateen label service inference-api -n ai-inference istio.io/use-waypoint=inference-sa-waypoint');
}, 60_000);

test('what cannot be meant is an error of usage', async () => {
  for (const words of [
    ['generate', '--name', 'none'],
    ['generate', '--for', 'everything'],
    ['delete'],
    ['delete', 'a', '--all'],
    ['list', '-o', 'wide'],
    ['apply', '--wait', '--timeout', 'soon'],
  ]) {
    expect({ words, code: (await lateen('waypoint', ...words)).code }).toEqual({ words, code: 2 });
  }
}, 60_000);
