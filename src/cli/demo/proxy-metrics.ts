import type { KubeClient } from '../../platform/kubernetes/index.ts';
import type { PodView } from '../pods/choose.ts';
import { PodHttp } from './pod-http.ts';

const METRICS_PORT = 15_020;

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** Reads the text format of Prometheus and OpenMetrics, as far as counters and gauges need it. */
export const parseMetrics = (text: string): Sample[] => {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = SAMPLE.exec(line);
    if (match === null) continue;
    const labels: Record<string, string> = {};
    for (const [, key, value] of (match[2] ?? '').matchAll(LABEL))
      labels[key!] = value!.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    samples.push({ name: match[1]!, labels, value: Number(match[3]) });
  }
  return samples;
};

/** Connections between pods of the given namespaces, as the proxies counted them. */
export interface ConnectionCount {
  readonly mutualTls: number;
  readonly plaintext: number;
}

/**
 * Opened connections by security. The destination's count covers what arrived through the mesh; the source's plaintext adds what left it unencrypted.
 */
export const countConnections = (samples: readonly Sample[], namespaces: ReadonlySet<string>): ConnectionCount => {
  let mutualTls = 0;
  let plaintext = 0;
  for (const { name, labels, value } of samples) {
    if (name !== 'istio_tcp_connections_opened_total') continue;
    if (!namespaces.has(labels['source_workload_namespace'] ?? '') || !namespaces.has(labels['destination_workload_namespace'] ?? ''))
      continue;
    if (labels['connection_security_policy'] !== 'mutual_tls') plaintext += value;
    else if (labels['reporter'] === 'destination') mutualTls += value;
  }
  return { mutualTls, plaintext };
};

/** Requests a waypoint has answered, as Istio's standard metric counts them. */
export const countRequests = (samples: readonly Sample[]): number =>
  samples
    .filter(({ name, labels }) => name === 'istio_requests_total' && labels['reporter'] === 'waypoint')
    .reduce((sum, { value }) => sum + value, 0);

/** The request counts of a waypoint's replicas. */
export class WaypointMetrics {
  readonly #replicas: readonly PodHttp[];

  constructor(client: KubeClient, replicas: readonly PodView[]) {
    this.#replicas = replicas.map((pod) => new PodHttp(client, pod, METRICS_PORT));
  }

  async requests(): Promise<number> {
    const counts = await Promise.all(this.#replicas.map(async (replica) => countRequests(parseMetrics(await replica.text('/metrics')))));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    for (const replica of this.#replicas) replica.close();
  }
}

/** The node proxies' metrics, over forwards that stay open for the whole demo. */
export class ProxyMetrics {
  readonly #proxies: readonly PodHttp[];
  readonly #namespaces: ReadonlySet<string>;

  constructor(client: KubeClient, proxies: readonly PodView[], namespaces: readonly string[]) {
    this.#proxies = proxies.map((pod) => new PodHttp(client, pod, METRICS_PORT));
    this.#namespaces = new Set(namespaces);
  }

  async connections(): Promise<ConnectionCount> {
    const counts = await Promise.all(
      this.#proxies.map(async (proxy) => countConnections(parseMetrics(await proxy.text('/metrics')), this.#namespaces)),
    );
    return counts.reduce((sum, one) => ({ mutualTls: sum.mutualTls + one.mutualTls, plaintext: sum.plaintext + one.plaintext }), {
      mutualTls: 0,
      plaintext: 0,
    });
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.close();
  }
}
