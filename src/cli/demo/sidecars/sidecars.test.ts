import { afterAll, beforeAll, expect, test as unconditional } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readExample } from '../pipeline.ts';
import { writeCertificates } from './certificates.ts';
import { findEnvoy } from './envoy-binary.ts';
import { redirectRules, sidecarBootstrap } from './envoy-config.ts';
import { copyWithSidecars, type SidecarCopy } from './manifests.ts';

const envoy = findEnvoy(process.env);
const reason = envoy === undefined ? ' (not run: there is no Envoy on this machine, see ENVOY_BIN)' : '';
const withEnvoy = envoy === undefined ? unconditional.skip : unconditional;
const test = unconditional;

let copy: SidecarCopy;
const folder = mkdtempSync(join(tmpdir(), 'lateen-sidecars-test-'));
beforeAll(async () => {
  copy = copyWithSidecars(await readExample('pipeline.yaml'), 9000, '/opt/envoy', (name) => `/config/${name}`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('copies the whole pipeline into namespaces of its own, and nothing of the copy reaches the original', () => {
  const namespaces = copy.objects.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata?.name);
  expect(namespaces).toEqual(['ai-preprocessing-sidecars', 'ai-inference-sidecars', 'ai-postprocessing-sidecars', 'ai-clients-sidecars']);
  for (const { metadata, kind } of copy.objects) if (kind !== 'Namespace') expect(namespaces).toContain(metadata?.namespace ?? '');
  const text = JSON.stringify(copy.objects);
  expect(text).toContain('inference-api.ai-inference-sidecars.svc.cluster.local:9000');
  expect(text).not.toMatch(/\.ai-[a-z]+\.svc/);
});

test('gives each pod the redirection and the sidecar of its Deployment', () => {
  const deployments = copy.objects.filter(({ kind }) => kind === 'Deployment');
  expect(deployments).toHaveLength(copy.pods.length);
  for (const deployment of deployments) {
    expect(deployment).toMatchObject({
      spec: {
        template: {
          spec: {
            initContainers: [
              { name: 'istio-init', command: ['nft', redirectRules(9000)] },
              { name: 'istio-proxy', restartPolicy: 'Always' },
            ],
          },
        },
      },
    });
    expect(JSON.stringify(deployment)).toContain(`/config/${deployment.metadata?.namespace}/${deployment.metadata?.name}`);
  }
});

test('knows the services with the identity behind each, and which pods are called', () => {
  expect(copy.services.find(({ host }) => host.startsWith('inference-api.'))).toEqual({
    host: 'inference-api.ai-inference-sidecars.svc.cluster.local',
    podsHost: 'inference-api-pods.ai-inference-sidecars.svc.cluster.local',
    port: 9000,
    identity: 'spiffe://cluster.local/ns/ai-inference-sidecars/sa/inference-sa',
  });
  expect(copy.pods.filter(({ inboundPort }) => inboundPort === undefined).map(({ name }) => name)).toEqual([
    'ai-clients-sidecars/load',
    'ai-clients-sidecars/intruder',
  ]);
});

withEnvoy(
  `Envoy takes the bootstrap of each kind of pod${reason}`,
  async () => {
    const identities = [...new Set(copy.pods.map(({ identity }) => identity))];
    const files = await writeCertificates(folder, identities);
    for (const inboundPort of [9000, undefined]) {
      const file = join(folder, 'bootstrap.json');
      await Bun.write(file, JSON.stringify(sidecarBootstrap(copy.services, files.get(identities[0]!)!, inboundPort)));
      const checked = Bun.spawnSync([envoy!, '--mode', 'validate', '--config-path', file, '--log-level', 'error']);
      expect({ code: checked.exitCode, stderr: checked.stderr.toString() }).toMatchObject({ code: 0 });
    }
  },
  30_000,
);
