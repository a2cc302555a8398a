/** Writes a pod's status when it differs from what the API has, one write at a time, the latest last. */
import { isConflict, isNotFound, type KubeClient, type Pod, PodKind, type PodStatus } from '../../platform/kubernetes/index.ts';
import { delayAfter } from '../supervisor/backoff.ts';
import type { NodeContext } from './node-context.ts';

const SETTLED_MS = 2_000;
const RETRY = { baseMs: 200, maxMs: 5_000 } as const;

export class StatusWriter {
  readonly #context: NodeContext;
  readonly #uid: string;
  #written = '';
  #writtenAt = 0;
  #pending: { readonly pod: Pod; readonly status: PodStatus } | undefined;
  #writing: Promise<void> | undefined;

  constructor(context: NodeContext, uid: string) {
    this.#context = context;
    this.#uid = uid;
  }

  /** Nothing was written lately: what the watch shows is not merely older than our last write. */
  get isSettled(): boolean {
    return this.#writing === undefined && Date.now() - this.#writtenAt > SETTLED_MS;
  }

  /** Resolves when this status, or a later one, is written or the pod is gone. `force`: even if nothing changed. */
  write(pod: Pod, status: PodStatus, force: boolean): Promise<void> {
    if (!force && JSON.stringify(status) === this.#written) return this.#writing ?? Promise.resolve();
    this.#pending = { pod, status };
    this.#writing ??= this.#flush().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  /** Removes the object for good: the node has nothing of the pod left. */
  async deletePod(client: KubeClient, pod: Pod, isGone: () => boolean): Promise<void> {
    const { name = '', namespace = 'default' } = pod.metadata ?? {};
    for (let failures = 0; !isGone(); failures++) {
      try {
        await client.delete(PodKind, name, { namespace, gracePeriodSeconds: 0, preconditions: { uid: this.#uid } });
        return;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return; // gone, or another pod of that name
        await Bun.sleep(delayAfter(failures + 1, RETRY));
      }
    }
  }

  async #flush(): Promise<void> {
    for (let failures = 0; this.#pending !== undefined; ) {
      const { pod, status } = this.#pending;
      this.#pending = undefined;
      const { name = '', namespace = 'default' } = pod.metadata ?? {};
      try {
        await this.#context.client.patchStatus(PodKind, name, { metadata: { uid: this.#uid }, status }, { namespace });
        this.#written = JSON.stringify(status);
        this.#writtenAt = Date.now();
        failures = 0;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return; // the informer will say that the pod is gone
        this.#pending ??= { pod, status };
        await Bun.sleep(delayAfter(++failures, RETRY));
      }
    }
  }
}
