import { isPort } from '../../ip.ts';
import type { BackendPolicy, BackendTls, ConnectionPoolPolicy, OutlierPolicy } from '../plan.ts';
import type {
  IstioClientTls,
  IstioConnectionPool,
  IstioOutlierDetection,
  IstioPortPolicy,
  IstioTrafficPolicy,
} from './destination-rule-object.ts';
import { durationAt } from './duration.ts';
import { type LoadBalancing, loadBalancingOf } from './load-balancer.ts';
import type { Problems } from './problem.ts';

/** A TrafficPolicy by the parts that override each other as wholes. */
export interface PolicyParts {
  readonly loadBalancing?: LoadBalancing;
  readonly connectionPool?: ConnectionPoolPolicy;
  readonly outlier?: OutlierPolicy;
  readonly tls?: BackendTls;
  readonly proxyProtocol?: 1 | 2;
}

export interface ParsedTrafficPolicy extends PolicyParts {
  /** portLevelSettings: instead of everything above, for these ports. */
  readonly ports: ReadonlyMap<number, PolicyParts>;
}

export const parseTrafficPolicy = (problems: Problems, path: string, written: IstioTrafficPolicy): ParsedTrafficPolicy => {
  if (written.tunnel !== undefined) {
    problems.unsupported(`${path}.tunnel`, 'connections are not tunnelled through another proxy: they go straight to the destination');
  }
  if (written.retryBudget !== undefined) {
    problems.unsupported(`${path}.retryBudget`, 'concurrent retries are not limited by share', 'use connectionPool.http.maxRetries');
  }
  const ports = new Map<number, PolicyParts>();
  for (const [i, setting] of (written.portLevelSettings ?? []).entries()) {
    const at = `${path}.portLevelSettings[${i}]`;
    const port = setting.port?.number;
    if (port === undefined || !isPort(port)) problems.invalid(`${at}.port.number`, `${port ?? 'nothing'} is not a port`);
    else if (ports.has(port)) problems.invalid(`${at}.port`, `${port} stands there twice`);
    else ports.set(port, portParts(problems, at, setting));
  }
  const version = written.proxyProtocol?.version ?? 'V1';
  if (version !== 'V1' && version !== 'V2') problems.invalid(`${path}.proxyProtocol.version`, `${version} is not V1 or V2`);
  return {
    ...portParts(problems, path, written),
    ...(written.proxyProtocol !== undefined && { proxyProtocol: version === 'V2' ? 2 : 1 }),
    ports,
  };
};

const portParts = (problems: Problems, path: string, written: IstioPortPolicy): PolicyParts => ({
  ...(written.loadBalancer !== undefined && { loadBalancing: loadBalancingOf(problems, `${path}.loadBalancer`, written.loadBalancer) }),
  ...(written.connectionPool !== undefined && { connectionPool: poolOf(problems, `${path}.connectionPool`, written.connectionPool) }),
  ...(written.outlierDetection !== undefined && { outlier: outlierOf(problems, `${path}.outlierDetection`, written.outlierDetection) }),
  ...tlsOf(problems, `${path}.tls`, written.tls),
});

/**
 * What holds for a subset: its own parts where it has them, the rule's elsewhere. For a port, the settings of the port stand in for those of the level they
 * are on; a subset's settings for a port replace everything but the PROXY protocol.
 */
export const overridden = (rule: ParsedTrafficPolicy | undefined, subset: ParsedTrafficPolicy): ParsedTrafficPolicy => {
  if (rule === undefined) return subset;
  const numbers = [...new Set([...rule.ports.keys(), ...subset.ports.keys()])];
  const atPort = (port: number): PolicyParts => {
    const base = rule.ports.get(port) ?? partsOf(rule);
    const own = subset.ports.get(port);
    if (own === undefined) return { ...base, ...partsOf(subset) };
    return { ...own, ...(base.proxyProtocol !== undefined && { proxyProtocol: base.proxyProtocol }) };
  };
  return { ...partsOf(rule), ...partsOf(subset), ports: new Map(numbers.map((port) => [port, atPort(port)])) };
};

const partsOf = ({ ports: _, ...parts }: ParsedTrafficPolicy): PolicyParts => parts;

const flatten = ({ loadBalancing, ...parts }: PolicyParts): BackendPolicy => ({ ...loadBalancing, ...parts });

export const backendPolicy = (policy: ParsedTrafficPolicy): BackendPolicy => {
  const ports = [...policy.ports].sort(([a], [b]) => a - b).map(([port, parts]) => ({ port, policy: flatten(parts) }));
  return { ...flatten(partsOf(policy)), ...(ports.length > 0 && { ports }) };
};

/** A count of which 0, as in protobuf, means unset. */
const countAt = (problems: Problems, path: string, value: number | null | undefined): number | undefined => {
  if (value === undefined || value === null || value === 0) return undefined;
  return Number.isInteger(value) && value > 0 ? value : problems.invalid(path, `${value} is not 0 or more`);
};

const poolOf = (problems: Problems, path: string, { tcp = {}, http = {} }: IstioConnectionPool): ConnectionPoolPolicy => {
  if (tcp.tcpKeepalive !== undefined) {
    problems.unsupported(`${path}.tcp.tcpKeepalive`, 'connections share tunnels, which have a keepalive of their own');
  }
  if (http.http2KeepAlive !== undefined) {
    problems.unsupported(`${path}.http.http2KeepAlive`, 'connections share tunnels, which have a keepalive of their own');
  }
  const time = (at: string, text: string | undefined) => durationAt(problems, `${path}.${at}`, text);
  const count = (at: string, value: number | undefined) => countAt(problems, `${path}.${at}`, value);
  const tcpIdleTimeout = time('tcp.idleTimeout', tcp.idleTimeout);
  const policy = http.h2UpgradePolicy ?? 'DEFAULT';
  if (!['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE'].includes(policy))
    problems.invalid(`${path}.http.h2UpgradePolicy`, `${policy} is not a policy`);
  const all = {
    maxConnections: count('tcp.maxConnections', tcp.maxConnections),
    connectTimeout: time('tcp.connectTimeout', tcp.connectTimeout),
    tcpIdleTimeout,
    maxConnectionDuration: time('tcp.maxConnectionDuration', tcp.maxConnectionDuration),
    maxPendingRequests: count('http.http1MaxPendingRequests', http.http1MaxPendingRequests),
    maxRequests: count('http.http2MaxRequests', http.http2MaxRequests),
    maxRequestsPerConnection: count('http.maxRequestsPerConnection', http.maxRequestsPerConnection),
    maxRetries: count('http.maxRetries', http.maxRetries),
    // Istio takes TCP's where HTTP has none.
    idleTimeout: time('http.idleTimeout', http.idleTimeout) ?? tcpIdleTimeout,
    maxConcurrentStreams: count('http.maxConcurrentStreams', http.maxConcurrentStreams),
    useClientProtocol: http.useClientProtocol || undefined,
    h2Upgrade: policy === 'DEFAULT' ? undefined : policy === 'UPGRADE',
  };
  return defined(all);
};

/** Without what is undefined. */
const defined = <T extends object>(values: T): { readonly [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }; // exactly what the filter did

/** Istio's and Envoy's defaults; 0 turns a detector off. */
const OUTLIER_DEFAULTS = {
  consecutive5xx: 5,
  consecutiveLocalOriginFailures: 5,
  interval: 10_000,
  baseEjectionTime: 30_000,
  maxEjectionPercent: 10,
};

const outlierOf = (problems: Problems, path: string, written: IstioOutlierDetection): OutlierPolicy => {
  if (written.consecutiveErrors) {
    problems.unsupported(
      `${path}.consecutiveErrors`,
      'is no longer read (nor by Istio)',
      'use consecutiveGatewayErrors or consecutive5xxErrors',
    );
  }
  if ((written.outlierDetectionHttpErrorCodes?.length ?? 0) > 0) {
    problems.unsupported(`${path}.outlierDetectionHttpErrorCodes`, 'only answers of 5xx count as errors');
  }
  const detector = (field: 'consecutive5xxErrors' | 'consecutiveGatewayErrors' | 'consecutiveLocalOriginFailures', byDefault: number) =>
    countAt(problems, `${path}.${field}`, written[field] ?? byDefault);
  const percent = (field: 'maxEjectionPercent' | 'minHealthPercent', byDefault: number): number => {
    const value = written[field] || byDefault;
    if (value < 0 || value > 100) problems.invalid(`${path}.${field}`, `${value} is not a percentage`, 'write 0 to 100');
    return value;
  };
  const splitExternalLocalOrigin = written.splitExternalLocalOriginErrors ?? false;
  return {
    ...defined({
      consecutive5xx: detector('consecutive5xxErrors', OUTLIER_DEFAULTS.consecutive5xx),
      consecutiveGatewayErrors: detector('consecutiveGatewayErrors', 0),
      // Envoy's own default holds where 0 is written: the field can only be changed.
      consecutiveLocalOriginFailures: splitExternalLocalOrigin
        ? (detector('consecutiveLocalOriginFailures', 0) ?? OUTLIER_DEFAULTS.consecutiveLocalOriginFailures)
        : undefined,
    }),
    splitExternalLocalOrigin,
    interval: durationAt(problems, `${path}.interval`, written.interval) ?? OUTLIER_DEFAULTS.interval,
    baseEjectionTime: durationAt(problems, `${path}.baseEjectionTime`, written.baseEjectionTime) ?? OUTLIER_DEFAULTS.baseEjectionTime,
    maxEjectionPercent: percent('maxEjectionPercent', OUTLIER_DEFAULTS.maxEjectionPercent),
    minHealthPercent: percent('minHealthPercent', 0),
  };
};

const TLS_MODES: Readonly<Record<string, BackendTls['mode']>> = {
  DISABLE: 'disable',
  SIMPLE: 'simple',
  MUTUAL: 'mutual',
  ISTIO_MUTUAL: 'mesh',
};
const CERTIFICATE_FIELDS = ['clientCertificate', 'privateKey', 'caCertificates', 'credentialName'] as const;

/** ClientTLSSettings; what would weaken the check of a certificate when left out refuses the object. */
const tlsOf = (problems: Problems, path: string, written: IstioClientTls | undefined): { readonly tls?: BackendTls } => {
  if (written === undefined) return {};
  const text = written.mode ?? 'DISABLE';
  const mode = Object.hasOwn(TLS_MODES, text) ? TLS_MODES[text] : undefined;
  if (mode === undefined) return problems.invalid(`${path}.mode`, `${text} is not a mode`, Object.keys(TLS_MODES).join(', ')) ?? {};
  if (written.caCrl) problems.invalid(`${path}.caCrl`, 'revocation lists are not checked, and what they revoke must not be trusted');
  const files = CERTIFICATE_FIELDS.filter((field) => written[field]);
  if (mode === 'mesh' && files.length > 0) problems.invalid(path, `ISTIO_MUTUAL uses the mesh's own certificates, not ${files.join(', ')}`);
  if (written.credentialName && files.length > 1)
    problems.invalid(path, `has credentialName beside ${files.filter((f) => f !== 'credentialName').join(', ')}`);
  if (mode === 'mutual' && !written.credentialName && !(written.clientCertificate && written.privateKey)) {
    problems.invalid(path, 'MUTUAL needs clientCertificate and privateKey, or credentialName');
  }
  return {
    tls: {
      mode,
      ...defined({
        sni: written.sni || undefined,
        subjectAltNames: written.subjectAltNames?.length ? written.subjectAltNames : undefined,
        insecureSkipVerify: written.insecureSkipVerify || undefined,
        credentialName: written.credentialName || undefined,
        caCertificates: written.caCertificates || undefined,
        clientCertificate: written.clientCertificate || undefined,
        privateKey: written.privateKey || undefined,
      }),
    },
  };
};
