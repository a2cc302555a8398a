import type { Static } from 'typebox';
import { validateDestinationRule } from './destination-rule-validation.ts';
import { duration, exportTo, istioStatus, NETWORKING_GROUP, workloadSelector } from './istio-common.ts';
import { age, ageColumn, column, defineKind, nameColumn } from './kind.ts';
import { kindSchema } from './meta.ts';
import {
  atMostOne,
  between,
  boolean,
  choice,
  int32,
  int64,
  limited,
  list,
  map,
  nullable,
  number,
  object,
  string,
  strings,
  uint32,
} from './schema.ts';

/** Every field of `istio.networking.v1alpha3.DestinationRule`. */

const failover = list(object({ from: string, to: string }));
const size = limited(int64, { minimum: 0 });
const consistentHash = object(
  {
    httpHeaderName: string,
    httpCookie: object({ name: string, path: string, ttl: duration, attributes: list(object({ name: string, value: string }, ['name'])) }, [
      'name',
    ]),
    useSourceIp: boolean,
    httpQueryParameterName: string,
    ringHash: object({ minimumRingSize: size }),
    maglev: object({ tableSize: size }),
    minimumRingSize: size,
  },
  [],
  { allOf: [atMostOne('httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'), atMostOne('ringHash', 'maglev')] },
);
export type ConsistentHash = Static<typeof consistentHash>;
const localityLbSetting = object({
  distribute: list(object({ from: string, to: map(uint32) })),
  failover,
  failoverPriority: list(string),
  enabled: nullable(boolean),
});
export type LocalityLbSetting = Static<typeof localityLbSetting>;
const warmup = object(
  {
    duration,
    minimumPercent: nullable(limited(number, { minimum: 0, maximum: 100 })),
    aggression: nullable(limited(number, { minimum: 0 })),
  },
  ['duration'],
);
export type LoadBalancerWarmup = Static<typeof warmup>;
const loadBalancer = object(
  {
    simple: choice('UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST'),
    consistentHash,
    localityLbSetting,
    zoneAwareLbSetting: object({
      enabled: nullable(boolean),
      failover,
      failoverPriority: list(string),
      minClusterSize: nullable(limited(int64, { minimum: 1 })),
    }),
    warmupDurationSecs: duration,
    warmup,
  },
  [],
  atMostOne('simple', 'consistentHash'),
);
export type LoadBalancerSettings = Static<typeof loadBalancer>;

const connectionPool = object({
  tcp: object({
    maxConnections: int32,
    connectTimeout: duration,
    tcpKeepalive: object({ probes: uint32, time: duration, interval: duration }),
    maxConnectionDuration: duration,
    idleTimeout: duration,
  }),
  http: object({
    http1MaxPendingRequests: int32,
    http2MaxRequests: int32,
    maxRequestsPerConnection: int32,
    maxRetries: int32,
    idleTimeout: duration,
    h2UpgradePolicy: choice('DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE'),
    useClientProtocol: boolean,
    maxConcurrentStreams: int32,
    http2KeepAlive: object({ interval: duration, timeout: duration }),
  }),
});
export type ConnectionPoolSettings = Static<typeof connectionPool>;

const outlierDetection = object({
  consecutiveErrors: int32,
  splitExternalLocalOriginErrors: boolean,
  consecutiveLocalOriginFailures: nullable(uint32),
  consecutiveGatewayErrors: nullable(uint32),
  consecutive5xxErrors: nullable(uint32),
  interval: duration,
  baseEjectionTime: duration,
  maxEjectionPercent: int32,
  minHealthPercent: int32,
  outlierDetectionHttpErrorCodes: list(between(100, 599)),
});
export type OutlierDetection = Static<typeof outlierDetection>;

const tls = object({
  mode: choice('DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL'),
  clientCertificate: string,
  privateKey: string,
  caCertificates: string,
  credentialName: string,
  subjectAltNames: list(string),
  sni: string,
  insecureSkipVerify: nullable(boolean),
  caCrl: string,
});
export type ClientTlsSettings = Static<typeof tls>;

const portPolicy = { loadBalancer, connectionPool, outlierDetection, tls };
const portTrafficPolicy = object({ port: object({ number: uint32 }), ...portPolicy });
export type PortTrafficPolicy = Static<typeof portTrafficPolicy>;
const trafficPolicy = object({
  ...portPolicy,
  portLevelSettings: limited(list(portTrafficPolicy), { maxItems: 4096 }),
  tunnel: object({ protocol: string, targetHost: string, targetPort: uint32 }, ['targetHost', 'targetPort']),
  proxyProtocol: object({ version: choice('V1', 'V2') }),
  retryBudget: object({
    percent: nullable(limited(number, { minimum: 0, maximum: 100 })),
    budgetInterval: duration,
    minRetryConcurrency: uint32,
  }),
});
export type TrafficPolicy = Static<typeof trafficPolicy>;

const subset = object({ name: string, labels: strings, trafficPolicy }, ['name']);
export type DestinationRuleSubset = Static<typeof subset>;
const destinationRuleSchema = kindSchema({
  spec: object({ host: string, trafficPolicy, subsets: list(subset), exportTo, workloadSelector }, ['host']),
  status: istioStatus,
});
export type DestinationRule = Static<typeof destinationRuleSchema>;
export const DestinationRuleKind = defineKind<DestinationRule>({
  apiVersion: `${NETWORKING_GROUP}/v1`,
  otherVersions: ['v1beta1', 'v1alpha3'],
  kind: 'DestinationRule',
  plural: 'destinationrules',
  shortNames: ['dr'],
  categories: ['istio-io', 'networking-istio-io'],
  status: true,
  description: 'DestinationRule says how traffic behaves once its destination is known: subsets, balancing, pools, outliers, TLS.',
  schema: destinationRuleSchema,
  columns: [nameColumn, column('Host', 'The name of a service from the service registry.'), ageColumn],
  cells: (rule, now) => [rule.metadata.name ?? '', rule.spec?.host ?? null, age(rule, now)],
  validate: validateDestinationRule,
});
