/** The connection metrics of a node proxy (ambient contract 8.1), with label sets resolved once per pair of workloads. */
import {
  type Counter,
  type CounterHandle,
  type Gauge,
  type GaugeHandle,
  type LabelSet,
  type Labels,
  labelSet,
  type Registry,
} from '../../platform/telemetry/index.ts';
import type { ResponseFlag } from './end-reason.ts';
import { LABEL_NAMES, labelsOf, type Reporter, type TrafficParties } from './traffic-labels.ts';

/** Which kind of listener accepted a socket. */
export type SocketSide = Exclude<Reporter, 'waypoint'>;

/** The series of one pair of workloads. */
export class TrafficSeries {
  readonly opened: CounterHandle;
  readonly received: CounterHandle;
  readonly sent: CounterHandle;
  readonly #metrics: TrafficMetrics;
  readonly #labels: LabelSet;
  #closedOk: CounterHandle | undefined;

  constructor(metrics: TrafficMetrics, labels: Labels) {
    this.#metrics = metrics;
    const set = labelSet(LABEL_NAMES, labels);
    this.#labels = set;
    this.opened = metrics.opened.of(set);
    this.received = metrics.received.of(set);
    this.sent = metrics.sent.of(set);
  }

  close(flag: ResponseFlag): void {
    if (flag === '-') {
      this.#closedOk ??= this.#metrics.closed.of(this.#labels);
      this.#closedOk.value++;
      return;
    }
    const labels = Object.fromEntries(this.#labels.names.map((name, index) => [name, this.#labels.values[index]]));
    const failed = labelSet(LABEL_NAMES, { ...labels, response_flags: flag });
    this.#metrics.closed.of(failed).inc();
    this.#metrics.failed.of(failed).inc();
  }
}

/** Stands for "no workload" as a key. */
const NOBODY = {};

export class TrafficMetrics {
  readonly opened: Counter;
  readonly closed: Counter;
  readonly received: Counter;
  readonly sent: Counter;
  readonly failed: Counter;
  readonly sockets: Gauge;
  readonly #socketHandles: Record<SocketSide, GaugeHandle>;
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

  get openSockets(): number {
    return this.#socketHandles.source.value + this.#socketHandles.destination.value;
  }

  socketOpened(reporter: SocketSide): void {
    this.#socketHandles[reporter].value++;
  }

  socketClosed(reporter: SocketSide): void {
    this.#socketHandles[reporter].value--;
  }

  series(parties: TrafficParties): TrafficSeries {
    // What a peer says of itself has no bound, so it is not remembered.
    const isTold = parties.destinationBaggage !== undefined || (parties.source === undefined && parties.sourceBaggage !== undefined);
    if (isTold) return new TrafficSeries(this, labelsOf(parties));
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
