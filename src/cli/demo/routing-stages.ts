import type { KubeClient } from '../../platform/kubernetes/index.ts';
import type { PodView } from '../pods/choose.ts';
import { type Instruments, measureStage, measureTransition } from './measure.ts';
import { applyExample } from './pipeline.ts';
import type { Progress } from './progress.ts';
import { NEW_VERSION } from './promises.ts';
import { WaypointMetrics } from './proxy-metrics.ts';
import type { StageName, TransitionReport } from './report.ts';
import { bindNamespace, deployWaypoint, hasWeights, looksAt, removeVirtualService, untilRouted, untilThroughWaypoint } from './routing.ts';

/** One of so many requests asks for the new version in the stage `ab-header`. */
const ASKING_SHARE = 0.25;

export interface RoutingPlan {
  readonly seconds: { readonly waypoint: number; readonly split: number; readonly header: number; readonly shift: number };
  readonly chains: number;
  /** Epoch ms at which the stage before ended. */
  readonly before: number;
}

type Measured = Awaited<ReturnType<typeof measureStage>>;
type Keep = (measured: Measured) => { readonly from: number; readonly to: number };

/** Measures `waypoint`, `split-80-20`, `ab-header` and `shift-100`. The routes stay when it returns; `to` is the end of the last stage. */
export const measureRouting = async (
  client: KubeClient,
  proxies: readonly PodView[],
  tools: Instruments,
  { seconds, chains, before }: RoutingPlan,
  progress: Progress,
  keep: Keep,
): Promise<{ readonly transitions: readonly TransitionReport[]; readonly to: number }> => {
  const transitions: TransitionReport[] = [];
  let last: { readonly name: StageName; readonly to: number } = { name: 'deny', to: before };
  const measure = async (name: StageName, length: number, withChains = 0): Promise<void> => {
    const { from, to } = keep(await measureStage(routedTools, { name, seconds: length, chains: withChains }));
    transitions.push(await measureTransition(tools.load, `${last.name} to ${name}`, last.to, from));
    last = { name, to };
  };

  progress.step('deploying a waypoint for ai-inference, and labelling the namespace istio.io/use-waypoint=waypoint');
  const waypoints = await deployWaypoint(client);
  const metrics = new WaypointMetrics(client, waypoints);
  const routedTools: Instruments = { ...tools, waypointRequests: () => metrics.requests() };
  try {
    await bindNamespace(client, true);
    await untilThroughWaypoint(client, proxies, waypoints);
    progress.step(`measuring through the waypoint, ${waypoints.length} replicas`);
    await measure('waypoint', seconds.waypoint, chains);

    progress.step('splitting 80 to 20 between the models: canary-virtualservice.yaml and canary-destinationrule.yaml');
    await applyExample(client, 'canary-destinationrule.yaml', 'canary-virtualservice.yaml');
    await untilRouted(client, waypoints, 'the VirtualService', hasWeights(80, 20));
    await measure('split-80-20', seconds.split);

    progress.step(`A/B: every ${1 / ASKING_SHARE}th request asks for ${NEW_VERSION} by header: ab-header-virtualservice.yaml`);
    await applyExample(client, 'ab-header-virtualservice.yaml');
    await untilRouted(client, waypoints, 'the match on the header', looksAt('x-model-version'));
    await tools.load.ask(NEW_VERSION, ASKING_SHARE);
    await measure('ab-header', seconds.header);
    await tools.load.ask(NEW_VERSION, 0);

    progress.step(`shifting everything to ${NEW_VERSION}, now as a route of the Gateway API: shift-100-httproute.yaml`);
    await removeVirtualService(client);
    await applyExample(client, 'shift-100-httproute.yaml');
    await untilRouted(client, waypoints, 'the HTTPRoute', hasWeights(0, 100));
    await measure('shift-100', seconds.shift);
    return { transitions, to: last.to };
  } finally {
    metrics.close();
  }
};
