/**
 * What a mesh is made of, as every room sees it: plain immutable values decoded from WDS or local files.
 * Addresses are canonical text (`10.0.0.1`, `fd00::1`); networks are names, `''` being the default network.
 */
import type { NetworkFacts } from './network-policy/model.ts';

export type TunnelProtocol = 'HBONE' | 'NONE';
export type HealthStatus = 'HEALTHY' | 'UNHEALTHY';
export type WorkloadType = 'DEPLOYMENT' | 'CRONJOB' | 'POD' | 'JOB';
export type AppProtocol = 'UNKNOWN' | 'HTTP11' | 'HTTP2' | 'GRPC' | 'TCP' | 'TLS';
export type RoutingScope = 'REGION' | 'ZONE' | 'SUBZONE' | 'NODE' | 'CLUSTER' | 'NETWORK';
export type LoadBalancingMode = 'UNSPECIFIED' | 'STRICT' | 'FAILOVER' | 'PASSTHROUGH';
export type IpFamilies = 'AUTOMATIC' | 'IPV4_ONLY' | 'IPV6_ONLY' | 'DUAL';

/** An address inside a named network; `length` makes it a CIDR range (service VIPs only). */
export interface NetworkAddress {
  readonly network: string;
  readonly address: string;
  readonly length?: number;
}

export interface NamespacedHostname {
  readonly namespace: string;
  readonly hostname: string;
}

/** Where a waypoint or an east-west gateway is: by name (preferred) or by address. WDS `GatewayAddress`. */
export interface GatewayAddress {
  readonly destination:
    | { readonly kind: 'hostname'; readonly value: NamespacedHostname }
    | { readonly kind: 'address'; readonly value: NetworkAddress };
  readonly hboneMtlsPort: number;
}

/** One service port; `targetPort` 0 means a named port that only the endpoint can resolve. */
export interface ServicePort {
  readonly servicePort: number;
  readonly targetPort: number;
  readonly appProtocol: AppProtocol;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** WDS `Workload`, with defaults applied (`trustDomain`, `serviceAccount`, `clusterId`, `capacity` are never empty). */
export interface Workload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly hostname: string;
  readonly network: string;
  readonly tunnelProtocol: TunnelProtocol;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint?: GatewayAddress;
  readonly networkGateway?: GatewayAddress;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: WorkloadType;
  readonly workloadName: string;
  readonly nativeTunnel: boolean;
  readonly authorizationPolicies: readonly string[];
  readonly status: HealthStatus;
  readonly clusterId: string;
  /** Keyed by `namespace/hostname`. */
  readonly services: ReadonlyMap<string, readonly ServicePort[]>;
  readonly applicationTunnel?: { readonly protocol: 'NONE' | 'PROXY'; readonly port: number };
  readonly locality: Locality;
  readonly networkMode: 'STANDARD' | 'HOST_NETWORK';
  readonly capacity: number;
  /** What the pod is to NetworkPolicies; undefined for what is no pod, or where the control plane does not say. */
  readonly networkPolicy?: NetworkFacts;
}

export interface LoadBalancing {
  readonly routingPreference: readonly RoutingScope[];
  readonly mode: LoadBalancingMode;
  readonly healthPolicy: 'ONLY_HEALTHY' | 'ALLOW_ALL';
}

/** WDS `Service`; its key is `namespace/hostname`. */
export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly NetworkAddress[];
  readonly ports: readonly ServicePort[];
  readonly subjectAltNames: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly weightedWaypoints: readonly { readonly destination: GatewayAddress; readonly weight: number }[];
  readonly loadBalancing?: LoadBalancing;
  readonly ipFamilies: IpFamilies;
  readonly canonical: boolean;
  readonly visibility: 'PUBLIC' | 'NAMESPACE';
}

export type StringMatch =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'prefix'; readonly value: string }
  | { readonly kind: 'suffix'; readonly value: string }
  | { readonly kind: 'presence' };

/** A CIDR range: `10.0.0.0/8` is `{ address: '10.0.0.0', length: 8 }`. */
export interface Cidr {
  readonly address: string;
  readonly length: number;
}

export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** All twelve lists empty: the match never matches. */
export interface Match {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly sourceIps: readonly Cidr[];
  readonly notSourceIps: readonly Cidr[];
  readonly destinationIps: readonly Cidr[];
  readonly notDestinationIps: readonly Cidr[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
}

/** Any of its matches; no matches: always. */
export interface Clause {
  readonly matches: readonly Match[];
}

/** All of its clauses; no clauses: always. */
export interface Rule {
  readonly clauses: readonly Clause[];
}

export type PolicyScope = 'GLOBAL' | 'NAMESPACE' | 'WORKLOAD_SELECTOR';

/** WDS `Authorization`; any of its rules; no rules: never. Its key is `namespace/name`. */
export interface Authorization {
  readonly name: string;
  readonly namespace: string;
  readonly scope: PolicyScope;
  readonly action: 'ALLOW' | 'DENY';
  readonly rules: readonly Rule[];
  readonly dryRun: boolean;
}

/** A SPIFFE identity, `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>`. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}
