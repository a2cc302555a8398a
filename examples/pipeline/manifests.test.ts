import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type CommandApi, startCommandApi } from '../../src/cli/harness.test.ts';

const FOLDER = import.meta.dir;
const files = [...new Bun.Glob('*.yaml').scanSync({ cwd: FOLDER })].filter((file) => !file.startsWith('buf.')).sort();
let api: CommandApi;

beforeAll(async () => {
  api = await startCommandApi();
});
afterAll(() => api.stop());

test('every manifest is taken by the API server as it is written', async () => {
  const ordered = ['pipeline.yaml', ...files.filter((one) => one !== 'pipeline.yaml')];
  expect(ordered.length).toBeGreaterThan(9);
  const { code, stderr } = await api.lateen('apply', ...ordered.flatMap((file) => ['-f', `${FOLDER}/${file}`]));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
}, 60_000);

test('each form of a route replaces the one before: they are one object per kind', async () => {
  for (const plural of ['virtualservices', 'destinationrules', 'httproutes', 'gateways']) {
    const { items } = await api.client.listAll(await api.client.discovery.forName(plural));
    expect({ plural, names: items.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`) }).toEqual({
      plural,
      names: [plural === 'gateways' ? 'ai-inference/waypoint' : 'ai-inference/inference-api'],
    });
  }
}, 60_000);
