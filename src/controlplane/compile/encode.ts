import { create, toBinary } from '@bufbuild/protobuf';
import * as wire from '../../protocol/index.ts';
import {
  type Authorization,
  type GatewayAddress,
  ipToBytes,
  type Match,
  type NetworkAddress,
  parseIp,
  type Service,
  type ServicePort,
  type StringMatch,
  type Workload,
} from '../wire.ts';

/** Model values as WDS and Authorization messages. Equal values give equal bytes: maps and lists come in a fixed order. */

export function encodeWorkload(workload: Workload): Uint8Array {
  const services: Record<string, { ports: ReturnType<typeof port>[] }> = {};
  for (const key of [...workload.services.keys()].sort()) services[key] = { ports: workload.services.get(key)!.map(port) };
  const message = create(wire.AddressSchema, {
    type: {
      case: 'workload',
      value: {
        uid: workload.uid,
        name: workload.name,
        namespace: workload.namespace,
        addresses: workload.addresses.map(ipBytes),
        hostname: workload.hostname,
        network: workload.network,
        tunnelProtocol: workload.tunnelProtocol === 'HBONE' ? wire.TunnelProtocol.HBONE : wire.TunnelProtocol.NONE,
        trustDomain: workload.trustDomain === 'cluster.local' ? '' : workload.trustDomain, // as istiod: the default is left out
        serviceAccount: workload.serviceAccount === 'default' ? '' : workload.serviceAccount,
        ...(workload.waypoint !== undefined && { waypoint: gateway(workload.waypoint) }),
        ...(workload.networkGateway !== undefined && { networkGateway: gateway(workload.networkGateway) }),
        node: workload.node,
        canonicalName: workload.canonicalName,
        canonicalRevision: workload.canonicalRevision,
        workloadType: wire.WorkloadType[workload.workloadType],
        workloadName: workload.workloadName,
        nativeTunnel: workload.nativeTunnel,
        authorizationPolicies: [...workload.authorizationPolicies],
        status: wire.WorkloadStatus[workload.status],
        clusterId: workload.clusterId,
        services,
        ...(workload.applicationTunnel !== undefined && {
          applicationTunnel: {
            protocol:
              workload.applicationTunnel.protocol === 'PROXY'
                ? wire.ApplicationTunnel_Protocol.PROXY
                : wire.ApplicationTunnel_Protocol.NONE,
            port: workload.applicationTunnel.port,
          },
        }),
        ...(isLocated(workload) && { locality: { ...workload.locality } }),
        networkMode: wire.NetworkMode[workload.networkMode],
        ...(workload.capacity !== 1 && { capacity: workload.capacity }),
      },
    },
  });
  return toBinary(wire.AddressSchema, message);
}

const isLocated = ({ locality }: Workload): boolean => locality.region !== '' || locality.zone !== '' || locality.subzone !== '';

export function encodeService(service: Service): Uint8Array {
  const { loadBalancing } = service;
  const message = create(wire.AddressSchema, {
    type: {
      case: 'service',
      value: {
        name: service.name,
        namespace: service.namespace,
        hostname: service.hostname,
        addresses: service.vips.map(networkAddress),
        ports: service.ports.map(port),
        subjectAltNames: [...service.subjectAltNames],
        ...(service.waypoint !== undefined && { waypoint: gateway(service.waypoint) }),
        weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({ destination: gateway(destination), weight })),
        ...(loadBalancing !== undefined && {
          loadBalancing: {
            routingPreference: loadBalancing.routingPreference.map((scope) => wire.LoadBalancing_Scope[scope]),
            mode:
              loadBalancing.mode === 'UNSPECIFIED' ? wire.LoadBalancing_Mode.UNSPECIFIED_MODE : wire.LoadBalancing_Mode[loadBalancing.mode],
            healthPolicy: wire.LoadBalancing_HealthPolicy[loadBalancing.healthPolicy],
          },
        }),
        ipFamilies: wire.IPFamilies[service.ipFamilies],
        canonical: service.canonical,
        visibility: wire.Service_Visibility[service.visibility],
      },
    },
  });
  return toBinary(wire.AddressSchema, message);
}

export function encodeAuthorization(policy: Authorization): Uint8Array {
  const message = create(wire.AuthorizationSchema, {
    name: policy.name,
    namespace: policy.namespace,
    scope: wire.Scope[policy.scope],
    action: wire.Action[policy.action],
    rules: policy.rules.map((rule) => ({ clauses: rule.clauses.map((clause) => ({ matches: clause.matches.map(match) })) })),
    dryRun: policy.dryRun,
  });
  return toBinary(wire.AuthorizationSchema, message);
}

const port = (value: ServicePort) => ({
  servicePort: value.servicePort,
  targetPort: value.targetPort,
  appProtocol: wire.AppProtocol[value.appProtocol],
});

function gateway(value: GatewayAddress) {
  const { destination } = value;
  return {
    destination:
      destination.kind === 'hostname'
        ? { case: 'hostname' as const, value: { ...destination.value } }
        : { case: 'address' as const, value: networkAddress(destination.value) },
    hboneMtlsPort: value.hboneMtlsPort,
  };
}

const networkAddress = (value: NetworkAddress) => ({
  network: value.network,
  address: ipBytes(value.address),
  ...(value.length !== undefined && { length: value.length }),
});

function match(value: Match) {
  return {
    namespaces: value.namespaces.map(stringMatch),
    notNamespaces: value.notNamespaces.map(stringMatch),
    principals: value.principals.map(stringMatch),
    notPrincipals: value.notPrincipals.map(stringMatch),
    sourceIps: value.sourceIps.map(cidr),
    notSourceIps: value.notSourceIps.map(cidr),
    destinationIps: value.destinationIps.map(cidr),
    notDestinationIps: value.notDestinationIps.map(cidr),
    destinationPorts: [...value.destinationPorts],
    notDestinationPorts: [...value.notDestinationPorts],
    serviceAccounts: value.serviceAccounts.map((account) => ({ ...account })),
    notServiceAccounts: value.notServiceAccounts.map((account) => ({ ...account })),
  };
}

const cidr = (value: { readonly address: string; readonly length: number }) => ({ address: ipBytes(value.address), length: value.length });

function stringMatch(value: StringMatch) {
  return { matchType: value.kind === 'presence' ? { case: 'presence' as const, value: {} } : { case: value.kind, value: value.value } };
}

/** Addresses of the model are canonical text; anything else is a bug, not an input. */
function ipBytes(address: string): Uint8Array {
  const ip = parseIp(address);
  if (ip === undefined) throw new TypeError(`not an IP address: ${address}`);
  return ipToBytes(ip);
}
