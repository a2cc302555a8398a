/** The control plane's resources as they came, for workers: what is in force goes to a new one, each good response to all. */
import type { XdsHandler, XdsResource } from '../../core/xds-client.ts';
import type { ToWorker } from './messages.ts';

/** Octets of resources in one message to a new worker, so that neither side holds the whole mesh twice. */
const BATCH_BYTES = 1024 * 1024;

export type Update = Extract<ToWorker, { kind: 'update' }>;

export class ResourceStore {
  readonly #types = new Map<string, Map<string, Uint8Array>>();
  readonly #publish: (update: Update) => void;
  readonly #applied: () => Promise<void>;

  /** `publish` hands an update to all workers, `applied` waits until they have applied it. */
  constructor(publish: (update: Update) => void, applied: () => Promise<void>) {
    this.#publish = publish;
    this.#applied = applied;
  }

  /** Stands before a handler: what that accepts is kept and handed on, and acknowledged when it is in force everywhere. */
  tap(handler: XdsHandler): XdsHandler {
    const { typeUrl } = handler;
    const kept = new Map<string, Uint8Array>();
    this.#types.set(typeUrl, kept);
    return {
      ...handler,
      apply: (resources, removed) => {
        const rejections = handler.apply(resources, removed);
        const rejected = new Set(rejections.map(({ name }) => name));
        // Copies: what came is a window into a message that would be kept, and sent, as a whole.
        const good = resources
          .filter(({ name }) => !rejected.has(name))
          .map(({ name, value }) => ({ name, value: Uint8Array.from(value) }));
        for (const name of removed) kept.delete(name);
        for (const { name, value } of good) kept.set(name, value);
        this.#publish({ kind: 'update', typeUrl, resources: good, removed });
        return rejections;
      },
      applied: this.#applied,
    };
  }

  /** Everything in force, in pieces. */
  *snapshot(): Generator<Update> {
    for (const [typeUrl, kept] of this.#types) {
      let resources: XdsResource[] = [];
      let bytes = 0;
      for (const [name, value] of kept) {
        resources.push({ name, value });
        bytes += value.length;
        if (bytes < BATCH_BYTES) continue;
        yield { kind: 'update', typeUrl, resources, removed: [] };
        resources = [];
        bytes = 0;
      }
      if (resources.length > 0) yield { kind: 'update', typeUrl, resources, removed: [] };
    }
  }
}
