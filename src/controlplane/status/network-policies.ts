import { type Event, EventKind, type Informer, type KubeClient, type NetworkPolicy } from '../../platform/kubernetes/index.ts';
import type { GaugeHandle, Logger } from '../../platform/telemetry/index.ts';

/** A message of an event, as the API server takes it. */
const MESSAGE_LIMIT = 1024;

export interface NetworkPolicySources {
  readonly client: KubeClient;
  readonly policies: Informer<NetworkPolicy>;
  /** Of a policy (`namespace/name`); undefined when there is none. */
  readonly problemsOf: (key: string) => readonly string[] | undefined;
  /** How many policies have problems. */
  readonly count: GaugeHandle;
  readonly log: Logger;
}

/** NetworkPolicies have no status: what is not understood of one is said in an event, once for each way of being wrong, and in the log. */
export class NetworkPolicyProblems {
  readonly #sources: NetworkPolicySources;
  /** Of policies that have problems, in words. */
  readonly #said = new Map<string, string>();

  constructor(sources: NetworkPolicySources) {
    this.#sources = sources;
  }

  /** These policies have come, gone or changed. */
  update(keys: Iterable<string>): void {
    const { policies, problemsOf, count, log } = this.#sources;
    for (const key of keys) {
      const text = problemsOf(key)?.join('; ') ?? '';
      if (text === '') this.#said.delete(key);
      if (text === '' || this.#said.get(key) === text) continue;
      this.#said.set(key, text);
      log.warn(`NetworkPolicy ${key}: what is not understood allows nothing: ${text}`);
      const slash = key.indexOf('/');
      const policy = policies.get(key.slice(0, slash), key.slice(slash + 1));
      if (policy !== undefined)
        void this.#event(policy, text).catch((error: Error) =>
          log.warn(`an event about NetworkPolicy ${key} was not written: ${error.message}`),
        );
    }
    count.set(this.#said.size);
  }

  async #event({ metadata }: NetworkPolicy, text: string): Promise<void> {
    const { name = '', namespace = '', uid = '' } = metadata;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    await this.#sources.client.create<Event>(EventKind, {
      metadata: { name: `${name}.${crypto.randomUUID().slice(0, 8)}`, namespace },
      type: 'Warning',
      reason: 'NotUnderstood',
      message: `what is not understood allows nothing: ${text}`.slice(0, MESSAGE_LIMIT),
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: 'istiod' },
      involvedObject: { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', namespace, name, uid },
    });
  }
}
