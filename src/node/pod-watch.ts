/** Watches the node's pods and all namespaces and tells the agent who belongs into the mesh. */
import { Informer, isNotFound, type KubeClient, type Namespace, NamespaceKind, type Pod, PodKind } from '../platform/kubernetes/index.ts';
import type { Logger } from '../platform/telemetry/index.ts';
import type { Agent } from './agent.ts';
import type { PodWriter } from './annotate.ts';
import { decide, type EnrolmentRules } from './enrolment.ts';
import type { PluginEvent } from './plugin-server.ts';
import { type PodView, slimPod, viewPod } from './pod-view.ts';

export interface PodWatchOptions {
  readonly client: KubeClient;
  readonly node: string;
  readonly agent: Agent;
  readonly writer: PodWriter;
  readonly rules: EnrolmentRules;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export class PodWatch {
  readonly #options: PodWatchOptions;
  readonly #pods: Informer<Pod>;
  readonly #namespaces: Informer<Namespace>;
  /** Before the first lists are whole, a missing namespace would read as a missing label. */
  #live = false;

  constructor(options: PodWatchOptions) {
    this.#options = options;
    const { client, signal, log } = options;
    const onError = (error: Error, delayMs: number) =>
      log.warn('watch failed, will be tried again', { error: error.message, delay_ms: Math.round(delayMs) });
    this.#pods = new Informer<Pod>(client, PodKind, {
      signal,
      onError,
      fieldSelector: `spec.nodeName=${options.node}`,
      transform: slimPod,
    });
    this.#namespaces = new Informer<Namespace>(client, NamespaceKind, { signal, onError });
    this.#pods.addHandlers({
      onAdd: (pod) => this.#podChanged(pod),
      onUpdate: (pod) => this.#podChanged(pod),
      onDelete: (pod) => this.#live && options.agent.remove(pod.metadata.uid ?? ''),
    });
    const namespaceChanged = (namespace: Namespace) => this.#live && this.#namespaceChanged(namespace.metadata.name ?? '');
    this.#namespaces.addHandlers({ onAdd: namespaceChanged, onUpdate: namespaceChanged, onDelete: namespaceChanged });
  }

  /** Both lists, then everything into the agent's memory; changes after that are passed on at once. */
  async recover(): Promise<void> {
    this.#namespaces.start();
    this.#pods.start();
    await Promise.all([this.#namespaces.synced, this.#pods.synced]);
    const known = [...this.#pods.all()].map((pod) => {
      const view = viewPod(pod);
      return [view, this.#wants(view)] as const;
    });
    this.#options.agent.recover(known);
    this.#live = true;
  }

  get isSynced(): boolean {
    return this.#live;
  }

  /** A plugin event: may the pod start? The API is asked when the watch has not seen the pod yet. */
  async admit(event: PluginEvent): Promise<string | undefined> {
    const { client, agent, node } = this.#options;
    let pod = this.#pods.get(event.namespace, event.name);
    if (pod?.metadata.uid !== event.uid) {
      try {
        pod = await client.get<Pod>(PodKind, event.name, { namespace: event.namespace });
      } catch (error) {
        return isNotFound(error)
          ? `pod ${event.namespace}/${event.name} does not exist`
          : `the API server was asked for the pod: ${(error as Error).message}`;
      }
      if (pod.metadata.uid !== event.uid) return `pod ${event.namespace}/${event.name} has another uid than ${event.uid} by now`;
      if (pod.spec?.nodeName !== undefined && pod.spec.nodeName !== node)
        return `pod ${event.namespace}/${event.name} belongs to node ${pod.spec.nodeName}`;
    }
    const view = viewPod(pod);
    const labels = await this.#freshNamespaceLabels(event.namespace);
    if (!decide(view, labels, this.#options.rules).enrolled) return undefined;
    return agent.admit(view, { netnsPath: event.netns, ips: event.ips });
  }

  /** A new namespace's first pod may come before the watch has shown the namespace. */
  async #freshNamespaceLabels(name: string): Promise<Readonly<Record<string, string>>> {
    const known = this.#namespaces.get('', name);
    if (known) return known.metadata.labels ?? {};
    const namespace = await this.#options.client.get<Namespace>(NamespaceKind, name);
    return namespace.metadata.labels ?? {};
  }

  #podChanged(pod: Pod): void {
    if (!this.#live) return;
    const view = viewPod(pod);
    this.#options.agent.update(view, this.#wants(view));
  }

  #namespaceChanged(name: string): void {
    for (const pod of this.#pods.inNamespace(name)) this.#podChanged(pod);
  }

  #wants(pod: PodView): boolean {
    const labels = this.#namespaces.get('', pod.namespace)?.metadata.labels ?? {};
    const enrolment = decide(pod, labels, this.#options.rules);
    if (enrolment.enrolled) return true;
    if (enrolment.problem !== undefined) this.#options.writer.event(pod, 'NotEnrolled', `the pod is not in the mesh: ${enrolment.problem}`);
    return false;
  }
}
