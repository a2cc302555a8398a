/** A DestinationRule, structurally: every field of `istio.networking.v1alpha3.DestinationRule` in its JSON form (v1, v1beta1 and v1alpha3 are alike). */
import type { ObjectMeta, WorkloadSelector } from '../../object.ts';

type Texts = readonly string[] | undefined;
type Failovers = readonly { readonly from?: string | undefined; readonly to?: string | undefined }[] | undefined;

export interface IstioConsistentHash {
  readonly httpHeaderName?: string | undefined;
  readonly httpCookie?:
    | {
        readonly name: string;
        readonly path?: string | undefined;
        readonly ttl?: string | undefined;
        readonly attributes?: readonly { readonly name: string; readonly value?: string | undefined }[] | undefined;
      }
    | undefined;
  readonly useSourceIp?: boolean | undefined;
  readonly httpQueryParameterName?: string | undefined;
  readonly ringHash?: { readonly minimumRingSize?: number | undefined } | undefined;
  readonly maglev?: { readonly tableSize?: number | undefined } | undefined;
  readonly minimumRingSize?: number | undefined;
}

export interface IstioLocalitySetting {
  readonly distribute?:
    | readonly { readonly from?: string | undefined; readonly to?: Readonly<Record<string, number>> | undefined }[]
    | undefined;
  readonly failover?: Failovers;
  readonly failoverPriority?: Texts;
  readonly enabled?: boolean | null | undefined;
}

export interface IstioLoadBalancer {
  readonly simple?: string | undefined;
  readonly consistentHash?: IstioConsistentHash | undefined;
  readonly localityLbSetting?: IstioLocalitySetting | undefined;
  readonly zoneAwareLbSetting?:
    | {
        readonly enabled?: boolean | null | undefined;
        readonly failover?: Failovers;
        readonly failoverPriority?: Texts;
        readonly minClusterSize?: number | null | undefined;
      }
    | undefined;
  readonly warmupDurationSecs?: string | undefined;
  readonly warmup?:
    | {
        readonly duration: string;
        readonly minimumPercent?: number | null | undefined;
        readonly aggression?: number | null | undefined;
      }
    | undefined;
}

export interface IstioConnectionPool {
  readonly tcp?:
    | {
        readonly maxConnections?: number | undefined;
        readonly connectTimeout?: string | undefined;
        readonly tcpKeepalive?:
          | { readonly probes?: number | undefined; readonly time?: string | undefined; readonly interval?: string | undefined }
          | undefined;
        readonly maxConnectionDuration?: string | undefined;
        readonly idleTimeout?: string | undefined;
      }
    | undefined;
  readonly http?:
    | {
        readonly http1MaxPendingRequests?: number | undefined;
        readonly http2MaxRequests?: number | undefined;
        readonly maxRequestsPerConnection?: number | undefined;
        readonly maxRetries?: number | undefined;
        readonly idleTimeout?: string | undefined;
        readonly h2UpgradePolicy?: string | undefined;
        readonly useClientProtocol?: boolean | undefined;
        readonly maxConcurrentStreams?: number | undefined;
        readonly http2KeepAlive?: { readonly interval?: string | undefined; readonly timeout?: string | undefined } | undefined;
      }
    | undefined;
}

export interface IstioOutlierDetection {
  readonly consecutiveErrors?: number | undefined;
  readonly splitExternalLocalOriginErrors?: boolean | undefined;
  readonly consecutiveLocalOriginFailures?: number | null | undefined;
  readonly consecutiveGatewayErrors?: number | null | undefined;
  readonly consecutive5xxErrors?: number | null | undefined;
  readonly interval?: string | undefined;
  readonly baseEjectionTime?: string | undefined;
  readonly maxEjectionPercent?: number | undefined;
  readonly minHealthPercent?: number | undefined;
  readonly outlierDetectionHttpErrorCodes?: readonly number[] | undefined;
}

export interface IstioClientTls {
  readonly mode?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly privateKey?: string | undefined;
  readonly caCertificates?: string | undefined;
  readonly credentialName?: string | undefined;
  readonly subjectAltNames?: Texts;
  readonly sni?: string | undefined;
  readonly insecureSkipVerify?: boolean | null | undefined;
  readonly caCrl?: string | undefined;
}

/** What may stand at a port, too. */
export interface IstioPortPolicy {
  readonly loadBalancer?: IstioLoadBalancer | undefined;
  readonly connectionPool?: IstioConnectionPool | undefined;
  readonly outlierDetection?: IstioOutlierDetection | undefined;
  readonly tls?: IstioClientTls | undefined;
}

export interface IstioTrafficPolicy extends IstioPortPolicy {
  readonly portLevelSettings?:
    | readonly (IstioPortPolicy & { readonly port?: { readonly number?: number | undefined } | undefined })[]
    | undefined;
  readonly tunnel?: { readonly protocol?: string | undefined; readonly targetHost: string; readonly targetPort: number } | undefined;
  readonly proxyProtocol?: { readonly version?: string | undefined } | undefined;
  readonly retryBudget?:
    | {
        readonly percent?: number | null | undefined;
        readonly budgetInterval?: string | undefined;
        readonly minRetryConcurrency?: number | undefined;
      }
    | undefined;
}

export interface IstioSubset {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly trafficPolicy?: IstioTrafficPolicy | undefined;
}

export interface DestinationRuleObject {
  readonly metadata: ObjectMeta;
  readonly spec?:
    | {
        readonly host: string;
        readonly trafficPolicy?: IstioTrafficPolicy | undefined;
        readonly subsets?: readonly IstioSubset[] | undefined;
        readonly exportTo?: Texts;
        readonly workloadSelector?: WorkloadSelector | undefined;
      }
    | undefined;
}
