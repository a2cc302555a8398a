import {
  type GatewayClass,
  GatewayClassKind,
  type Informer,
  isAlreadyExists,
  isNotFound,
  type KubeClient,
} from '../../platform/kubernetes/index.ts';
import { stamped } from './gateway-status.ts';
import { MESH_CONTROLLER, WAYPOINT_CLASS } from './names.ts';

/** What is claimed for waypoints: feature names of the Gateway API, those of the mesh profiles included (GEP-2162). */
const FEATURES = [
  'GRPCRoute',
  'HTTPRoute',
  'HTTPRoute303RedirectStatusCode',
  'HTTPRoute307RedirectStatusCode',
  'HTTPRoute308RedirectStatusCode',
  'HTTPRouteBackendProtocolH2C',
  'HTTPRouteBackendProtocolWebSocket',
  'HTTPRouteBackendRequestHeaderModification',
  'HTTPRouteBackendTimeout',
  'HTTPRouteCORS',
  'HTTPRouteDestinationPortMatching',
  'HTTPRouteHostRewrite',
  'HTTPRouteMethodMatching',
  'HTTPRouteNamedRouteRule',
  'HTTPRouteParentRefPort',
  'HTTPRoutePathRedirect',
  'HTTPRoutePathRewrite',
  'HTTPRoutePortRedirect',
  'HTTPRouteQueryParamMatching',
  'HTTPRouteRequestMirror',
  'HTTPRouteRequestMultipleMirrors',
  'HTTPRouteRequestPercentageMirror',
  'HTTPRouteRequestTimeout',
  'HTTPRouteResponseHeaderModification',
  'HTTPRouteRetry',
  'HTTPRouteRetryBackendTimeout',
  'HTTPRouteRetryConnectionError',
  'HTTPRouteSchemeRedirect',
  'Mesh',
  'MeshClusterIPMatching',
  'MeshConsumerRoute',
  'MeshHTTPRouteBackendRequestHeaderModification',
  'MeshHTTPRouteNamedRouteRule',
  'MeshHTTPRouteQueryParamMatching',
  'MeshHTTPRouteRedirectPath',
  'MeshHTTPRouteRedirectPort',
  'MeshHTTPRouteRewritePath',
  'MeshHTTPRouteSchemeRedirect',
  'ReferenceGrant',
];

export const isWaypointClass = (gatewayClass: GatewayClass | undefined): boolean => gatewayClass?.spec.controllerName === MESH_CONTROLLER;

/** Makes the waypoint class where it is missing and accepts every class that names us as its controller. */
export async function maintainClasses(client: KubeClient, classes: Informer<GatewayClass>, now: string): Promise<void> {
  if (classes.get('', WAYPOINT_CLASS) === undefined) {
    try {
      await client.create<GatewayClass>(GatewayClassKind, {
        metadata: { name: WAYPOINT_CLASS },
        spec: { controllerName: MESH_CONTROLLER, description: 'Waypoints: request routing for services of the mesh' },
      });
    } catch (error) {
      // Not installed in this cluster, or made by another replica meanwhile: the watch shows the truth.
      if (!isNotFound(error) && !isAlreadyExists(error)) throw error;
    }
  }
  for (const gatewayClass of classes.all()) {
    if (!isWaypointClass(gatewayClass)) continue;
    const { metadata, status } = gatewayClass;
    const accepted = { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'Gateways of this class become waypoints' };
    const next = {
      conditions: stamped([accepted], status?.conditions, metadata.generation ?? 0, now),
      supportedFeatures: FEATURES.map((name) => ({ name })),
    };
    if (Bun.deepEquals(next, { conditions: status?.conditions, supportedFeatures: status?.supportedFeatures })) continue;
    await client.patchStatus(GatewayClassKind, metadata.name ?? '', { status: next });
  }
}
