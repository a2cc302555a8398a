import {
  type ConfigMap,
  ConfigMapKind,
  type Deployment,
  type Gateway,
  type GatewayClass,
  type Informer,
  type KubeClient,
  type KubeObject,
  objectKey,
  type Pod,
  type Resource,
} from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { GATEWAY_NAME_LABEL } from '../wire.ts';
import { WaypointDeployer } from './deployer.ts';
import { CLASS_DEFAULTS_LABEL, MANAGED_LABEL, MANAGED_VALUE } from './names.ts';
import { GENERATED_KEYS, GENERATED_KINDS, type GeneratedKey } from './overlay.ts';
import { ParameterMaps } from './parameters.ts';
import type { InfrastructureContext } from './pod-template.ts';

export interface WaypointWatches {
  readonly client: KubeClient;
  readonly context: InfrastructureContext;
  readonly gateways: Informer<Gateway>;
  readonly classes: Informer<GatewayClass>;
  readonly pods: Informer<Pod>;
  readonly signal: AbortSignal;
  /** Makes an informer that starts and is waited for with the others. */
  readonly informer: <T extends KubeObject>(
    resource: Resource<T>,
    transform: (object: T) => T,
    scope: { namespace?: string; labelSelector?: string },
  ) => Informer<T>;
  readonly attachedRoutes: (gateway: string) => number;
  readonly log: Logger;
}

/** The deployer of waypoints with everything it has to hear of. */
export function watchWaypoints({ informer, ...watches }: WaypointWatches): WaypointDeployer {
  const { client, gateways, classes, pods, signal } = watches;
  const changed = (key: string) => deployer.request(key);
  const generated = Object.fromEntries(
    GENERATED_KEYS.map((key) => [
      key,
      informer<KubeObject>(GENERATED_KINDS[key], slimGenerated, { labelSelector: `${MANAGED_LABEL}=${MANAGED_VALUE}` }),
    ]),
  ) as Record<GeneratedKey, Informer<KubeObject>>; // one for each key
  const classDefaults = informer<ConfigMap>(ConfigMapKind, (map) => map, {
    namespace: watches.context.rootNamespace,
    labelSelector: CLASS_DEFAULTS_LABEL,
  });
  const deployer = new WaypointDeployer({
    ...watches,
    generated,
    classDefaults,
    parameters: new ParameterMaps(client, signal, changed),
    readyReplicas: (namespace, gateway) => {
      let count = 0;
      for (const pod of pods.inNamespace(namespace)) if (pod.metadata.labels?.[GATEWAY_NAME_LABEL] === gateway && isReady(pod)) count++;
      return count;
    },
  });
  const all = () => deployer.requestAll();
  classDefaults.addHandlers({ onAdd: all, onUpdate: all, onDelete: all });
  const gateway = (object: Gateway) => changed(objectKey(object));
  gateways.addHandlers({ onAdd: gateway, onUpdate: gateway, onDelete: gateway });
  const classes_ = () => deployer.classesChanged();
  classes.addHandlers({ onAdd: classes_, onUpdate: classes_, onDelete: classes_ });
  const owner = (object: KubeObject) => {
    const name = object.metadata?.labels?.[GATEWAY_NAME_LABEL];
    if (name !== undefined) changed(`${object.metadata?.namespace}/${name}`);
  };
  for (const key of GENERATED_KEYS) {
    generated[key].addHandlers({
      onAdd: owner,
      onUpdate: (object, before) => {
        if (object.metadata?.generation !== before.metadata?.generation) owner(object);
      },
      onDelete: owner,
    });
  }
  pods.addHandlers({
    onAdd: owner,
    onUpdate: (pod, before) => {
      if (isReady(pod) !== isReady(before)) owner(pod);
    },
    onDelete: owner,
  });
  return deployer;
}

const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** Whose it is, whether it changed, and how many replicas somebody asked for. */
function slimGenerated(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata ?? {};
  const replicas = (object as Deployment).spec?.replicas; // absent in all other kinds
  return { metadata, ...(typeof replicas === 'number' && { spec: { replicas } }) } as KubeObject; // `spec` as in a Deployment
}
