import { ensure } from './bootstrap.ts';
import type { Context } from './context.ts';
import { clone } from './json.ts';
import { remove } from './operations.ts';
import { resourceKey } from './resources.ts';

/**
 * What a namespace brings along and takes away: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` appear with it (and come back
 * when deleted); when it is deleted its contents go first.
 */
export class Namespaces {
  readonly #context: Context;
  readonly #dirty = new Set<string>();
  #isScheduled = false;

  constructor(context: Context) {
    this.#context = context;
    context.store.onEveryChange((resource, change) => {
      if (resource === '/namespaces') this.#mark(change.entry.name);
      else if (change.type === 'DELETED' && change.entry.namespace !== '') this.#mark(change.entry.namespace);
    });
    for (const entry of context.store.list('/namespaces')) this.#mark(entry.name);
    this.settle();
  }

  #mark(namespace: string): void {
    this.#dirty.add(namespace);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // after the change that caused it has been answered
    setImmediate(() => this.settle());
  }

  /** Does what is due now. */
  settle(): void {
    this.#isScheduled = false;
    const due = [...this.#dirty];
    this.#dirty.clear();
    for (const namespace of due) {
      try {
        this.#reconcile(namespace);
      } catch (error) {
        this.#context.log(`namespace ${namespace}: ${error instanceof Error ? error.message : String(error)}; trying again in 1 s`);
        setTimeout(() => this.#mark(namespace), 1000).unref();
      }
    }
  }

  #reconcile(name: string): void {
    const entry = this.#context.store.get('/namespaces', '', name);
    if (entry === undefined) return;
    if (entry.object.metadata.deletionTimestamp !== undefined) {
      this.#empty(name);
      return;
    }
    ensure(this.#context, '/serviceaccounts', name, { metadata: { name: 'default' } });
    ensure(this.#context, '/configmaps', name, {
      metadata: {
        name: 'kube-root-ca.crt',
        annotations: { 'kubernetes.io/description': 'Contains a CA bundle that can be used to verify the API server.' },
      },
      data: { 'ca.crt': this.#context.caCertificate },
    });
  }

  #empty(namespace: string): void {
    const { store, types } = this.#context;
    let remaining = 0;
    for (const type of types.all()) {
      if (!type.namespaced) continue;
      for (const entry of store.list(resourceKey(type), namespace)) {
        const isGone =
          entry.object.metadata.deletionTimestamp === undefined &&
          remove(this.#context, type, entry, { dryRun: false, propagationPolicy: 'Background' }).isGone;
        if (!isGone) remaining++;
      }
    }
    const entry = store.get('/namespaces', '', namespace);
    if (remaining > 0 || entry === undefined) return;
    const next = clone(entry.object);
    next['spec'] = {};
    if ((next.metadata.finalizers ?? []).length === 0) store.remove('/namespaces', entry, next);
    else if (((entry.object['spec'] as { finalizers?: string[] }).finalizers ?? []).length > 0)
      store.put('/namespaces', '', namespace, next);
  }
}
