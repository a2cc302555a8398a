import type {
  Deployment,
  Gateway,
  HorizontalPodAutoscaler,
  KubeObject,
  OwnerReference,
  PodDisruptionBudget,
  Service,
  ServiceAccount,
} from '../../platform/kubernetes/index.ts';
import { GATEWAY_NAME_LABEL, HBONE_PORT } from '../wire.ts';
import {
  GATEWAY_CLASS_LABEL,
  MANAGED_LABEL,
  MANAGED_VALUE,
  NAME_OVERRIDE_ANNOTATION,
  NETWORK_LABEL,
  SERVICE_ACCOUNT_ANNOTATION,
  SERVICE_TYPE_ANNOTATION,
} from './names.ts';
import { type InfrastructureContext, podTemplate, STATUS_PORT } from './pod-template.ts';

/** The objects of one waypoint, before overlays. All carry the Gateway as their owner, so that the garbage collector removes them with it. */
export interface Infrastructure {
  readonly serviceAccount: ServiceAccount;
  readonly deployment: Deployment;
  readonly service: Service;
  readonly horizontalPodAutoscaler: HorizontalPodAutoscaler;
  readonly podDisruptionBudget: PodDisruptionBudget;
}

export const DEFAULT_REPLICAS = 2;
const MOST_REPLICAS = 5;
/** Percent of the requested CPU at which a replica is added. */
const CPU_TARGET = 80;

/** The name of what is generated: the Gateway's own, unless its annotation says otherwise. */
export const infrastructureName = (gateway: Gateway): string =>
  gateway.metadata.annotations?.[NAME_OVERRIDE_ANNOTATION] || (gateway.metadata.name ?? '');

export const waypointHostname = (gateway: Gateway, clusterDomain: string): string =>
  `${infrastructureName(gateway)}.${gateway.metadata.namespace ?? ''}.svc.${clusterDomain}`;

/** Everything a Gateway of the waypoint class needs to run, as objects to apply. */
export function waypointInfrastructure(gateway: Gateway, context: InfrastructureContext): Infrastructure {
  const name = infrastructureName(gateway);
  const account = gateway.metadata.annotations?.[SERVICE_ACCOUNT_ANNOTATION] || name;
  const network = gateway.metadata.labels?.[NETWORK_LABEL] ?? context.network;
  const { labels, annotations } = inherited(gateway);
  const marks = {
    ...labels,
    [GATEWAY_NAME_LABEL]: gateway.metadata.name ?? '',
    [GATEWAY_CLASS_LABEL]: gateway.spec.gatewayClassName,
    [MANAGED_LABEL]: MANAGED_VALUE,
  };
  const selector = { matchLabels: { [GATEWAY_NAME_LABEL]: gateway.metadata.name ?? '' } };
  const meta = (own: string, extra: Record<string, string> = {}) => ({
    name: own,
    namespace: gateway.metadata.namespace ?? '',
    labels: marks,
    annotations: { ...annotations, ...extra },
    ownerReferences: [ownerOf(gateway)],
  });
  return {
    serviceAccount: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta(account) },
    deployment: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: meta(name),
      spec: {
        replicas: DEFAULT_REPLICAS,
        selector,
        // Clients hold long streams: a replica goes only once its successor takes connections.
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        template: podTemplate({ name, account, network, labels: marks, annotations, selector, context }),
      },
    },
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(name, { 'networking.istio.io/traffic-distribution': 'PreferClose' }),
      spec: {
        type: gateway.metadata.annotations?.[SERVICE_TYPE_ANNOTATION] || 'ClusterIP',
        selector: selector.matchLabels,
        ports: [
          { name: 'status-port', port: STATUS_PORT, protocol: 'TCP', targetPort: STATUS_PORT },
          { name: 'mesh', port: HBONE_PORT, protocol: 'TCP', targetPort: HBONE_PORT, appProtocol: 'hbone' },
        ],
      },
    },
    horizontalPodAutoscaler: {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: meta(name),
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
        minReplicas: DEFAULT_REPLICAS,
        maxReplicas: MOST_REPLICAS,
        metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: CPU_TARGET } } }],
      },
    },
    podDisruptionBudget: {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: meta(name),
      spec: { maxUnavailable: 1, selector },
    },
  };
}

export function ownerOf(gateway: Gateway): OwnerReference {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    name: gateway.metadata.name ?? '',
    uid: gateway.metadata.uid ?? '',
  };
}

export const isOwnedBy = (object: KubeObject, gateway: Gateway): boolean =>
  object.metadata?.ownerReferences?.some((owner) => owner.kind === 'Gateway' && owner.uid === gateway.metadata.uid) === true;

/** `spec.infrastructure` says what to copy; without it the Gateway's own labels and annotations are, as in Istio, except what only it is to have. */
function inherited(gateway: Gateway): { labels: Record<string, string>; annotations: Record<string, string> } {
  const { infrastructure } = gateway.spec;
  if (infrastructure !== undefined) return { labels: infrastructure.labels ?? {}, annotations: infrastructure.annotations ?? {} };
  return { labels: withoutOwn(gateway.metadata.labels), annotations: withoutOwn(gateway.metadata.annotations) };
}

const OWN =
  /^(kubectl\.kubernetes\.io\/|gateway\.istio\.io\/|gateway\.networking\.k8s\.io\/|networking\.istio\.io\/service-type$|istio\.io\/use-waypoint)/;
const withoutOwn = (all: Readonly<Record<string, string>> | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(all ?? {}).filter(([key]) => !OWN.test(key)));
