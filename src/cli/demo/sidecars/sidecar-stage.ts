import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyManifests, isNotFound, type KubeClient } from '../../../platform/kubernetes/index.ts';
import { NAMESPACES as NAMESPACE_KIND } from '../../waypoint/gateway.ts';
import { LoadClient } from '../load-client.ts';
import { type Instruments, measureStage } from '../measure.ts';
import { APPLICATION_PORT, NAMESPACES, readExample, untilAnswered, untilAvailable } from '../pipeline.ts';
import type { Progress } from '../progress.ts';
import { writeCertificates } from './certificates.ts';
import { sidecarBootstrap } from './envoy-config.ts';
import { copyWithSidecars, sidecarNamespace } from './manifests.ts';

const PODS_LIMIT_MS = 120_000;

/**
 * Measures the pipeline behind real Envoy sidecars: a copy in namespaces of its own, under the same load, while the original rests. The copy is removed
 * afterwards, whatever happens.
 */
export const measureSidecars = async (
  client: KubeClient,
  envoy: string,
  tools: Instruments,
  plan: { readonly seconds: number; readonly chains: number; readonly rate: number; readonly otherRate: number },
  progress: Progress,
): Promise<Awaited<ReturnType<typeof measureStage>>> => {
  const folder = mkdtempSync(join(tmpdir(), 'lateen-sidecars-'));
  const namespaces = NAMESPACES.map(sidecarNamespace);
  const other = await LoadClient.find(client, 'ai-clients', 'intruder');
  let load: LoadClient | undefined;
  try {
    progress.step('the same pipeline once more, each pod with an Envoy sidecar; the first one rests');
    await Promise.all([tools.load.setRate(0), other.setRate(0)]);
    const fileOf = (name: string): string => join(folder, `${name.replace('/', '_')}.json`);
    const copy = copyWithSidecars(await readExample('pipeline.yaml'), APPLICATION_PORT, envoy, fileOf);
    const certificates = await writeCertificates(folder, [...new Set(copy.pods.map(({ identity }) => identity))]);
    for (const { name, identity, inboundPort } of copy.pods)
      writeFileSync(fileOf(name), JSON.stringify(sidecarBootstrap(copy.services, certificates.get(identity)!, inboundPort)));
    await applyManifests(client, copy.objects);
    await untilAvailable(client, namespaces, PODS_LIMIT_MS, (ready, all) =>
      progress.step(`${ready} of ${all} pods with sidecars are ready`),
    );
    load = await LoadClient.find(client, sidecarNamespace('ai-clients'), 'load');
    await untilAnswered(load);
    progress.step('measuring behind sidecars');
    return await measureStage(
      { ...tools, load },
      { name: 'sidecars', seconds: plan.seconds, chains: plan.chains, proxies: ['envoy'], areConnectionsSeen: false },
    );
  } finally {
    load?.close();
    for (const name of namespaces) await removeNamespace(client, name);
    await Promise.all([tools.load.setRate(plan.rate), other.setRate(plan.otherRate)]);
    other.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** What a demo that was broken off has left. */
export const removeSidecars = async (client: KubeClient): Promise<void> => {
  for (const name of NAMESPACES) await removeNamespace(client, sidecarNamespace(name));
};

const removeNamespace = async (client: KubeClient, name: string): Promise<void> => {
  await client.delete(NAMESPACE_KIND, name, { propagationPolicy: 'Background' }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
};
