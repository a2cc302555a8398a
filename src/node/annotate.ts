/** What the agent writes to the API: the redirection annotation through `pods/status`, and events on pods. */
import { EventKind, isNotFound, type KubeClient, type Pod, PodKind } from '../platform/kubernetes/index.ts';
import type { Logger } from '../platform/telemetry/index.ts';

export const REDIRECTION = 'ambient.istio.io/redirection';
/** The same event about the same pod is not repeated within this time. */
const EVENT_REPEAT_MS = 5 * 60_000;
/** Events remembered for that; the oldest is forgotten first. */
const MAX_REMEMBERED_EVENTS = 2_048;

export type Redirection = 'enabled' | 'pending' | undefined;

export interface PodRef {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
}

/** The part of the API the reconciler needs; the tests have their own. */
export interface PodWriter {
  /** Writes or removes the annotation; a pod that has gone is not an error. */
  annotate(pod: PodRef, value: Redirection): Promise<void>;
  /** Fire and forget: a lost event must not hold up a pod. */
  event(pod: PodRef, reason: string, message: string): void;
}

export class KubePodWriter implements PodWriter {
  readonly #client: KubeClient;
  readonly #node: string;
  readonly #log: Logger;
  readonly #said = new Map<string, number>();

  constructor(client: KubeClient, node: string, log: Logger) {
    this.#client = client;
    this.#node = node;
    this.#log = log;
  }

  async annotate(pod: PodRef, value: Redirection): Promise<void> {
    // The uid makes the patch fail for a pod of the same name that came after.
    const patch = { metadata: { uid: pod.uid, annotations: { [REDIRECTION]: value ?? null } } };
    try {
      await this.#client.patchStatus<Pod>(PodKind, pod.name, patch, { namespace: pod.namespace, fieldManager: 'istio-cni' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  event(pod: PodRef, reason: string, message: string): void {
    const key = `${pod.uid} ${reason} ${message}`;
    const now = Date.now();
    if (now - (this.#said.get(key) ?? Number.NEGATIVE_INFINITY) < EVENT_REPEAT_MS) return;
    this.#said.delete(key);
    this.#said.set(key, now);
    if (this.#said.size > MAX_REMEMBERED_EVENTS) this.#said.delete(this.#said.keys().next().value!);
    this.#log.warn(message, { reason, pod: `${pod.namespace}/${pod.name}` });
    const time = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
    const event = {
      metadata: { generateName: `${pod.name}.`, namespace: pod.namespace },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', name: pod.name, namespace: pod.namespace, uid: pod.uid },
      reason,
      message,
      type: 'Warning',
      source: { component: 'istio-cni', host: this.#node },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      reportingComponent: 'istio-cni',
      reportingInstance: this.#node,
    };
    this.#client.create(EventKind, event, { namespace: pod.namespace }).catch((error: Error) => {
      this.#log.warn('event not recorded', { error: error.message });
    });
  }
}
