/**
 * Model → WDS bytes. The same value gives the same bytes whatever the insertion order of its maps, so a hash of them is a content version.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  Action,
  ApplicationTunnel_Protocol,
  AppProtocol,
  IPFamilies,
  LoadBalancing_HealthPolicy,
  LoadBalancing_Mode,
  LoadBalancing_Scope,
  NetworkMode,
  Scope,
  Service_Visibility,
  TunnelProtocol,
  WORKLOAD_NETWORK_POLICY_TYPE,
  WorkloadStatus,
  WorkloadType,
} from '../protocol/index.ts';
import {
  AddressSchema,
  AuthorizationSchema,
  type GatewayAddressSchema,
  type MatchSchema,
  type StringMatchSchema,
} from '../protocol/messages/index.ts';
import { DEFAULT_TRUST_DOMAIN } from './identity.ts';
import { ipToBytes, parseIp } from './ip.ts';
import type { Authorization, Cidr, GatewayAddress, Match, NetworkAddress, Service, ServicePort, StringMatch, Workload } from './model.ts';
import { NETWORK_POLICY_EXTENSION } from './network-policy/decode.ts';
import { encodeNetworkFacts } from './network-policy/encode.ts';

const NO_BYTES = new Uint8Array(0);

const addressBytes = (ip: string): Uint8Array => {
  const words = parseIp(ip);
  return words === undefined ? NO_BYTES : ipToBytes(words);
};

const portMessages = (ports: readonly ServicePort[]) =>
  ports.map(({ servicePort, targetPort, appProtocol }) => ({ servicePort, targetPort, appProtocol: AppProtocol[appProtocol] }));

const networkAddressMessage = ({ network, address, length }: NetworkAddress) => ({
  network,
  address: addressBytes(address),
  ...(length !== undefined && { length }),
});

const gatewayMessage = ({ destination, hboneMtlsPort }: GatewayAddress): MessageInitShape<typeof GatewayAddressSchema> => ({
  destination:
    destination.kind === 'hostname'
      ? { case: 'hostname', value: { ...destination.value } }
      : { case: 'address', value: networkAddressMessage(destination.value) },
  hboneMtlsPort,
});

/** Bytes of an `istio.workload.Address` holding a workload. The default trust domain is left out, as istiod does. */
export const encodeWorkload = (workload: Workload): Uint8Array => {
  const { waypoint, networkGateway, applicationTunnel, locality, capacity, networkPolicy } = workload;
  const keys = [...workload.services.keys()].sort();
  const message = create(AddressSchema, {
    type: {
      case: 'workload',
      value: {
        uid: workload.uid,
        name: workload.name,
        namespace: workload.namespace,
        addresses: workload.addresses.map(addressBytes),
        hostname: workload.hostname,
        network: workload.network,
        tunnelProtocol: TunnelProtocol[workload.tunnelProtocol],
        trustDomain: workload.trustDomain === DEFAULT_TRUST_DOMAIN ? '' : workload.trustDomain,
        serviceAccount: workload.serviceAccount,
        ...(waypoint && { waypoint: gatewayMessage(waypoint) }),
        ...(networkGateway && { networkGateway: gatewayMessage(networkGateway) }),
        node: workload.node,
        canonicalName: workload.canonicalName,
        canonicalRevision: workload.canonicalRevision,
        workloadType: WorkloadType[workload.workloadType],
        workloadName: workload.workloadName,
        nativeTunnel: workload.nativeTunnel,
        authorizationPolicies: [...workload.authorizationPolicies],
        status: WorkloadStatus[workload.status],
        clusterId: workload.clusterId,
        services: Object.fromEntries(keys.map((key) => [key, { ports: portMessages(workload.services.get(key)!) }])),
        ...(applicationTunnel && {
          applicationTunnel: { protocol: ApplicationTunnel_Protocol[applicationTunnel.protocol], port: applicationTunnel.port },
        }),
        ...((locality.region || locality.zone || locality.subzone) && { locality: { ...locality } }),
        networkMode: NetworkMode[workload.networkMode],
        ...(capacity !== 1 && { capacity }),
        ...(networkPolicy && {
          extensions: [
            { name: NETWORK_POLICY_EXTENSION, config: { typeUrl: WORKLOAD_NETWORK_POLICY_TYPE, value: encodeNetworkFacts(networkPolicy) } },
          ],
        }),
      },
    },
  });
  return toBinary(AddressSchema, message);
};

/** Bytes of an `istio.workload.Address` holding a service. */
export const encodeService = (service: Service): Uint8Array => {
  const { waypoint, loadBalancing } = service;
  const message = create(AddressSchema, {
    type: {
      case: 'service',
      value: {
        name: service.name,
        namespace: service.namespace,
        hostname: service.hostname,
        addresses: service.vips.map(networkAddressMessage),
        ports: portMessages(service.ports),
        subjectAltNames: [...service.subjectAltNames],
        ...(waypoint && { waypoint: gatewayMessage(waypoint) }),
        weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
          destination: gatewayMessage(destination),
          weight,
        })),
        ...(loadBalancing && {
          loadBalancing: {
            routingPreference: loadBalancing.routingPreference.map((scope) => LoadBalancing_Scope[scope]),
            mode: loadBalancing.mode === 'UNSPECIFIED' ? LoadBalancing_Mode.UNSPECIFIED_MODE : LoadBalancing_Mode[loadBalancing.mode],
            healthPolicy: LoadBalancing_HealthPolicy[loadBalancing.healthPolicy],
          },
        }),
        ipFamilies: IPFamilies[service.ipFamilies],
        canonical: service.canonical,
        visibility: Service_Visibility[service.visibility],
      },
    },
  });
  return toBinary(AddressSchema, message);
};

const stringMessage = (match: StringMatch): MessageInitShape<typeof StringMatchSchema> => ({
  matchType: match.kind === 'presence' ? { case: 'presence', value: {} } : { case: match.kind, value: match.value },
});

const cidrMessage = ({ address, length }: Cidr) => ({ address: addressBytes(address), length });

const matchMessage = (match: Match): MessageInitShape<typeof MatchSchema> => ({
  namespaces: match.namespaces.map(stringMessage),
  notNamespaces: match.notNamespaces.map(stringMessage),
  principals: match.principals.map(stringMessage),
  notPrincipals: match.notPrincipals.map(stringMessage),
  sourceIps: match.sourceIps.map(cidrMessage),
  notSourceIps: match.notSourceIps.map(cidrMessage),
  destinationIps: match.destinationIps.map(cidrMessage),
  notDestinationIps: match.notDestinationIps.map(cidrMessage),
  destinationPorts: [...match.destinationPorts],
  notDestinationPorts: [...match.notDestinationPorts],
  serviceAccounts: match.serviceAccounts.map((account) => ({ ...account })),
  notServiceAccounts: match.notServiceAccounts.map((account) => ({ ...account })),
});

/** Bytes of an `istio.security.Authorization`. */
export const encodeAuthorization = (policy: Authorization): Uint8Array =>
  toBinary(
    AuthorizationSchema,
    create(AuthorizationSchema, {
      name: policy.name,
      namespace: policy.namespace,
      scope: Scope[policy.scope],
      action: Action[policy.action],
      rules: policy.rules.map(({ clauses }) => ({ clauses: clauses.map(({ matches }) => ({ matches: matches.map(matchMessage) })) })),
      dryRun: policy.dryRun,
    }),
  );
