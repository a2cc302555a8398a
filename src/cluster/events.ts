/** Kubernetes events of this node's pods: repeated ones are counted, not repeated. */
import crypto from 'node:crypto';
import { type Event, EventKind, type KubeClient, type Pod } from '../platform/kubernetes/index.ts';
import { timestamp } from './conditions.ts';

interface Known {
  readonly name: string;
  count: number;
  writtenAt: number;
}
/** Distinct events remembered for counting; the oldest is forgotten first. */
const MAX_KNOWN = 2_000;
/** A repeated event is written at most this often. */
const REPEAT_MS = 5_000;

export class EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #host: string;
  readonly #known = new Map<string, Known>();

  constructor(client: KubeClient, component: string, host: string) {
    this.#client = client;
    this.#component = component;
    this.#host = host;
  }

  /** Never throws and is not waited for: an event that cannot be written is lost, as with kubelet. */
  pod(pod: Pod, type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void {
    const { name = '', namespace = 'default', uid = '' } = pod.metadata ?? {};
    const key = `${uid} ${reason} ${container ?? ''} ${message}`;
    const now = Date.now();
    const known = this.#known.get(key);
    if (known !== undefined) {
      known.count++;
      if (now - known.writtenAt < REPEAT_MS) return;
      known.writtenAt = now;
      void this.#client
        .patch(EventKind, known.name, { count: known.count, lastTimestamp: timestamp(now) }, { namespace })
        .catch(() => this.#known.delete(key));
      return;
    }
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!);
    const eventName = `${name}.${crypto.randomBytes(8).toString('hex')}`;
    this.#known.set(key, { name: eventName, count: 1, writtenAt: now });
    const event: Event = {
      metadata: { name: eventName, namespace },
      type,
      reason,
      message: message.slice(0, 1024),
      count: 1,
      firstTimestamp: timestamp(now),
      lastTimestamp: timestamp(now),
      involvedObject: {
        kind: 'Pod',
        apiVersion: 'v1',
        namespace,
        name,
        uid,
        ...(container !== undefined && { fieldPath: `spec.containers{${container}}` }),
      },
      source: { component: this.#component, host: this.#host },
      reportingComponent: this.#component,
      reportingInstance: this.#host,
    };
    void this.#client.create(EventKind, event).catch(() => this.#known.delete(key));
  }
}
