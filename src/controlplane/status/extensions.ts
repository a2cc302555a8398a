import {
  type EnvoyFilter,
  EnvoyFilterKind,
  type Event,
  EventKind,
  type Gateway,
  type GatewayClass,
  type Informer,
  isConflict,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type ObjectMeta,
  type Pod,
  type Resource,
  type WasmPlugin,
  WasmPluginKind,
} from '../../platform/kubernetes/index.ts';
import type { Logger } from '../../platform/telemetry/index.ts';
import { Batch } from '../scheduler.ts';
import { isWaypointClass } from '../waypoint/gateway-classes.ts';
import { GATEWAY_NAME_LABEL } from '../wire.ts';
import { mergeConditions, type WantedCondition } from './conditions.ts';

export interface ExtensionSources {
  readonly client: KubeClient;
  readonly rootNamespace: string;
  readonly gateways: Informer<Gateway>;
  readonly classes: Informer<GatewayClass>;
  readonly pods: Informer<Pod>;
  readonly informer: <T extends KubeObject>(resource: Resource<T>) => Informer<T>;
  readonly onWrite: (result: 'written' | 'conflict' | 'failed', error?: Error) => void;
  readonly log: Logger;
}

interface Selection {
  readonly targets: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
  readonly labels: Readonly<Record<string, string>>;
}

type Extension = EnvoyFilter | WasmPlugin;

const DELAY_MS = 100;
/** Names listed in a message before "and N more". */
const NAMES_LIMIT = 5;

/** EnvoyFilters and WasmPlugins that select a waypoint change nothing: each says so in its status, and in an event when it begins. */
export class ExtensionStatus {
  readonly #sources: ExtensionSources;
  readonly #filters: Informer<EnvoyFilter>;
  readonly #plugins: Informer<WasmPlugin>;
  readonly #batch: Batch;
  #isOpen = false;

  constructor(sources: ExtensionSources) {
    this.#sources = sources;
    this.#batch = new Batch(
      DELAY_MS,
      () => this.#write(),
      (error) => sources.log.error(`statuses of extensions were not written: ${error.message}`),
    );
    const changed = () => this.request();
    sources.gateways.addHandlers({ onAdd: changed, onUpdate: changed, onDelete: changed });
    this.#filters = sources.informer<EnvoyFilter>(EnvoyFilterKind).addHandlers({ onAdd: changed, onUpdate: changed });
    this.#plugins = sources.informer<WasmPlugin>(WasmPluginKind).addHandlers({ onAdd: changed, onUpdate: changed });
  }

  open(): void {
    this.#isOpen = true;
    this.request();
  }
  stop(): void {
    this.#batch.stop();
  }
  /** What is selected may have changed. */
  request(): void {
    if (this.#isOpen && this.#filters.size + this.#plugins.size > 0) this.#batch.request();
  }

  async #write(): Promise<void> {
    for (const filter of this.#filters.all()) {
      const { workloadSelector, targetRefs } = filter.spec ?? {};
      const selected = this.#selected(filter.metadata, { targets: targetRefs ?? [], labels: workloadSelector?.labels ?? {} });
      await this.#report<EnvoyFilter>(
        EnvoyFilterKind,
        filter,
        selected,
        'it is not Envoy and has no such configuration; use the filters of an HTTPRoute, a VirtualService or a DestinationRule',
      );
    }
    for (const plugin of this.#plugins.all()) {
      const { selector, targetRef, targetRefs = [] } = plugin.spec ?? {};
      const targets = targetRef === undefined ? targetRefs : [targetRef, ...targetRefs];
      const selected = this.#selected(plugin.metadata, { targets, labels: selector?.matchLabels ?? {} });
      await this.#report<WasmPlugin>(WasmPluginKind, plugin, selected, 'it runs no WebAssembly');
    }
  }

  /** The waypoints an object is meant for, in words. */
  #selected(metadata: ObjectMeta, { targets, labels }: Selection): string[] {
    // Whatever is targeted in this mode, only a waypoint could honour it.
    if (targets.length > 0) return targets.map(({ kind, name, namespace }) => `${kind} ${namespace ?? metadata.namespace}/${name}`);
    const { rootNamespace, gateways, classes, pods } = this.#sources;
    const isEverywhere = metadata.namespace === rootNamespace;
    const isHere = (object: KubeObject) => isEverywhere || object.metadata?.namespace === metadata.namespace;
    const wanted = Object.entries(labels);
    const found = new Set<string>();
    for (const gateway of gateways.all()) {
      if (!isHere(gateway) || !isWaypointClass(classes.get('', gateway.spec.gatewayClassName))) continue;
      if (wanted.length === 0) found.add(`waypoint ${gateway.metadata.namespace}/${gateway.metadata.name}`);
    }
    if (wanted.length === 0) return [...found].sort();
    for (const pod of isEverywhere ? pods.all() : pods.inNamespace(metadata.namespace ?? '')) {
      const gateway = pod.metadata.labels?.[GATEWAY_NAME_LABEL];
      if (gateway !== undefined && wanted.every(([key, value]) => pod.metadata.labels?.[key] === value))
        found.add(`waypoint ${pod.metadata.namespace}/${gateway}`);
    }
    return [...found].sort();
  }

  async #report<T extends Extension>(resource: Resource<T>, object: T, selected: readonly string[], why: string): Promise<void> {
    const names =
      selected.slice(0, NAMES_LIMIT).join(', ') + (selected.length > NAMES_LIMIT ? ` and ${selected.length - NAMES_LIMIT} more` : '');
    const message = `no effect on ${names}: ${why}`;
    const wanted: WantedCondition[] =
      selected.length === 0 ? [] : [{ type: 'WaypointAccepted', status: 'False', reason: 'Unsupported', message }];
    const { name = '', namespace = '', generation = 0, resourceVersion } = object.metadata;
    const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const before = object.status?.conditions;
    const conditions = mergeConditions(before, wanted, generation, now);
    if (conditions === undefined) return;
    try {
      const status = { conditions, observedGeneration: generation };
      await this.#sources.client.patchStatus(resource, name, { metadata: { resourceVersion }, status }, { namespace });
      this.#sources.onWrite('written');
      const isNews =
        wanted.length > 0 && !before?.some((condition) => condition.type === 'WaypointAccepted' && condition.message === message);
      if (isNews) await this.#event(resource, object, message, now);
    } catch (error) {
      if (isNotFound(error)) return; // deleted meanwhile
      this.#sources.onWrite(isConflict(error) ? 'conflict' : 'failed', error as Error);
    }
  }

  async #event(resource: Resource<KubeObject>, object: Extension, message: string, now: string): Promise<void> {
    const { name = '', namespace = '', uid = '' } = object.metadata;
    await this.#sources.client.create<Event>(EventKind, {
      metadata: { name: `${name}.${crypto.randomUUID().slice(0, 8)}`, namespace },
      type: 'Warning',
      reason: 'Unsupported',
      message,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: 'istiod' },
      involvedObject: { apiVersion: `${resource.group}/${resource.version}`, kind: resource.kind, namespace, name, uid },
    });
  }
}
