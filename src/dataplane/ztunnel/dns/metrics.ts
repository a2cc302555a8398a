/** Istio's metrics of DNS (ambient contract 8.1), and ours for limits. */
import type { Workload } from '../../../mesh/index.ts';
import type { Counter, Histogram, Registry } from '../../../platform/telemetry/index.ts';

const LABELS = ['request_query_type', 'request_protocol', 'source_canonical_service', 'source_canonical_revision'] as const;
const BUCKETS_S = [0.0005, 0.001, 0.01, 0.1, 1, 5];

export type DnsProtocol = 'udp' | 'tcp';
/** What a pod may not have more of, or the whole process. */
export type DnsLimit = 'queries-of-pod' | 'connections-of-pod' | 'descriptors' | 'unread-answers';

export class DnsMetrics {
  readonly #requests: Counter;
  readonly #forwarded: Counter;
  readonly #failures: Counter;
  readonly #duration: Histogram;
  readonly #limitHits: Counter;

  constructor(telemetry: Registry) {
    this.#requests = telemetry.counter('istio_dns_requests', 'Total number of DNS requests (unstable)', LABELS);
    this.#forwarded = telemetry.counter(
      'istio_dns_upstream_requests',
      'Total number of DNS requests forwarded to upstream (unstable)',
      LABELS,
    );
    this.#failures = telemetry.counter(
      'istio_dns_upstream_failures',
      'Total number of DNS requests that failed to forward upstream (unstable)',
      LABELS,
    );
    this.#duration = telemetry.histogram(
      'istio_dns_upstream_request_duration_seconds',
      'Total time in seconds Istio takes to get DNS response from upstream (unstable)',
      BUCKETS_S,
      LABELS,
    );
    this.#limitHits = telemetry.counter('lateen_dns_limit_hits', 'DNS queries and connections refused because of a limit (unstable)', [
      'limit',
    ]);
  }

  limitHit(limit: DnsLimit): void {
    this.#limitHits.labels({ limit }).inc();
  }

  series(type: string, protocol: DnsProtocol, source: Workload | undefined) {
    const labels = {
      request_query_type: type,
      request_protocol: protocol,
      source_canonical_service: source?.canonicalName || 'unknown',
      source_canonical_revision: source?.canonicalRevision || 'unknown',
    };
    return {
      requests: this.#requests.labels(labels),
      forwarded: this.#forwarded.labels(labels),
      failures: this.#failures.labels(labels),
      duration: this.#duration.labels(labels),
    };
  }
}

export type DnsSeries = ReturnType<DnsMetrics['series']>;

/** The series of one pod, looked up once each. */
export class PodDnsMetrics {
  readonly #metrics: DnsMetrics;
  readonly #series = new Map<string, DnsSeries>();
  #source: Workload | undefined;

  constructor(metrics: DnsMetrics) {
    this.#metrics = metrics;
  }

  of(type: string, protocol: DnsProtocol, source: Workload | undefined): DnsSeries {
    if (source !== this.#source) {
      this.#series.clear();
      this.#source = source;
    }
    const key = protocol + type;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = this.#metrics.series(type, protocol, source);
      this.#series.set(key, series);
    }
    return series;
  }

  limitHit(limit: DnsLimit): void {
    this.#metrics.limitHit(limit);
  }
}
