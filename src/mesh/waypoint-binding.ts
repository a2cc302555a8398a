/** Which waypoint an object uses, and the status that says so (section 7.2). */
import { canonicalIp } from './ip.ts';
import { type LabelSelector, selectorMatches } from './label-selector.ts';
import type { GatewayAddress } from './model.ts';
import type { Condition, ObjectMeta } from './object.ts';
import { HBONE_PORT } from './resolve.ts';

export const USE_WAYPOINT_LABEL = 'istio.io/use-waypoint';
export const USE_WAYPOINT_NAMESPACE_LABEL = 'istio.io/use-waypoint-namespace';
export const USE_WAYPOINT_CANARY_LABEL = 'istio.io/use-waypoint-canary';
export const USE_WAYPOINT_CANARY_NAMESPACE_LABEL = 'istio.io/use-waypoint-canary-namespace';
/** Annotation: percent of connections that go to the canary, 0 to 100. */
export const USE_WAYPOINT_CANARY_WEIGHT = 'istio.io/use-waypoint-canary-weight';
export const WAYPOINT_FOR_LABEL = 'istio.io/waypoint-for';
export const GATEWAY_NAME_LABEL = 'gateway.networking.k8s.io/gateway-name';
export const WAYPOINT_BOUND = 'istio.io/WaypointBound';

export interface WaypointGateway {
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly gatewayClassName: string;
    readonly listeners: readonly {
      readonly port: number;
      readonly protocol: string;
      readonly allowedRoutes?:
        | { readonly namespaces?: { readonly from?: string | undefined; readonly selector?: LabelSelector | undefined } | undefined }
        | undefined;
    }[];
  };
  readonly status?:
    | { readonly addresses?: readonly { readonly type?: string | undefined; readonly value: string }[] | undefined }
    | undefined;
}

/** What the decision looks up. */
export interface WaypointLookup {
  gateway(namespace: string, name: string): WaypointGateway | undefined;
  /** `istio.io/waypoint-for` of a GatewayClass. */
  classWaypointFor(gatewayClassName: string): string | undefined;
  isWaypointClass(gatewayClassName: string): boolean;
  /** The network waypoint addresses are in. */
  readonly network: string;
}

export interface WaypointBinding {
  readonly waypoint?: GatewayAddress;
  /** With a canary: both waypoints and their shares. `waypoint` is the primary one then. */
  readonly weightedWaypoints?: readonly { readonly destination: GatewayAddress; readonly weight: number }[];
  /** `namespace/name` of the Gateways behind `waypoint` and the canary. */
  readonly gateways?: readonly string[];
  /** Absent when no waypoint is asked for. */
  readonly condition?: Condition;
}

type Bound = { readonly isBound: true; readonly address: GatewayAddress } | { readonly isBound: false; readonly condition: Condition };
type Labelled = { readonly metadata: ObjectMeta; readonly visibility?: 'PUBLIC' | 'NAMESPACE' };

const unbound = (reason: string, message: string): Bound => ({
  isBound: false,
  condition: { type: WAYPOINT_BOUND, status: 'False', reason, message },
});

/** The object itself or its namespace, whichever says which waypoint to use. */
const asker = (
  object: { readonly metadata: ObjectMeta },
  namespace: { readonly metadata: ObjectMeta } | undefined,
): ObjectMeta | undefined => [object.metadata, namespace?.metadata].find((some) => some?.labels?.[USE_WAYPOINT_LABEL] !== undefined);

/** The Gateways (`namespace/name`) an object asks for, whether or not they are there: what its binding depends on. */
export const askedWaypoints = (
  object: { readonly metadata: ObjectMeta },
  namespace: { readonly metadata: ObjectMeta } | undefined,
): readonly string[] => {
  const labels = asker(object, namespace)?.labels ?? {};
  const home = object.metadata.namespace ?? '';
  const [name, canary] = [labels[USE_WAYPOINT_LABEL], labels[USE_WAYPOINT_CANARY_LABEL]];
  if (name === undefined || name === 'none') return [];
  const primary = `${labels[USE_WAYPOINT_NAMESPACE_LABEL] ?? home}/${name}`;
  return canary === undefined ? [primary] : [primary, `${labels[USE_WAYPOINT_CANARY_NAMESPACE_LABEL] ?? home}/${canary}`];
};

/** `kind` is what is bound: Services and ServiceEntries, or pods and WorkloadEntries. `namespace` is the object's own. */
export const bindWaypoint = (
  kind: 'service' | 'workload',
  object: Labelled,
  namespace: { readonly metadata: ObjectMeta } | undefined,
  lookup: WaypointLookup,
): WaypointBinding => {
  // A waypoint does not stand behind a waypoint.
  if (kind === 'workload' && object.metadata.labels?.[GATEWAY_NAME_LABEL] !== undefined) return {};
  const [primary, canary] = askedWaypoints(object, namespace);
  if (primary === undefined) return {};
  const bound = bindOne(kind, object, namespace, lookup, primary);
  if (!bound.isBound) return { condition: bound.condition };
  const binding = { waypoint: bound.address, gateways: [primary] };
  const accepted = (message: string): Condition => ({ type: WAYPOINT_BOUND, status: 'True', reason: 'WaypointAccepted', message });
  if (canary === undefined || kind === 'workload') return { ...binding, condition: accepted(`bound to waypoint ${primary}`) };
  const second = bindOne(kind, object, namespace, lookup, canary);
  const text = asker(object, namespace)?.annotations?.[USE_WAYPOINT_CANARY_WEIGHT] ?? '0';
  const weight = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  const alone = (why: string) => ({ ...binding, condition: accepted(`bound to waypoint ${primary} alone: ${why}`) });
  if (!second.isBound) return alone(`canary ${second.condition.message}`);
  if (!(weight <= 100)) return alone(`annotation ${USE_WAYPOINT_CANARY_WEIGHT} is "${text}", not a number from 0 to 100`);
  return {
    ...binding,
    gateways: [primary, canary],
    weightedWaypoints: [
      { destination: bound.address, weight: 100 - weight },
      { destination: second.address, weight },
    ],
    condition: accepted(`bound to waypoint ${primary}, ${weight} % to its canary ${canary}`),
  };
};

const bindOne = (
  kind: 'service' | 'workload',
  object: Labelled,
  namespace: { readonly metadata: ObjectMeta } | undefined,
  lookup: WaypointLookup,
  key: string,
): Bound => {
  const slash = key.indexOf('/');
  const gatewayNamespace = key.slice(0, slash);
  const home = object.metadata.namespace ?? '';
  const title = `waypoint ${key}`;
  if (object.visibility === 'NAMESPACE' && gatewayNamespace !== home) {
    return unbound('CrossNamespaceWaypointForbidden', `${title} is in another namespace, but the object is visible only in its own`);
  }
  const gateway = lookup.gateway(gatewayNamespace, key.slice(slash + 1));
  if (gateway === undefined) return unbound('WaypointMissing', `${title} does not exist; create the Gateway or remove the label`);
  const listener = gateway.spec.listeners.find(({ port, protocol }) => port === HBONE_PORT && protocol === 'HBONE');
  if (listener === undefined && !lookup.isWaypointClass(gateway.spec.gatewayClassName)) {
    return unbound('NotAWaypoint', `Gateway ${key} has no HBONE listener on port ${HBONE_PORT} and is of no waypoint class`);
  }
  const serves = gateway.metadata.labels?.[WAYPOINT_FOR_LABEL] ?? lookup.classWaypointFor(gateway.spec.gatewayClassName) ?? 'service';
  if (serves !== 'all' && serves !== kind) {
    return unbound('WaypointTypeMismatch', `${title} serves "${serves}" (label ${WAYPOINT_FOR_LABEL}), not ${kind}s`);
  }
  if (gatewayNamespace !== home && !admits((listener ?? gateway.spec.listeners[0])?.allowedRoutes?.namespaces, namespace)) {
    return unbound('NotAllowedByListener', `${title} does not admit namespace ${home}; see allowedRoutes of its listener`);
  }
  const address = addressOf(gateway, gatewayNamespace, lookup.network);
  return address === undefined ? unbound('WaypointNotReady', `${title} has no address yet`) : { isBound: true, address };
};

/** A hostname is preferred to an address: it survives the waypoint's Service getting another IP. */
const addressOf = ({ status }: WaypointGateway, namespace: string, network: string): GatewayAddress | undefined => {
  const addresses = status?.addresses ?? [];
  const named = addresses.find(({ type }) => type === 'Hostname');
  if (named !== undefined) {
    return { destination: { kind: 'hostname', value: { namespace, hostname: named.value } }, hboneMtlsPort: HBONE_PORT };
  }
  const address = addresses.flatMap(({ type, value }) => (type === 'Hostname' ? [] : (canonicalIp(value) ?? [])))[0];
  return address === undefined ? undefined : { destination: { kind: 'address', value: { network, address } }, hboneMtlsPort: HBONE_PORT };
};

type Allowed = { readonly from?: string | undefined; readonly selector?: LabelSelector | undefined } | undefined;

const admits = (allowed: Allowed, namespace: { readonly metadata: ObjectMeta } | undefined): boolean => {
  if (allowed?.from === 'All') return true;
  if (allowed?.from !== 'Selector' || allowed.selector === undefined) return false;
  return selectorMatches(allowed.selector, namespace?.metadata.labels ?? {});
};
