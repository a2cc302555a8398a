/** The pods of this node: one worker each, fed by the watch and by what was running before a restart. */
import fs from 'node:fs';
import path from 'node:path';
import type { Informer, Pod } from '../../platform/kubernetes/index.ts';
import type { NodeContext } from './node-context.ts';
import { podStateFile } from './pod-state.ts';
import { PodWorker } from './pod-worker.ts';
import { StatusWriter } from './status-writer.ts';

export class PodManager {
  readonly #context: NodeContext;
  readonly #informer: Informer<Pod>;
  readonly #workers = new Map<string, PodWorker>();

  constructor(context: NodeContext, informer: Informer<Pod>) {
    this.#context = context;
    this.#informer = informer;
  }

  /** Takes over the pods that an earlier node runtime left running. */
  adopt(): void {
    const dir = path.join(this.#context.runDir, 'pods');
    for (const uid of fs.readdirSync(dir)) {
      if (!fs.existsSync(podStateFile(path.join(dir, uid)))) continue;
      const worker = PodWorker.adopt(this.#context, path.join(dir, uid));
      if (worker !== undefined) this.#add(worker);
    }
    for (const uid of [...this.#context.addresses.owners()]) if (!this.#workers.has(uid)) this.#context.addresses.release(uid);
    if (this.#workers.size > 0) this.#context.log.info('pods taken over', { count: this.#workers.size });
  }

  start(): void {
    this.#informer.addHandlers({
      onAdd: (pod) => this.#seen(pod),
      onUpdate: (pod) => this.#seen(pod),
      onDelete: (pod) => this.#workers.get(pod.metadata?.uid ?? '')?.vanish(),
      onSync: () => this.#dropVanished(),
    });
  }

  /** A ConfigMap or Secret changed: pods that wait for one try at once, others refresh their volumes. */
  sourcesChanged(): void {
    for (const worker of this.#workers.values()) worker.kick(true);
  }

  all(): IterableIterator<PodWorker> {
    return this.#workers.values();
  }

  find(namespace: string, name: string): PodWorker | undefined {
    for (const worker of this.#workers.values()) {
      if (worker.pod.metadata?.name === name && (worker.pod.metadata.namespace ?? 'default') === namespace) return worker;
    }
    return undefined;
  }

  async abandon(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.abandon()));
  }

  #seen(pod: Pod): void {
    const uid = pod.metadata?.uid ?? '';
    const worker = this.#workers.get(uid);
    const { phase } = pod.status ?? {};
    if (worker !== undefined) worker.update(pod);
    else if (phase === 'Succeeded' || phase === 'Failed') {
      // It ended in an earlier life of this cluster: never run again, only removed when asked for.
      if (pod.metadata?.deletionTimestamp !== undefined)
        void new StatusWriter(this.#context, uid).deletePod(this.#context.client, pod, () => false);
    } else {
      const created = new PodWorker(this.#context, pod);
      this.#add(created);
      if (pod.metadata?.deletionTimestamp !== undefined) created.update(pod);
    }
  }

  #add(worker: PodWorker): void {
    this.#workers.set(worker.uid, worker);
    void worker.finished.then(() => {
      if (this.#workers.get(worker.uid) === worker) this.#workers.delete(worker.uid);
    });
  }

  #dropVanished(): void {
    const present = new Set([...this.#informer.all()].map((pod) => pod.metadata?.uid));
    for (const worker of this.#workers.values()) if (!present.has(worker.uid)) worker.vanish();
  }
}
