/** Workloads that are no pods: endpoints of a ServiceEntry, and WorkloadEntries (ambient contract 4.6). */
import type { WorkloadEntry } from '../../platform/kubernetes/index.ts';
import { canonicalIp, canonicalName, canonicalRevision, type Locality, type Workload } from '../wire.ts';
import type { CompileContext } from './service.ts';

export type EndpointSpec = WorkloadEntry['spec'];

const TUNNEL_LABEL = 'networking.istio.io/tunnel';

/** Whether a workload says that it speaks HBONE itself. */
export const speaksTunnel = (labels: Readonly<Record<string, string>> | undefined): boolean =>
  (labels?.[TUNNEL_LABEL] ?? '').split(',').some((item) => item.trim() === 'http');

/** Why an endpoint cannot be used, by field. */
export function endpointProblem({ address = '' }: EndpointSpec): string | undefined {
  if (address.startsWith('unix://')) return 'address: a Unix socket is not reached through the mesh';
  return address === '' ? 'address: missing, and no gateway to its network is known' : undefined;
}

/** `region/zone/subzone`. */
function localityOfText(text = ''): Locality {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}

type Given = Pick<Workload, 'uid' | 'name' | 'namespace' | 'services' | 'authorizationPolicies'> &
  Partial<Pick<Workload, 'waypoint' | 'status'>>;

export function endpointWorkload(spec: EndpointSpec, given: Given, context: CompileContext): Workload {
  const { address = '', labels = {} } = spec;
  const ip = canonicalIp(address);
  const nativeTunnel = speaksTunnel(labels);
  return {
    status: 'HEALTHY',
    ...given,
    addresses: ip === undefined ? [] : [ip],
    hostname: ip === undefined ? address.toLowerCase() : '',
    network: spec.network || context.network,
    tunnelProtocol: nativeTunnel ? 'HBONE' : 'NONE',
    trustDomain: context.trustDomain,
    serviceAccount: spec.serviceAccount || 'default',
    node: '',
    canonicalName: canonicalName(labels, given.name),
    canonicalRevision: canonicalRevision(labels),
    workloadType: 'POD',
    workloadName: given.name,
    nativeTunnel,
    clusterId: context.clusterId,
    locality: localityOfText(spec.locality),
    networkMode: 'STANDARD',
    capacity: spec.weight || 1,
  };
}
