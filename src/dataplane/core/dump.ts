/** The parts of `/config_dump` every proxy has, with the keys istioctl reads (ambient contract 8.4). */
import {
  type Authorization,
  type Cidr,
  formatCidr,
  type GatewayAddress,
  type Match,
  type MeshRegistry,
  type NetworkAddress,
  type NetworkPolicy,
  type NetworkRule,
  type Service,
  type ServicePort,
  type StringMatch,
  serviceKey,
  type Workload,
} from '../../mesh/index.ts';
import type { CertificateManager } from './certificate-manager.ts';
import type { CoreConfig } from './config.ts';

export type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };

const networkAddress = ({ network, address, length }: NetworkAddress): string =>
  `${network}/${address}${length === undefined ? '' : `/${length}`}`;

const gateway = (address: GatewayAddress | undefined): Json =>
  address && {
    destination:
      address.destination.kind === 'hostname'
        ? `${address.destination.value.namespace}/${address.destination.value.hostname}`
        : networkAddress(address.destination.value),
    hboneMtlsPort: address.hboneMtlsPort,
  };

const ports = (list: readonly ServicePort[]): Json =>
  Object.fromEntries(list.map(({ servicePort, targetPort }) => [String(servicePort), targetPort]));

const capitalized = (text: string): string => text.charAt(0) + text.slice(1).toLowerCase();

export const dumpWorkload = (workload: Workload): Json => ({
  workloadIps: workload.addresses,
  waypoint: gateway(workload.waypoint),
  networkGateway: gateway(workload.networkGateway),
  protocol: workload.tunnelProtocol === 'HBONE' ? 'HBONE' : 'TCP',
  network: workload.network,
  networkMode: workload.networkMode === 'HOST_NETWORK' ? 'HostNetwork' : 'Standard',
  uid: workload.uid,
  name: workload.name,
  namespace: workload.namespace,
  trustDomain: workload.trustDomain,
  serviceAccount: workload.serviceAccount,
  hostname: workload.hostname || undefined,
  workloadName: workload.workloadName,
  workloadType: workload.workloadType.toLowerCase(),
  canonicalName: workload.canonicalName,
  canonicalRevision: workload.canonicalRevision,
  node: workload.node,
  nativeTunnel: workload.nativeTunnel,
  authorizationPolicies: workload.authorizationPolicies,
  status: capitalized(workload.status),
  clusterId: workload.clusterId,
  locality: { ...workload.locality },
  services: [...workload.services.keys()],
  capacity: workload.capacity,
  applicationTunnel: workload.applicationTunnel && { ...workload.applicationTunnel },
  networkPolicy: workload.networkPolicy && {
    groups: [...workload.networkPolicy.groups],
    ports: Object.fromEntries(workload.networkPolicy.ports),
    nodeAddresses: workload.networkPolicy.nodeAddresses,
    enforces: workload.networkPolicy.enforces || undefined,
  },
});

export const dumpService = (registry: MeshRegistry, service: Service): Json => ({
  name: service.name,
  namespace: service.namespace,
  hostname: service.hostname,
  vips: service.vips.filter(({ length }) => length === undefined).map(networkAddress),
  cidrVips: service.vips.filter(({ length }) => length !== undefined).map(networkAddress),
  ports: ports(service.ports),
  endpoints: Object.fromEntries(
    registry
      .endpoints(serviceKey(service))
      .map(({ workload, ports: own }) => [
        workload.uid,
        { workloadUid: workload.uid, port: ports(own), status: capitalized(workload.status) },
      ]),
  ),
  subjectAltNames: service.subjectAltNames,
  waypoint: gateway(service.waypoint),
  loadBalancer: service.loadBalancing && {
    routingPreferences: service.loadBalancing.routingPreference.map(capitalized),
    mode: capitalized(service.loadBalancing.mode),
    healthPolicy: service.loadBalancing.healthPolicy === 'ALLOW_ALL' ? 'AllowAll' : 'OnlyHealthy',
  },
  ipFamilies: service.ipFamilies === 'AUTOMATIC' ? undefined : service.ipFamilies,
  canonical: service.canonical,
  visibility: capitalized(service.visibility),
});

const stringMatch = (match: StringMatch): Json =>
  match.kind === 'presence' ? 'Presence' : { [capitalized(match.kind.toUpperCase())]: match.value };
const cidr = (range: Cidr): Json => formatCidr(range);

const dumpMatch = (match: Match): Json => {
  const entries: [string, Json][] = [
    ['namespaces', match.namespaces.map(stringMatch)],
    ['notNamespaces', match.notNamespaces.map(stringMatch)],
    ['serviceAccounts', match.serviceAccounts.map((account) => ({ ...account }))],
    ['notServiceAccounts', match.notServiceAccounts.map((account) => ({ ...account }))],
    ['principals', match.principals.map(stringMatch)],
    ['notPrincipals', match.notPrincipals.map(stringMatch)],
    ['sourceIps', match.sourceIps.map(cidr)],
    ['notSourceIps', match.notSourceIps.map(cidr)],
    ['destinationIps', match.destinationIps.map(cidr)],
    ['notDestinationIps', match.notDestinationIps.map(cidr)],
    ['destinationPorts', match.destinationPorts],
    ['notDestinationPorts', match.notDestinationPorts],
  ];
  return Object.fromEntries(entries.filter(([, value]) => Array.isArray(value) && value.length > 0));
};

const SCOPES = { GLOBAL: 'Global', NAMESPACE: 'Namespace', WORKLOAD_SELECTOR: 'WorkloadSelector' } as const;

export const dumpPolicy = (policy: Authorization): Json => ({
  name: policy.name,
  namespace: policy.namespace,
  scope: SCOPES[policy.scope],
  action: capitalized(policy.action),
  dryRun: policy.dryRun,
  rules: policy.rules.map(({ clauses }) => clauses.map(({ matches }) => matches.map(dumpMatch))),
});

const dumpNetworkRules = (rules: readonly NetworkRule[] | undefined): Json =>
  rules?.map(({ peers, ports: allowed }) => ({
    peers:
      peers.length === 0
        ? 'any'
        : peers.map((peer) => (peer.kind === 'group' ? { group: peer.group, text: peer.text } : { block: peer.text })),
    ports:
      allowed.length === 0
        ? 'any'
        : allowed.map((port) => (port.kind === 'name' ? port.name : port.first === port.last ? port.first : `${port.first}-${port.last}`)),
  }));

export const dumpNetworkPolicy = (policy: NetworkPolicy): Json => ({
  name: policy.name,
  namespace: policy.namespace,
  selector: policy.selector,
  selects: policy.selects,
  ingress: dumpNetworkRules(policy.ingress),
  egress: dumpNetworkRules(policy.egress),
});

/** Without secrets: neither the token nor the local files. */
export function dumpConfig(config: CoreConfig): Json {
  const { authToken, localXds: _localXds, xds, ca, ...rest } = config;
  const address = (target: CoreConfig['xds']): Json => target && `https://${target.host}:${target.port}`;
  return {
    ...(JSON.parse(JSON.stringify(rest)) as { [key: string]: Json }),
    xdsAddress: address(xds),
    caAddress: address(ca),
    authToken: authToken && (authToken.kind === 'file' ? authToken.value : 'set'),
  };
}

export const dumpCertificates = (certificates: CertificateManager): Json =>
  [...certificates.entries()].map(({ identity, state, error, certificate }) => ({
    identity,
    state: state === 'Unavailable' ? `Unavailable: ${error}` : state,
    certChain: certificate?.chain.map((part) => ({ ...part })) ?? [],
    rootCerts: certificate?.roots.map((part) => ({ ...part })) ?? [],
  }));
