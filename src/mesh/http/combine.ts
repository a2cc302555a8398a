/** One plan for a service from what both families of routing objects say about it. */
import type { BackendPolicy, PortPlan, ServicePlan, Subset } from './plan.ts';

/** What VirtualServices and DestinationRules say about a service. */
export interface IstioPlan {
  readonly ports: readonly PortPlan[];
  readonly policy?: BackendPolicy;
  readonly subsets?: readonly Subset[];
}

/** Objects of both families want the traffic of one port (0: of all ports). Objects as `Kind namespace/name`. */
export interface PlanConflict {
  /** `namespace/hostname`. */
  readonly service: string;
  readonly port: number;
  readonly winner: string;
  readonly loser: string;
  /** For the status of both. */
  readonly message: string;
}

export interface CombinedPlan {
  readonly plan: ServicePlan;
  readonly conflicts: readonly PlanConflict[];
}

/** The objects an entry was made of, by the names of its rules: `HTTPRoute/default/reviews/0` comes from `HTTPRoute default/reviews`. */
const sourcesOf = ({ http, consumers = [], tls = [], tcp = [] }: PortPlan): readonly string[] => {
  const tables = [...(http === undefined ? [] : [http]), ...consumers.map((consumer) => consumer.http)];
  const names = [...tables.flatMap(({ actions }) => actions), ...tls, ...tcp].map(({ name }) => {
    const [kind, namespace, object] = name.split('/');
    return `${kind} ${namespace}/${object}`;
  });
  return [...new Set(names)];
};

/** Whether the entry says something for every client, not only for those of some namespaces. */
const isForAll = ({ http, tls = [], tcp = [] }: PortPlan): boolean =>
  http !== undefined || [...tls, ...tcp].some(({ sourceNamespace }) => sourceNamespace === undefined);

/** Consumer routes beside what VirtualServices say for everybody else. */
const withConsumers = (port: number, routes: PortPlan, istio: PortPlan): PortPlan => {
  const namespaces = new Set((routes.consumers ?? []).map(({ namespace }) => namespace));
  const consumers = [...(routes.consumers ?? []), ...(istio.consumers ?? []).filter(({ namespace }) => !namespaces.has(namespace))];
  const tls = [...(routes.tls ?? []), ...(istio.tls ?? [])];
  const tcp = [...(routes.tcp ?? []), ...(istio.tcp ?? [])];
  return {
    port,
    ...(istio.http !== undefined && { http: istio.http }),
    ...(consumers.length > 0 && { consumers: consumers.sort((a, b) => (a.namespace < b.namespace ? -1 : 1)) }),
    ...(tls.length > 0 && { tls }),
    ...(tcp.length > 0 && { tcp }),
  };
};

const conflictsAt = (service: string, port: number, routes: PortPlan, istio: PortPlan): PlanConflict[] =>
  sourcesOf(routes).flatMap((winner) =>
    sourcesOf(istio).map((loser) => ({
      service,
      port,
      winner,
      loser,
      message: `${winner} and ${loser} both route ${service}${port === 0 ? '' : ` port ${port}`}; the former is in force, the latter is not`,
    })),
  );

/**
 * A port that a Gateway API route serves is the route's, whole: VirtualServices are not in force on it, and the conflict goes on both objects. Consumer
 * routes take only their clients. Policies and subsets of DestinationRules are about the service as a destination and always count.
 */
export const combinePlans = (serviceKey: string, fromGatewayApi: readonly PortPlan[], fromIstio: IstioPlan): CombinedPlan => {
  const routes = new Map(fromGatewayApi.map((entry) => [entry.port, entry]));
  const istio = new Map(fromIstio.ports.map((entry) => [entry.port, entry]));
  const conflicts: PlanConflict[] = [];
  const ports = [...new Set([...routes.keys(), ...istio.keys()])].sort((a, b) => a - b);
  const combined = ports.flatMap((port): PortPlan[] => {
    // Port 0 stands for a port that has no entry of its own, in either of the two.
    const [route, virtualService] = [routes.get(port) ?? routes.get(0), istio.get(port) ?? istio.get(0)];
    if (route === undefined) return virtualService === undefined ? [] : [{ ...virtualService, port }];
    if (virtualService === undefined) return [{ ...route, port }];
    if (!isForAll(route)) return [withConsumers(port, route, virtualService)];
    conflicts.push(...conflictsAt(serviceKey, port, route, virtualService));
    return [{ ...route, port }];
  });
  return {
    plan: {
      service: serviceKey,
      ports: combined,
      ...(fromIstio.policy !== undefined && { policy: fromIstio.policy }),
      ...(fromIstio.subsets !== undefined && { subsets: fromIstio.subsets }),
    },
    conflicts,
  };
};
