/** The connection metrics of a node proxy (ambient contract 8.1), with label sets resolved once per pair of workloads. */
import { formatIdentity, type Service, type Workload, workloadIdentity } from '../../mesh/index.ts';
import type { Counter, CounterHandle, Gauge, GaugeHandle, Labels, Registry } from '../../platform/telemetry/index.ts';
import type { Baggage } from '../../protocol/index.ts';
import type { ResponseFlag } from '../core/end-reason.ts';

export type Reporter = 'source' | 'destination';

const LABEL_NAMES = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_service',
  'destination_service_namespace',
  'destination_service_name',
  'destination_workload',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_cluster',
  'request_protocol',
  'response_flags',
  'connection_security_policy',
  'source_region',
  'source_zone',
  'destination_region',
  'destination_zone',
] as const;

/** Who is at the ends of a connection, as far as it is known. */
export interface TrafficParties {
  readonly reporter: Reporter;
  readonly source: Workload | undefined;
  /** What the client says of itself; used where the workload is not known. */
  readonly sourceBaggage?: Baggage | undefined;
  /** From the certificate; else the source workload's own. */
  readonly sourcePrincipal?: string | undefined;
  readonly destination: Workload | undefined;
  readonly service: Service | undefined;
  readonly isMutualTls: boolean;
}

/** The series of one pair of workloads. */
export class TrafficSeries {
  readonly opened: CounterHandle;
  readonly received: CounterHandle;
  readonly sent: CounterHandle;
  readonly #metrics: TrafficMetrics;
  readonly #labels: Labels;
  #closedOk: CounterHandle | undefined;

  constructor(metrics: TrafficMetrics, labels: Labels) {
    this.#metrics = metrics;
    this.#labels = labels;
    this.opened = metrics.opened.labels(labels);
    this.received = metrics.received.labels(labels);
    this.sent = metrics.sent.labels(labels);
  }

  close(flag: ResponseFlag): void {
    if (flag === '-') {
      this.#closedOk ??= this.#metrics.closed.labels(this.#labels);
      this.#closedOk.value++;
      return;
    }
    const labels = { ...this.#labels, response_flags: flag };
    this.#metrics.closed.labels(labels).inc();
    this.#metrics.failed.labels(labels).inc();
  }
}

const UNKNOWN = 'unknown';
const known = (value: string | undefined): string => (value === undefined || value === '' ? UNKNOWN : value);
/** Stands for "no workload" as a key. */
const NOBODY = {};

export class TrafficMetrics {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly received: Counter;
  readonly sent: Counter;
  readonly failed: Counter;
  readonly sockets: Gauge;
  readonly #socketHandles: Record<Reporter, GaugeHandle>;
  /** By source, then destination: workload objects are replaced when they change, so nothing here goes stale. */
  readonly #cache = new WeakMap<object, WeakMap<object, Map<string, TrafficSeries>>>();

  constructor(registry: Registry) {
    this.opened = registry.counter('istio_tcp_connections_opened', 'The total number of TCP connections opened', LABEL_NAMES);
    this.closed = registry.counter('istio_tcp_connections_closed', 'The total number of TCP connections closed', LABEL_NAMES);
    this.received = registry.counter(
      'istio_tcp_received_bytes',
      'The size of total bytes received during request in case of a TCP connection',
      LABEL_NAMES,
    );
    this.sent = registry.counter(
      'istio_tcp_sent_bytes',
      'The size of total bytes sent during response in case of a TCP connection',
      LABEL_NAMES,
    );
    this.failed = registry.counter(
      'istio_tcp_connections_failed',
      'The total number of TCP connections that failed (unstable)',
      LABEL_NAMES,
    );
    this.sockets = registry.gauge('istio_tcp_sockets_open', 'The current number of open TCP sockets (unstable)', ['reporter']);
    this.#socketHandles = {
      source: this.sockets.labels({ reporter: 'source' }),
      destination: this.sockets.labels({ reporter: 'destination' }),
    };
  }

  /** Streams of inbound tunnels, each with a socket to its application. */
  openStreams = 0;

  get openSockets(): number {
    return this.openStreams + this.#socketHandles.source.value + this.#socketHandles.destination.value;
  }

  socketOpened(reporter: Reporter): void {
    this.#socketHandles[reporter].value++;
  }

  socketClosed(reporter: Reporter): void {
    this.#socketHandles[reporter].value--;
  }

  series(parties: TrafficParties): TrafficSeries {
    // What a client says of itself has no bound, so it is not remembered.
    if (parties.source === undefined && parties.sourceBaggage !== undefined) return new TrafficSeries(this, labelsOf(parties));
    const bySource = getOrMake(this.#cache, parties.source ?? NOBODY, () => new WeakMap<object, Map<string, TrafficSeries>>());
    const byPair = getOrMake(bySource, parties.destination ?? NOBODY, () => new Map<string, TrafficSeries>());
    const service = parties.service;
    const key = `${parties.reporter}${parties.isMutualTls}${parties.sourcePrincipal ?? ''} ${service === undefined ? '' : `${service.namespace}/${service.hostname}`}`;
    let series = byPair.get(key);
    if (series === undefined) {
      series = new TrafficSeries(this, labelsOf(parties));
      byPair.set(key, series);
    }
    return series;
  }
}

function getOrMake<V>(map: WeakMap<object, V>, key: object, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function labelsOf(parties: TrafficParties): Labels {
  const { source, destination, service, isMutualTls } = parties;
  const said = source === undefined ? parties.sourceBaggage : undefined;
  // The identity a known workload has, also where the connection did not prove it: `connection_security_policy` tells which.
  const principal = (workload: Workload | undefined) => (workload ? formatIdentity(workloadIdentity(workload)) : UNKNOWN);
  const sourceApp = known(source?.canonicalName ?? said?.serviceName);
  const sourceVersion = known(source?.canonicalRevision ?? said?.serviceVersion);
  return {
    reporter: parties.reporter,
    source_workload: known(source?.workloadName ?? said?.workloadName),
    source_canonical_service: sourceApp,
    source_canonical_revision: sourceVersion,
    source_workload_namespace: known(source?.namespace ?? said?.namespace),
    source_principal: parties.sourcePrincipal ?? principal(source),
    source_app: sourceApp,
    source_version: sourceVersion,
    source_cluster: known(source?.clusterId ?? said?.clusterId),
    destination_service: known(service?.hostname),
    destination_service_namespace: known(service?.namespace),
    destination_service_name: known(service?.name),
    destination_workload: known(destination?.workloadName),
    destination_canonical_service: known(destination?.canonicalName),
    destination_canonical_revision: known(destination?.canonicalRevision),
    destination_workload_namespace: known(destination?.namespace),
    destination_principal: principal(destination),
    destination_app: known(destination?.canonicalName),
    destination_version: known(destination?.canonicalRevision),
    destination_cluster: known(destination?.clusterId),
    request_protocol: 'tcp',
    response_flags: '-',
    connection_security_policy: isMutualTls ? 'mutual_tls' : UNKNOWN,
    source_region: known(source?.locality.region ?? said?.region),
    source_zone: known(source?.locality.zone ?? said?.zone),
    destination_region: known(destination?.locality.region),
    destination_zone: known(destination?.locality.zone),
  };
}
