import { GATEWAY_NAME_LABEL, USE_WAYPOINT_LABEL, USE_WAYPOINT_NAMESPACE_LABEL, WAYPOINT_FOR_LABEL } from '../../mesh/compile/index.ts';
import { HBONE_PORT } from '../../mesh/index.ts';
import { apiVersionOf, defineResource, type KubeClient, type KubeObject } from '../../platform/kubernetes/index.ts';
import { CliError, EXIT } from '../exit.ts';

/** A status condition as the Gateway API writes it. */
export interface ConditionView {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

/** The parts of a Gateway these commands read. */
export interface GatewayView extends KubeObject {
  readonly spec?: { readonly gatewayClassName?: string };
  readonly status?: {
    readonly addresses?: readonly { readonly type?: string; readonly value: string }[];
    readonly conditions?: readonly ConditionView[];
  };
}

export const GATEWAYS = defineResource<GatewayView>('gateway.networking.k8s.io/v1', 'Gateway', 'gateways');
export const NAMESPACES = defineResource('v1', 'Namespace', 'namespaces', 'Cluster');
interface ServiceView extends KubeObject {
  readonly spec?: { readonly selector?: Readonly<Record<string, string>>; readonly ports?: readonly { readonly port: number }[] };
}
export const SERVICES = defineResource<ServiceView>('v1', 'Service', 'services');

export const WAYPOINT_CLASS = 'istio-waypoint';
/** The name a waypoint has when none is given: the one of Istio's tool. */
export const DEFAULT_NAME = 'waypoint';
export const REVISION_LABEL = 'istio.io/rev';
export const TRAFFIC_TYPES = ['service', 'workload', 'all', 'none'] as const;
export { GATEWAY_NAME_LABEL, USE_WAYPOINT_LABEL, USE_WAYPOINT_NAMESPACE_LABEL, WAYPOINT_FOR_LABEL };

export interface ManifestOptions {
  readonly name?: string;
  readonly for?: string;
  readonly revision?: string;
}

/** The Gateway that stands for a waypoint. Without `for` the class decides: `service`, unless the GatewayClass says otherwise. */
export const waypointManifest = (options: ManifestOptions, namespace: string | undefined): GatewayView => {
  const name = options.name === undefined || options.name === '' ? DEFAULT_NAME : options.name;
  if (name === 'none')
    throw new CliError(
      '--name none: "none" means "no waypoint" in the label istio.io/use-waypoint, so no waypoint can be called that',
      EXIT.usage,
      'Choose another name.',
    );
  if (options.for !== undefined && !TRAFFIC_TYPES.some((type) => type === options.for))
    throw new CliError(
      `--for ${options.for}: not a kind of traffic`,
      EXIT.usage,
      `Use one of ${TRAFFIC_TYPES.join(', ')}: traffic addressed to services, to pods directly, to both, or none yet.`,
    );
  const labels = {
    ...(options.for !== undefined && { [WAYPOINT_FOR_LABEL]: options.for }),
    ...(options.revision !== undefined && { [REVISION_LABEL]: options.revision }),
  };
  return {
    apiVersion: apiVersionOf(GATEWAYS),
    kind: 'Gateway',
    metadata: { name, ...(namespace !== undefined && { namespace }), ...(Object.keys(labels).length > 0 && { labels }) },
    spec: { gatewayClassName: WAYPOINT_CLASS, listeners: [{ name: 'mesh', port: HBONE_PORT, protocol: 'HBONE' }] },
  } as GatewayView; // the view reads less of the spec than is written
};

export const isWaypoint = (gateway: GatewayView): boolean => gateway.spec?.gatewayClassName === WAYPOINT_CLASS;

export const condition = (gateway: GatewayView, type: string): ConditionView | undefined =>
  gateway.status?.conditions?.find((one) => one.type === type);

/** Whether the control plane has deployed what the Gateway says now, and not only an older version of it. */
export const isProgrammed = (gateway: GatewayView): boolean => {
  const found = condition(gateway, 'Programmed');
  return found?.status === 'True' && (found.observedGeneration ?? 0) >= (gateway.metadata?.generation ?? 0);
};

/** The waypoints of a namespace, or of all, by namespace and name. */
export const listWaypoints = async (
  client: KubeClient,
  namespace: string | undefined,
  labelSelector?: string,
): Promise<readonly GatewayView[]> => {
  const { items } = await client.listAll(GATEWAYS, {
    ...(namespace !== undefined && { namespace }),
    ...(labelSelector !== undefined && { labelSelector }),
  });
  return items.filter(isWaypoint).sort((a, b) => (qualifiedName(a) < qualifiedName(b) ? -1 : 1));
};

/** `namespace/name`. */
export const qualifiedName = ({ metadata }: KubeObject): string => `${metadata?.namespace ?? ''}/${metadata?.name ?? ''}`;
