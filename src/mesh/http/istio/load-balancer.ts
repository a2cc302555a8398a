import type { BackendPolicy, HashSource, LoadBalancerPolicy, LocalityPolicy } from '../plan.ts';
import type { IstioConsistentHash, IstioLoadBalancer, IstioLocalitySetting } from './destination-rule-object.ts';
import { durationAt } from './duration.ts';
import type { Problems } from './problem.ts';

export type LoadBalancing = Pick<BackendPolicy, 'loadBalancer' | 'locality' | 'warmup'>;

const SIMPLE: Readonly<Record<string, 'least-request' | 'round-robin' | 'random'>> = {
  UNSPECIFIED: 'least-request',
  LEAST_CONN: 'least-request',
  LEAST_REQUEST: 'least-request',
  ROUND_ROBIN: 'round-robin',
  RANDOM: 'random',
};
/** Envoy's defaults and limits. */
const RING_SIZE = { default: 1024, max: 8_388_608 };
const MAGLEV_SIZE = { default: 65_537, max: 5_000_011 };
const WARMUP_DEFAULTS = { minimumPercent: 10, aggression: 1 };

/** LoadBalancerSettings. */
export const loadBalancingOf = (problems: Problems, path: string, written: IstioLoadBalancer): LoadBalancing => {
  if (written.simple !== undefined && written.consistentHash !== undefined) problems.invalid(path, 'has both simple and consistentHash');
  if (written.zoneAwareLbSetting !== undefined) {
    problems.unsupported(`${path}.zoneAwareLbSetting`, 'is not implemented: all zones are equal', 'use localityLbSetting');
  }
  const loadBalancer =
    written.consistentHash === undefined
      ? simpleOf(problems, `${path}.simple`, written.simple)
      : hashOf(problems, `${path}.consistentHash`, written.consistentHash);
  const locality = localityOf(problems, `${path}.localityLbSetting`, written.localityLbSetting);
  const warmup = warmupOf(problems, path, written);
  const slow = loadBalancer === undefined || loadBalancer.kind === 'least-request' || loadBalancer.kind === 'round-robin';
  if (warmup !== undefined && !slow) problems.unsupported(path, 'warm-up goes only with LEAST_REQUEST and ROUND_ROBIN: there is none');
  return {
    ...(loadBalancer !== undefined && { loadBalancer }),
    ...(locality !== undefined && { locality }),
    ...(warmup !== undefined && slow && { warmup }),
  };
};

const simpleOf = (problems: Problems, path: string, simple: string | undefined): LoadBalancerPolicy | undefined => {
  if (simple === undefined) return undefined;
  if (simple === 'PASSTHROUGH') {
    return problems.unsupported(
      path,
      'a waypoint always chooses the endpoint, as LEAST_REQUEST does',
      'remove use-waypoint to go straight',
    );
  }
  const kind = Object.hasOwn(SIMPLE, simple) ? SIMPLE[simple] : undefined;
  return kind === undefined ? problems.invalid(path, `${simple} is not a load balancer`, Object.keys(SIMPLE).join(', ')) : { kind };
};

const hashOf = (problems: Problems, path: string, written: IstioConsistentHash): LoadBalancerPolicy | undefined => {
  const hash = hashSource(problems, path, written);
  if (written.ringHash !== undefined && written.maglev !== undefined) return problems.invalid(path, 'has both ringHash and maglev');
  if (written.maglev !== undefined) {
    const tableSize = written.maglev.tableSize || MAGLEV_SIZE.default;
    if (tableSize > MAGLEV_SIZE.max || !isPrime(tableSize)) {
      return problems.invalid(`${path}.maglev.tableSize`, `${tableSize} is not a prime number of at most ${MAGLEV_SIZE.max}`);
    }
    return hash && { kind: 'maglev', hash, tableSize };
  }
  const [at, size] =
    written.ringHash === undefined
      ? ['minimumRingSize', written.minimumRingSize]
      : ['ringHash.minimumRingSize', written.ringHash.minimumRingSize];
  const minimumRingSize = size || RING_SIZE.default;
  if (!Number.isInteger(minimumRingSize) || minimumRingSize < 1 || minimumRingSize > RING_SIZE.max) {
    return problems.invalid(`${path}.${at}`, `${minimumRingSize} is not 1 to ${RING_SIZE.max}`);
  }
  return hash && { kind: 'ring-hash', hash, minimumRingSize };
};

const hashSource = (problems: Problems, path: string, written: IstioConsistentHash): HashSource | undefined => {
  const { httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName } = written;
  const given = [httpHeaderName || undefined, httpCookie, useSourceIp || undefined, httpQueryParameterName || undefined];
  if (given.filter((value) => value !== undefined).length !== 1) {
    return problems.invalid(path, 'needs exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName');
  }
  if (httpHeaderName) return { kind: 'header', name: httpHeaderName.toLowerCase() };
  if (httpQueryParameterName) return { kind: 'query', name: httpQueryParameterName };
  if (httpCookie === undefined) return { kind: 'source-ip' };
  const at = `${path}.httpCookie`;
  if (httpCookie.name === '') return problems.invalid(`${at}.name`, 'is empty');
  if ((httpCookie.attributes?.length ?? 0) > 0)
    problems.unsupported(`${at}.attributes`, 'cookies are made with a path and a lifetime only');
  const ttl = durationAt(problems, `${at}.ttl`, httpCookie.ttl, 0);
  return { kind: 'cookie', name: httpCookie.name, ...(httpCookie.path && { path: httpCookie.path }), ...(ttl !== undefined && { ttl }) };
};

const isPrime = (value: number): boolean => {
  if (!Number.isInteger(value) || value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
};

const localityOf = (problems: Problems, path: string, written: IstioLocalitySetting | undefined): LocalityPolicy | undefined => {
  if (written === undefined) return undefined;
  const { distribute = [], failover = [], failoverPriority = [], enabled } = written;
  if (distribute.length > 0 && failover.length + failoverPriority.length > 0) {
    problems.invalid(path, 'has distribute beside failover or failoverPriority');
  }
  const shares = distribute.map(({ from = '', to = {} }, i) => {
    const at = `${path}.distribute[${i}]`;
    const weights = Object.entries(to).map(([locality, weight]) => ({ locality, weight }));
    const sum = weights.reduce((total, { weight }) => total + weight, 0);
    if (from === '') problems.invalid(`${at}.from`, 'is empty');
    if (sum !== 100) problems.invalid(`${at}.to`, `the weights make ${sum}, not 100`);
    return { from, to: weights };
  });
  const pairs = failover.map(({ from = '', to = '' }, i) => {
    if (from === '' || to === '') problems.invalid(`${path}.failover[${i}]`, 'needs from and to');
    if (from === to) problems.invalid(`${path}.failover[${i}]`, `leads from ${from} to itself`);
    return { from, to };
  });
  return {
    isEnabled: enabled ?? true,
    ...(shares.length > 0 && { distribute: shares }),
    ...(pairs.length > 0 && { failover: pairs }),
    ...(failoverPriority.length > 0 && { failoverPriority }),
  };
};

/** `warmup`, or the older `warmupDurationSecs`. */
const warmupOf = (problems: Problems, path: string, { warmup, warmupDurationSecs }: IstioLoadBalancer): BackendPolicy['warmup'] => {
  const duration =
    warmup === undefined
      ? durationAt(problems, `${path}.warmupDurationSecs`, warmupDurationSecs)
      : durationAt(problems, `${path}.warmup.duration`, warmup.duration);
  const minimumPercent = warmup?.minimumPercent ?? WARMUP_DEFAULTS.minimumPercent;
  const aggression = warmup?.aggression ?? WARMUP_DEFAULTS.aggression;
  if (minimumPercent < 0 || minimumPercent > 100)
    problems.invalid(`${path}.warmup.minimumPercent`, `${minimumPercent} is not a percentage`);
  if (aggression < 0) problems.invalid(`${path}.warmup.aggression`, `${aggression} is not 0 or more`);
  return duration === undefined ? undefined : { duration, minimumPercent, aggression };
};
