/** Metadata of the workload at one end of a tunnel (ambient-wire 1.4). What is unknown is absent. */
export interface Baggage {
  readonly clusterId?: string;
  readonly namespace?: string;
  readonly workloadType?: BaggageWorkloadType;
  readonly workloadName?: string;
  readonly serviceName?: string;
  readonly serviceVersion?: string;
  readonly region?: string;
  readonly zone?: string;
}

export type BaggageWorkloadType = 'deployment' | 'cronjob' | 'pod' | 'job';

type Field = Exclude<keyof Baggage, 'workloadType'>;

const KEYS: ReadonlyMap<string, readonly [field: Field, workloadType?: BaggageWorkloadType]> = new Map([
  ['k8s.cluster.name', ['clusterId']],
  ['k8s.namespace.name', ['namespace']],
  ['k8s.deployment.name', ['workloadName', 'deployment']],
  ['k8s.cronjob.name', ['workloadName', 'cronjob']],
  ['k8s.pod.name', ['workloadName', 'pod']],
  ['k8s.job.name', ['workloadName', 'job']],
  ['service.name', ['serviceName']],
  ['service.version', ['serviceVersion']],
  ['cloud.region', ['region']],
  ['cloud.availability_zone', ['zone']],
] as [string, [Field, BaggageWorkloadType?]][]);

/** Longest name or label value of Kubernetes (a DNS subdomain). Values become labels of metrics, which are kept: longer ones are no such names. */
export const MAX_BAGGAGE_VALUE = 253;

/** Visible ASCII without the two separators: there is no escaping, so anything else is left out rather than sent broken. */
const SENDABLE = /^[!-+\--<>-~]+$/;

/** The header value; empty when nothing is known, and then the header is not sent. */
export function encodeBaggage(baggage: Baggage): string {
  const parts: string[] = [];
  for (const [key, [field, workloadType]] of KEYS) {
    const value = baggage[field];
    if (workloadType !== undefined && (baggage.workloadType ?? 'pod') !== workloadType) continue;
    if (value !== undefined && SENDABLE.test(value)) parts.push(`${key}=${value}`);
  }
  return parts.join(',');
}

/** Unknown keys and values over {@link MAX_BAGGAGE_VALUE} are ignored, an empty value means absent, a repeated key takes the last value. No percent-encoding. */
export function parseBaggage(text: string): Baggage {
  const found: { -readonly [K in keyof Baggage]: Baggage[K] } = {};
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    if (equals < 0) continue;
    const known = KEYS.get(part.slice(0, equals).trim());
    const value = part.slice(equals + 1).trim();
    if (known === undefined || value === '' || value.length > MAX_BAGGAGE_VALUE) continue;
    found[known[0]] = value;
    if (known[1] !== undefined) found.workloadType = known[1];
  }
  return found;
}
