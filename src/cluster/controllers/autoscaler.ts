/**
 * HorizontalPodAutoscalers: keep a Deployment or ReplicaSet within their bounds. Metrics are not collected in this cluster, so nothing
 * is scaled by load, and the status says so.
 */
import {
  DeploymentKind,
  type HorizontalPodAutoscaler,
  HorizontalPodAutoscalerKind,
  objectKey,
  ReplicaSetKind,
} from '../../platform/kubernetes/index.ts';
import { timestamp, withTransitionTimes } from '../conditions.ts';
import { type ControllerContext, controllerQueue, enqueueAll, readFresh } from './context.ts';
import { canonicalJson } from './selectors.ts';

export function startAutoscalers(context: ControllerContext): void {
  const autoscalers = context.informer(HorizontalPodAutoscalerKind);
  const queue = controllerQueue(context, 'autoscaler', (namespace, name) => reconcile(context, namespace, name));
  enqueueAll(autoscalers, queue);
  const scaled = (kind: string) => (target: { metadata?: { namespace?: string; name?: string } }) => {
    for (const autoscaler of autoscalers.inNamespace(target.metadata?.namespace ?? 'default')) {
      const ref = autoscaler.spec?.scaleTargetRef;
      if (ref?.kind === kind && ref.name === target.metadata?.name) queue.add(objectKey(autoscaler));
    }
  };
  const deployment = scaled('Deployment');
  const set = scaled('ReplicaSet');
  context.informer(DeploymentKind).addHandlers({ onAdd: deployment, onUpdate: deployment, onDelete: deployment });
  context.informer(ReplicaSetKind).addHandlers({ onAdd: set, onUpdate: set, onDelete: set });
}

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<undefined> {
  const { client } = context;
  const autoscaler = await readFresh(client, HorizontalPodAutoscalerKind, namespace, name);
  if (autoscaler?.spec === undefined || autoscaler.metadata?.deletionTimestamp !== undefined) return;
  const { scaleTargetRef } = autoscaler.spec;
  const kind = scaleTargetRef.kind === 'Deployment' ? DeploymentKind : scaleTargetRef.kind === 'ReplicaSet' ? ReplicaSetKind : undefined;
  const target = kind === undefined ? undefined : await readFresh(client, kind, namespace, scaleTargetRef.name);
  const scale = target?.spec === undefined ? undefined : { wanted: target.spec.replicas ?? 1, present: target.status?.replicas ?? 0 };
  const status = autoscalerStatus(autoscaler, scale, Date.now());
  if (kind !== undefined && scale !== undefined && status.desiredReplicas !== scale.wanted)
    await client.patch(kind, scaleTargetRef.name, { spec: { replicas: status.desiredReplicas } }, { namespace });
  if (canonicalJson(status) !== canonicalJson(autoscaler.status ?? {}))
    await client.patchStatus(HorizontalPodAutoscalerKind, name, { status }, { namespace });
}

/** `autoscaling/v2` status; `scale` is undefined when the target is not there or cannot be scaled. A target of 0 is left alone. Pure. */
export function autoscalerStatus(
  autoscaler: HorizontalPodAutoscaler,
  scale: { readonly wanted: number; readonly present: number } | undefined,
  now: number,
): NonNullable<HorizontalPodAutoscaler['status']> & { desiredReplicas: number } {
  const { minReplicas = 1, maxReplicas = 1 } = autoscaler.spec ?? {};
  const wanted = scale?.wanted ?? 0;
  const desiredReplicas = wanted === 0 ? 0 : Math.min(maxReplicas, Math.max(minReplicas, wanted));
  const condition = (type: string, isTrue: boolean, reason: string, message: string) => ({
    type,
    status: isTrue ? 'True' : 'False',
    reason,
    message,
  });
  const conditions =
    scale === undefined
      ? [condition('AbleToScale', false, 'FailedGetScale', 'the target cannot be found or cannot be scaled')]
      : [
          condition('AbleToScale', true, 'SucceededGetScale', 'the target was found'),
          wanted === 0
            ? condition('ScalingActive', false, 'ScalingDisabled', 'scaling is disabled since the replica count of the target is zero')
            : condition('ScalingActive', false, 'FailedGetResourceMetric', 'this cluster collects no metrics: only the bounds are kept'),
          ...(desiredReplicas === wanted
            ? []
            : [
                condition(
                  'ScalingLimited',
                  true,
                  desiredReplicas > wanted ? 'TooFewReplicas' : 'TooManyReplicas',
                  'the replica count was outside of the bounds',
                ),
              ]),
        ];
  return {
    observedGeneration: autoscaler.metadata?.generation ?? 0,
    currentReplicas: scale?.present ?? 0,
    desiredReplicas,
    conditions: withTransitionTimes(conditions, autoscaler.status?.conditions, timestamp(now)),
  };
}
