/** Which waypoint an object uses, and the status that says so (section 7.2). */
import { canonicalIp } from './ip.ts';
import type { GatewayAddress } from './model.ts';
import { type Condition, labelsMatch, type ObjectMeta } from './object.ts';
import { HBONE_PORT } from './resolve.ts';

export const USE_WAYPOINT_LABEL = 'istio.io/use-waypoint';
export const USE_WAYPOINT_NAMESPACE_LABEL = 'istio.io/use-waypoint-namespace';
export const WAYPOINT_FOR_LABEL = 'istio.io/waypoint-for';
export const GATEWAY_NAME_LABEL = 'gateway.networking.k8s.io/gateway-name';
export const WAYPOINT_BOUND = 'istio.io/WaypointBound';

interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | undefined;
  readonly matchExpressions?:
    | readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] | undefined }[]
    | undefined;
}

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
  /** Absent when no waypoint is asked for. */
  readonly condition?: Condition;
}

const unbound = (reason: string, message: string): WaypointBinding => ({
  condition: { type: WAYPOINT_BOUND, status: 'False', reason, message },
});

/** `kind` is what is bound: Services and ServiceEntries, or pods and WorkloadEntries. `namespace` is the object's own. */
export const bindWaypoint = (
  kind: 'service' | 'workload',
  object: { readonly metadata: ObjectMeta; readonly visibility?: 'PUBLIC' | 'NAMESPACE' },
  namespace: { readonly metadata: ObjectMeta } | undefined,
  lookup: WaypointLookup,
): WaypointBinding => {
  // A waypoint does not stand behind a waypoint.
  if (kind === 'workload' && object.metadata.labels?.[GATEWAY_NAME_LABEL] !== undefined) return {};
  const labels = [object.metadata.labels, namespace?.metadata.labels].find((some) => some?.[USE_WAYPOINT_LABEL] !== undefined);
  const name = labels?.[USE_WAYPOINT_LABEL];
  if (labels === undefined || name === undefined || name === 'none') return {};
  const home = object.metadata.namespace ?? '';
  const gatewayNamespace = labels[USE_WAYPOINT_NAMESPACE_LABEL] ?? home;
  const title = `waypoint ${gatewayNamespace}/${name}`;
  if (object.visibility === 'NAMESPACE' && gatewayNamespace !== home) {
    return unbound('CrossNamespaceWaypointForbidden', `${title} is in another namespace, but the object is visible only in its own`);
  }
  const gateway = lookup.gateway(gatewayNamespace, name);
  if (gateway === undefined) return unbound('WaypointMissing', `${title} does not exist; create the Gateway or remove the label`);
  const listener = gateway.spec.listeners.find(({ port, protocol }) => port === HBONE_PORT && protocol === 'HBONE');
  if (listener === undefined && !lookup.isWaypointClass(gateway.spec.gatewayClassName)) {
    return unbound(
      'NotAWaypoint',
      `Gateway ${gatewayNamespace}/${name} has no HBONE listener on port ${HBONE_PORT} and is of no waypoint class`,
    );
  }
  const serves = gateway.metadata.labels?.[WAYPOINT_FOR_LABEL] ?? lookup.classWaypointFor(gateway.spec.gatewayClassName) ?? 'service';
  if (serves !== 'all' && serves !== kind) {
    return unbound('WaypointTypeMismatch', `${title} serves "${serves}" (label ${WAYPOINT_FOR_LABEL}), not ${kind}s`);
  }
  if (gatewayNamespace !== home && !admits((listener ?? gateway.spec.listeners[0])?.allowedRoutes?.namespaces, namespace)) {
    return unbound('NotAllowedByListener', `${title} does not admit namespace ${home}; see allowedRoutes of its listener`);
  }
  const waypoint = addressOf(gateway, gatewayNamespace, lookup.network);
  if (waypoint === undefined) return unbound('WaypointNotReady', `${title} has no address yet`);
  return {
    waypoint,
    condition: { type: WAYPOINT_BOUND, status: 'True', reason: 'WaypointAccepted', message: `bound to ${title}` },
  };
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

const selectorMatches = (selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean =>
  labelsMatch(selector.matchLabels ?? {}, labels) &&
  (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false; // an operator nobody knows admits nobody
    }
  });
