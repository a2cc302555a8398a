/** Which endpoints are preferred by where they are: the Service's traffic distribution, or DestinationRule `localityLbSetting`, which goes before it. */
import { rankEndpoint } from '../load-balance.ts';
import type { Locality, Service, Workload } from '../model.ts';
import type { EndpointState } from './endpoint-state.ts';
import type { BackendPolicy, LocalityPolicy } from './plan.ts';

/** Endpoints that are preferred alike. */
export interface EndpointGroup {
  /** 0 first; the next one takes what the ones before cannot. */
  readonly priority: number;
  /** Share of the traffic within the priority. */
  readonly weight: number;
  readonly endpoints: readonly EndpointState[];
}

/** `region/zone/subzone`; `*` stands for any, as does what is missing at the end (Istio `LocalityMatch`). */
const localityMatches = (pattern: string, { region, zone, subzone }: Locality): boolean => {
  const [wantedRegion = '', wantedZone = '', wantedSubzone = ''] = pattern.split('/');
  const fits = (wanted: string, value: string): boolean => wanted === '*' || wanted === value;
  return (
    fits(wantedRegion, region) && (wantedZone === '' || fits(wantedZone, zone)) && (wantedSubzone === '' || fits(wantedSubzone, subzone))
  );
};

/** The labels of an endpoint that a workload's description has; of any other both sides count as unlabelled. */
const labelOf = ({ locality, network, clusterId, node }: Workload, label: string): string => {
  switch (label) {
    case 'topology.kubernetes.io/region':
      return locality.region;
    case 'topology.kubernetes.io/zone':
      return locality.zone;
    case 'topology.istio.io/subzone':
      return locality.subzone;
    case 'topology.istio.io/network':
      return network;
    case 'topology.istio.io/cluster':
      return clusterId;
    case 'kubernetes.io/hostname':
      return node;
    default:
      return '';
  }
};

/** Istio's `failoverPriority`: the more labels in a row agree, the better; a network that differs in front is a whole length worse, not the end. */
const labelPriority = (labels: readonly string[], source: Workload, candidate: Workload): number => {
  let penalty = 0;
  for (const [index, entry] of labels.entries()) {
    const [label = '', value] = entry.split('=');
    if ((value ?? labelOf(source, label)) === labelOf(candidate, label)) continue;
    if (index === 0 && label === 'topology.istio.io/network') penalty = labels.length;
    else return penalty + labels.length - index;
  }
  return penalty;
};

/** Istio's `failover`: 0 same subzone, 1 same zone, 2 same region, 3 another region, 4 one that traffic is not to fail over to first. */
const regionPriority = (failover: LocalityPolicy['failover'], source: Locality, candidate: Locality): number => {
  if (source.region !== candidate.region) {
    const rule = failover?.find(({ from }) => from === source.region);
    return rule !== undefined && rule.to !== candidate.region ? 4 : 3;
  }
  if (source.zone !== candidate.zone) return 2;
  return source.subzone === candidate.subzone ? 0 : 1;
};
const REGION_PRIORITIES = 5;

const failoverPriority = ({ failoverPriority: labels, failover }: LocalityPolicy, source: Workload, candidate: Workload): number => {
  if (!labels?.length) return regionPriority(failover, source.locality, candidate.locality);
  const byLabel = labelPriority(labels, source, candidate);
  return failover?.length ? byLabel * REGION_PRIORITIES + regionPriority(failover, source.locality, candidate.locality) : byLabel;
};

const byPriority = (endpoints: readonly EndpointState[], priorityOf: (endpoint: EndpointState) => number): EndpointGroup[] => {
  const groups = new Map<number, EndpointState[]>();
  for (const endpoint of endpoints) {
    const priority = priorityOf(endpoint);
    const group = groups.get(priority);
    if (group === undefined) groups.set(priority, [endpoint]);
    else group.push(endpoint);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, members], priority) => ({ priority, weight: 1, endpoints: members }));
};

/** Endpoints that no `to` names get nothing; one that several name belongs to the first. */
const distributed = (
  to: readonly { readonly locality: string; readonly weight: number }[],
  endpoints: readonly EndpointState[],
): EndpointGroup[] => {
  const members = to.map((): EndpointState[] => []);
  for (const endpoint of endpoints) {
    const index = to.findIndex(({ locality }) => localityMatches(locality, endpoint.workload.locality));
    if (index >= 0) members[index]!.push(endpoint);
  }
  return members
    .map((group, i) => ({ priority: 0, weight: to[i]!.weight, endpoints: group }))
    .filter(({ endpoints: { length } }) => length > 0);
};

const everything = (endpoints: readonly EndpointState[]): EndpointGroup[] =>
  endpoints.length === 0 ? [] : [{ priority: 0, weight: 1, endpoints }];

/** Istio's default: locality counts as soon as outlier detection can tell that a nearer endpoint fails. */
const MESH_DEFAULT: LocalityPolicy = { isEnabled: true };

/** `source` is the waypoint's own workload; unknown: everything is alike. */
export const groupEndpoints = (
  endpoints: readonly EndpointState[],
  { locality, outlier }: BackendPolicy,
  { loadBalancing }: Pick<Service, 'loadBalancing'>,
  source: Workload | undefined,
): readonly EndpointGroup[] => {
  if (source === undefined || (locality !== undefined && !locality.isEnabled)) return everything(endpoints);
  if (locality === undefined && (loadBalancing?.mode === 'STRICT' || loadBalancing?.mode === 'FAILOVER')) {
    const { routingPreference, mode } = loadBalancing;
    const rankOf = ({ workload }: EndpointState): number => rankEndpoint(routingPreference, mode === 'STRICT', source, workload);
    const fit = mode === 'STRICT' ? endpoints.filter((endpoint) => rankOf(endpoint) >= 0) : endpoints;
    return byPriority(fit, (endpoint) => -rankOf(endpoint));
  }
  const setting = locality ?? MESH_DEFAULT;
  if (setting.distribute?.length) {
    const rule = setting.distribute.find(({ from }) => localityMatches(from, source.locality));
    return rule === undefined ? everything(endpoints) : distributed(rule.to, endpoints);
  }
  if (outlier === undefined) return everything(endpoints);
  return byPriority(endpoints, ({ workload }) => failoverPriority(setting, source, workload));
};
