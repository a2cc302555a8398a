import { isIP } from 'node:net';
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  DestinationRule,
  LoadBalancerSettings,
  OutlierDetection,
  PortTrafficPolicy,
  TrafficPolicy,
} from './destination-rule.ts';
import {
  durationMilliseconds,
  durationProblems,
  exportProblems,
  hostNameProblem,
  integerPercentProblems,
  labelProblems,
  notNegative,
  portProblems,
  selectorProblems,
  wildcardHostProblem,
} from './istio-rules.ts';
import { duplicate, type FieldProblem, forbidden, invalid, notSupported, required } from './kind.ts';
import { validateLabels } from './labels.ts';
import { localityProblems } from './locality-validation.ts';

/** What Istio's webhook refuses in a DestinationRule. */
export function validateDestinationRule({ spec, metadata }: DestinationRule): FieldProblem[] {
  if (spec === undefined) return [];
  const problem = spec.host === undefined ? undefined : wildcardHostProblem(spec.host);
  const problems = problem === undefined ? [] : [invalid('spec.host', spec.host, problem)];
  problems.push(...trafficPolicyProblems(spec.trafficPolicy, 'spec.trafficPolicy'));
  const names = new Set<string>();
  spec.subsets?.forEach((subset, index) => {
    const at = `spec.subsets[${index}]`;
    if (subset.name !== undefined) problems.push(...labelProblems(subset.name, `${at}.name`));
    if (names.has(subset.name)) problems.push(duplicate(`${at}.name`, subset.name));
    names.add(subset.name);
    problems.push(...validateLabels(subset.labels, `${at}.labels`), ...trafficPolicyProblems(subset.trafficPolicy, `${at}.trafficPolicy`));
  });
  problems.push(...exportProblems(spec.exportTo, metadata.namespace, 'spec.exportTo'));
  if (spec.workloadSelector !== undefined) {
    problems.push(...selectorProblems(spec.workloadSelector.matchLabels, 'spec.workloadSelector.matchLabels'));
    if ((spec.exportTo ?? []).some((entry) => entry !== '.' && entry !== metadata.namespace))
      problems.push(forbidden('spec.exportTo', 'a rule with a workloadSelector cannot be exported beyond its namespace'));
  }
  return problems;
}

function trafficPolicyProblems(policy: TrafficPolicy | undefined, field: string): FieldProblem[] {
  if (policy === undefined) return [];
  if (Object.keys(policy).length === 0) return [required(field, 'at least one field must be given')];
  const problems = portPolicyProblems(policy, field);
  if (policy.tunnel !== undefined && policy.proxyProtocol !== undefined)
    problems.push(forbidden(`${field}.proxyProtocol`, 'cannot be given together with tunnel'));
  policy.portLevelSettings?.forEach((settings, index) => {
    const at = `${field}.portLevelSettings[${index}]`;
    if (settings.port === undefined) problems.push(required(`${at}.port`));
    else problems.push(...portProblems(settings.port.number ?? 0, `${at}.port.number`));
    const { port: _port, ...rest } = settings;
    if (Object.keys(rest).length === 0) problems.push(required(at, 'at least one field beside port must be given'));
    problems.push(...portPolicyProblems(settings, at));
  });
  if (policy.tunnel !== undefined) {
    const { protocol = '', targetHost = '', targetPort = 0 } = policy.tunnel;
    if (!['', 'CONNECT', 'POST'].includes(protocol)) problems.push(notSupported(`${field}.tunnel.protocol`, protocol, ['CONNECT', 'POST']));
    const problem = isIP(targetHost) === 0 ? hostNameProblem(targetHost) : undefined;
    if (problem !== undefined) problems.push(invalid(`${field}.tunnel.targetHost`, targetHost, problem));
    problems.push(...portProblems(targetPort, `${field}.tunnel.targetPort`));
  }
  return problems;
}

/** The fields that a policy has for all ports and for single ones. */
const portPolicyProblems = (policy: PortTrafficPolicy, field: string): FieldProblem[] => [
  ...connectionPoolProblems(policy.connectionPool, `${field}.connectionPool`),
  ...loadBalancerProblems(policy.loadBalancer, `${field}.loadBalancer`),
  ...outlierProblems(policy.outlierDetection, `${field}.outlierDetection`),
  ...tlsProblems(policy.tls, `${field}.tls`),
];

function connectionPoolProblems(pool: ConnectionPoolSettings | undefined, field: string): FieldProblem[] {
  if (pool === undefined) return [];
  const { http, tcp } = pool;
  const problems: FieldProblem[] = [];
  if (http === undefined && tcp === undefined) problems.push(required(field, 'http or tcp must be given'));
  for (const name of [
    'http1MaxPendingRequests',
    'http2MaxRequests',
    'maxRequestsPerConnection',
    'maxRetries',
    'maxConcurrentStreams',
  ] as const)
    problems.push(...notNegative(http?.[name], `${field}.http.${name}`));
  problems.push(...durationProblems(http?.idleTimeout, `${field}.http.idleTimeout`));
  if (http?.h2UpgradePolicy === 'UPGRADE' && http.useClientProtocol === true)
    problems.push(forbidden(`${field}.http.useClientProtocol`, 'cannot be true when h2UpgradePolicy is UPGRADE'));
  if (http?.http2KeepAlive !== undefined)
    for (const name of ['interval', 'timeout'] as const) {
      const value = http.http2KeepAlive[name];
      const at = `${field}.http.http2KeepAlive.${name}`;
      problems.push(...(value === undefined ? [required(at)] : durationProblems(value, at)));
    }
  problems.push(...notNegative(tcp?.maxConnections, `${field}.tcp.maxConnections`));
  for (const name of ['connectTimeout', 'maxConnectionDuration'] as const)
    problems.push(...durationProblems(tcp?.[name], `${field}.tcp.${name}`));
  // 0 switches the idle timeout off
  if (tcp?.idleTimeout !== undefined && durationMilliseconds(tcp.idleTimeout) !== 0)
    problems.push(...durationProblems(tcp.idleTimeout, `${field}.tcp.idleTimeout`));
  for (const name of ['time', 'interval'] as const)
    problems.push(...durationProblems(tcp?.tcpKeepalive?.[name], `${field}.tcp.tcpKeepalive.${name}`));
  return problems;
}

/** Maglev tables are smaller than this, and of a prime size. */
const TABLE_SIZE = 5_000_011;

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let factor = 2; factor * factor <= value; factor++) if (value % factor === 0) return false;
  return true;
}

function loadBalancerProblems(balancer: LoadBalancerSettings | undefined, field: string): FieldProblem[] {
  if (balancer === undefined) return [];
  const problems: FieldProblem[] = [];
  const { consistentHash: hash, warmup } = balancer;
  if (hash !== undefined) {
    const at = `${field}.consistentHash`;
    if (hash.httpCookie?.name === '') problems.push(required(`${at}.httpCookie.name`));
    const names = new Set<string>();
    hash.httpCookie?.attributes?.forEach(({ name }, index) => {
      const where = `${at}.httpCookie.attributes[${index}].name`;
      if (name === '') problems.push(required(where));
      else if (names.has(name)) problems.push(duplicate(where, name));
      names.add(name);
    });
    if ((hash.minimumRingSize ?? 0) !== 0 && (hash.ringHash !== undefined || hash.maglev !== undefined))
      problems.push(forbidden(`${at}.minimumRingSize`, 'cannot be given together with ringHash or maglev'));
    const size = hash.maglev === undefined ? undefined : (hash.maglev.tableSize ?? 0);
    if (size !== undefined && (size >= TABLE_SIZE || !isPrime(size)))
      problems.push(invalid(`${at}.maglev.tableSize`, size, `must be a prime number below ${TABLE_SIZE}`));
  }
  problems.push(...localityProblems(balancer, field));
  problems.push(...durationProblems(balancer.warmupDurationSecs, `${field}.warmupDurationSecs`));
  problems.push(...durationProblems(warmup?.duration, `${field}.warmup.duration`));
  if (warmup?.aggression === 0) problems.push(invalid(`${field}.warmup.aggression`, 0, 'must be greater than 0'));
  return problems;
}

function outlierProblems(outlier: OutlierDetection | undefined, field: string): FieldProblem[] {
  if (outlier === undefined) return [];
  const problems = [
    ...durationProblems(outlier.interval, `${field}.interval`),
    ...durationProblems(outlier.baseEjectionTime, `${field}.baseEjectionTime`),
    ...integerPercentProblems(outlier.maxEjectionPercent, `${field}.maxEjectionPercent`),
    ...integerPercentProblems(outlier.minHealthPercent, `${field}.minHealthPercent`),
  ];
  if (outlier.splitExternalLocalOriginErrors !== true && (outlier.consecutiveLocalOriginFailures ?? 0) > 0)
    problems.push(forbidden(`${field}.consecutiveLocalOriginFailures`, 'needs splitExternalLocalOriginErrors'));
  return problems;
}

function tlsProblems(tls: ClientTlsSettings | undefined, field: string): FieldProblem[] {
  if (tls === undefined) return [];
  const problems: FieldProblem[] = [];
  const own = ['clientCertificate', 'privateKey', 'caCertificates', 'caCrl'] as const;
  const isSet = (name: keyof ClientTlsSettings) => (tls[name] ?? '') !== '';
  const hasCredential = (tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL') && isSet('credentialName');
  if (tls.insecureSkipVerify === true) {
    const excluded = tls.mode === 'SIMPLE' ? (['caCertificates', 'credentialName'] as const) : (['caCertificates'] as const);
    if (tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL') {
      for (const name of excluded)
        if (isSet(name)) problems.push(forbidden(`${field}.${name}`, 'cannot be given when insecureSkipVerify is true'));
      if (tls.subjectAltNames !== undefined)
        problems.push(forbidden(`${field}.subjectAltNames`, 'cannot be given when insecureSkipVerify is true'));
    }
  }
  if (hasCredential) {
    for (const name of own) if (isSet(name)) problems.push(forbidden(`${field}.${name}`, 'cannot be given together with credentialName'));
  } else if (tls.mode === 'MUTUAL') {
    for (const name of ['clientCertificate', 'privateKey'] as const)
      if (!isSet(name)) problems.push(required(`${field}.${name}`, 'must be given for mode MUTUAL'));
  }
  return problems;
}
