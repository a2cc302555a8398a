/** Istio's standard metrics of requests with `reporter="waypoint"` (ambient contract 8.2). Series are found once per pair of workloads, backend and answer. */
import type { Service, Workload } from '../../mesh/index.ts';
import { type CounterHandle, type HistogramHandle, type Labels, labelSet, type Registry } from '../../platform/telemetry/index.ts';
import { LABEL_NAMES, labelsOf } from '../core/traffic-labels.ts';

/** Upper ends of Istio's default buckets, milliseconds and octets. */
const BUCKETS = [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];
const REQUEST_LABELS = [...LABEL_NAMES, 'response_code', 'grpc_response_status'] as const;

/** For statuses that do not exist. */
const OTHER = 'other';
/** UNAUTHENTICATED (gRPC, "Status codes and their use"). */
const MAX_GRPC_STATUS = 16;
/** Kinds of answers that are remembered between two workloads; further ones are looked up each time. */
const MAX_ANSWERS = 200;

export interface RequestParties {
  readonly source: Workload | undefined;
  readonly sourcePrincipal: string;
  readonly destination: Workload | undefined;
  readonly service: Service | undefined;
}

export interface RequestFacts {
  readonly protocol: 'http' | 'grpc';
  /** 0: the client left before there was one. */
  readonly status: number;
  /** -1 when it was no gRPC call. */
  readonly grpcStatus: number;
  /** Empty: none. */
  readonly flags: string;
  readonly duration: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** 0 when it was no gRPC call. */
  readonly requestMessages: number;
  readonly responseMessages: number;
}

/** The series of one kind of answer between two workloads. */
export class RequestSeries {
  readonly total: CounterHandle;
  readonly duration: HistogramHandle;
  readonly requestBytes: HistogramHandle;
  readonly responseBytes: HistogramHandle;
  readonly requestMessages: CounterHandle | undefined;
  readonly responseMessages: CounterHandle | undefined;

  constructor(metrics: RequestMetrics, labels: Labels) {
    const set = labelSet(metrics.total.labelNames, labels);
    this.total = metrics.total.of(set);
    this.duration = metrics.duration.of(set);
    this.requestBytes = metrics.requestBytes.of(set);
    this.responseBytes = metrics.responseBytes.of(set);
    if (labels['request_protocol'] !== 'grpc') return;
    const { response_code: _code, grpc_response_status: _status, ...parties } = labels;
    this.requestMessages = metrics.requestMessages.labels(parties);
    this.responseMessages = metrics.responseMessages.labels(parties);
  }

  observe(facts: RequestFacts): void {
    this.total.value++;
    this.duration.observe(facts.duration);
    this.requestBytes.observe(facts.requestBytes);
    this.responseBytes.observe(facts.responseBytes);
    if (this.requestMessages !== undefined) this.requestMessages.value += facts.requestMessages;
    if (this.responseMessages !== undefined) this.responseMessages.value += facts.responseMessages;
  }
}

const NOBODY = {};

export class RequestMetrics {
  readonly total;
  readonly duration;
  readonly requestBytes;
  readonly responseBytes;
  readonly requestMessages;
  readonly responseMessages;
  /** By source, destination and service: these objects are replaced when they change, so nothing goes stale. */
  readonly #cache = new WeakMap<object, WeakMap<object, WeakMap<object, Map<string, RequestSeries>>>>();

  constructor(registry: Registry) {
    this.total = registry.counter('istio_requests', 'Requests, by who asked whom and what came of it', REQUEST_LABELS);
    this.duration = registry.histogram(
      'istio_request_duration_milliseconds',
      'From the first octet of a request to the last of its response (unstable)',
      BUCKETS,
      REQUEST_LABELS,
    );
    this.requestBytes = registry.histogram('istio_request_bytes', 'Octets of request bodies (unstable)', BUCKETS, REQUEST_LABELS);
    this.responseBytes = registry.histogram('istio_response_bytes', 'Octets of response bodies (unstable)', BUCKETS, REQUEST_LABELS);
    this.requestMessages = registry.counter('istio_request_messages', 'gRPC messages sent by clients (unstable)', LABEL_NAMES);
    this.responseMessages = registry.counter('istio_response_messages', 'gRPC messages sent by servers (unstable)', LABEL_NAMES);
  }

  record(parties: RequestParties, facts: RequestFacts): void {
    this.series(parties, facts).observe(facts);
  }

  /** To count in. */
  series(parties: RequestParties, facts: RequestFacts): RequestSeries {
    const bySource = getOrMake(
      this.#cache,
      parties.source ?? NOBODY,
      () => new WeakMap<object, WeakMap<object, Map<string, RequestSeries>>>(),
    );
    const byPair = getOrMake(bySource, parties.destination ?? NOBODY, () => new WeakMap<object, Map<string, RequestSeries>>());
    const byService = getOrMake(byPair, parties.service ?? NOBODY, () => new Map<string, RequestSeries>());
    const code = CODES[facts.status] ?? OTHER;
    const grpc = facts.grpcStatus < 0 ? '' : (CODES[facts.grpcStatus <= MAX_GRPC_STATUS ? facts.grpcStatus : -1] ?? OTHER);
    // Most answers are alike: a number as text is the whole key of an HTTP request without flags.
    let key =
      facts.flags === '' && facts.grpcStatus < 0 && facts.protocol === 'http' ? code : `${code} ${grpc} ${facts.protocol} ${facts.flags}`;
    // A workload has one identity, what is not known may have any.
    if (parties.source === undefined) key += ` ${parties.sourcePrincipal}`;
    const found = byService.get(key);
    if (found !== undefined) return found;
    const series = new RequestSeries(this, {
      ...labelsOf({
        reporter: 'waypoint',
        source: parties.source,
        sourcePrincipal: parties.sourcePrincipal,
        destination: parties.destination,
        service: parties.service,
        isMutualTls: true,
      }),
      request_protocol: facts.protocol,
      response_flags: facts.flags || '-',
      response_code: code,
      grpc_response_status: grpc,
    });
    // The families keep to their limit; what is remembered of them must have one too.
    if (byService.size < MAX_ANSWERS) byService.set(key, series);
    return series;
  }
}

/** Statuses there are (RFC 9110 section 15): an endpoint may write any number of three digits. */
const CODES: readonly string[] = Array.from({ length: 600 }, (_, code) => String(code));

function getOrMake<V extends object>(map: WeakMap<object, V>, key: object, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
