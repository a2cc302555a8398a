/** Names that Istio and the Gateway API give to waypoints and what is generated for them (sections 7.1 and 9.1). */

/** Controller of waypoint classes and of what this control plane says in route statuses. */
export const MESH_CONTROLLER = 'istio.io/mesh-controller';
export const WAYPOINT_CLASS = 'istio-waypoint';
export const FIELD_MANAGER = 'istio.io/mesh-controller';

export const GATEWAY_CLASS_LABEL = 'gateway.networking.k8s.io/gateway-class-name';
export const MANAGED_LABEL = 'gateway.istio.io/managed';
export const MANAGED_VALUE = 'istio.io-mesh-controller';
export const NETWORK_LABEL = 'topology.istio.io/network';
/** On a ConfigMap of the root namespace: overlays for every Gateway of the class it names. */
export const CLASS_DEFAULTS_LABEL = 'gateway.istio.io/defaults-for-class';

export const SERVICE_ACCOUNT_ANNOTATION = 'gateway.istio.io/service-account';
export const NAME_OVERRIDE_ANNOTATION = 'gateway.istio.io/name-override';
export const CONTROLLER_VERSION_ANNOTATION = 'gateway.istio.io/controller-version';
export const SERVICE_TYPE_ANNOTATION = 'networking.istio.io/service-type';

/** A Gateway that a controller of a higher version manages is left alone. */
export const CONTROLLER_VERSION = 5;
