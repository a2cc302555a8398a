import { ApiError, isGone, isNotFound } from './api-error.ts';
import { type KubeClient, type ListOptions, PAGE_SIZE } from './client.ts';
import { sleep } from './transport.ts';
import type { KubeObject, Resource } from './types.ts';
import { watch } from './watch.ts';

export interface InformerHandlers<T> {
  readonly onAdd?: (object: T) => void;
  readonly onUpdate?: (object: T, previous: T) => void;
  readonly onDelete?: (object: T) => void;
  /** Once, after `onAdd` was called for everything of the first list. */
  readonly onSync?: () => void;
}

export interface InformerOptions<T> extends Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'> {
  readonly signal: AbortSignal;
  /** Drops what is not needed before it is stored; handlers see the result. */
  readonly transform?: (object: T) => T;
  /** The kind may not be served (a CRD that is not installed): then it is empty, and asked for again now and then. */
  readonly optional?: boolean;
  /** A list or watch failed and will be tried again after `delayMs`. */
  readonly onError?: (error: Error, delayMs: number) => void;
  readonly silenceMs?: number;
}

/** Delay before trying again after a failure: doubles between these, with ±20 % jitter so that clients do not return as one. */
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 10_000;
/** An installed CRD is noticed within this time. */
const ABSENT_RETRY_MS = 10_000;
/** How long one watch lasts; spread so that renewals do not coincide. */
const WATCH_MIN_S = 240;

/** `namespace/name`, or `name` for cluster-scoped kinds. */
export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata ?? {};
  return namespace === undefined || namespace === '' ? (name ?? '') : `${namespace}/${name}`;
}

/**
 * A view of one kind that stays true: lists, watches, resumes from the last resourceVersion, lists again when that is too old
 * and reports the difference. Handlers are called in order, after the store was changed; what they throw ends in `onError`.
 */
export class Informer<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Resolves when the first list is in the store and reported; rejects when aborted before. */
  readonly synced: Promise<void>;
  readonly #client: KubeClient;
  readonly #options: InformerOptions<T>;
  readonly #handlers: InformerHandlers<T>[] = [];
  readonly #objects = new Map<string, T>();
  readonly #namespaces = new Map<string, Set<string>>();
  readonly #settle: { resolve: () => void; reject: (reason: unknown) => void };
  #isSynced = false;
  #started = false;
  #resourceVersion = '';

  constructor(client: KubeClient, resource: Resource<T>, options: InformerOptions<T>) {
    this.#client = client;
    this.resource = resource;
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#settle = { resolve, reject };
    promise.catch(() => {}); // nobody has to wait for it
  }

  /** Handlers added after `start` miss what was already reported: add them first. */
  addHandlers(handlers: InformerHandlers<T>): this {
    this.#handlers.push(handlers);
    return this;
  }

  /** Begins; runs until the signal aborts. */
  start(): this {
    if (this.#started) return this;
    this.#started = true;
    void this.#run();
    return this;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }
  get size(): number {
    return this.#objects.size;
  }
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(namespace === '' ? name : `${namespace}/${name}`);
  }
  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }
  all(): IterableIterator<T> {
    return this.#objects.values();
  }
  *inNamespace(namespace: string): IterableIterator<T> {
    for (const key of this.#namespaces.get(namespace) ?? []) yield this.#objects.get(key)!;
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === '') await this.#list();
        await this.#watch(() => {
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted) break;
        if (this.#options.optional === true && isNotFound(error)) {
          for (const [key, object] of this.#objects) this.#remove(key, object);
          this.#resourceVersion = '';
          this.#markSynced();
          await sleep(ABSENT_RETRY_MS, signal).catch(() => {}); // aborted: the loop's condition sees it
          continue;
        }
        if (isGone(error)) {
          this.#resourceVersion = '';
          if (failures++ === 0) continue; // expected after a long pause; only a repeated one waits
        } else failures++;
        const delay = Math.min(BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 20), BACKOFF_MAX_MS) * (0.8 + Math.random() * 0.4);
        this.#options.onError?.(error as Error, delay);
        await sleep(delay, signal).catch(() => {}); // aborted: the loop's condition sees it
      }
    }
    this.#settle.reject(signal.reason);
  }

  async #list(): Promise<void> {
    const { namespace, labelSelector, fieldSelector, signal } = this.#options;
    const seen = new Set<string>();
    let next: string | undefined;
    let resourceVersion = '';
    do {
      const page = await this.#client.list(this.resource, {
        ...(namespace !== undefined && { namespace }),
        ...(labelSelector !== undefined && { labelSelector }),
        ...(fieldSelector !== undefined && { fieldSelector }),
        ...(next !== undefined && { continue: next }),
        limit: PAGE_SIZE,
        signal,
      });
      for (const item of page.items) {
        seen.add(objectKey(item));
        this.#put(item);
      }
      resourceVersion = page.metadata.resourceVersion ?? '';
      next = page.metadata.continue || undefined;
    } while (next !== undefined);
    for (const [key, object] of this.#objects) if (!seen.has(key)) this.#remove(key, object);
    this.#resourceVersion = resourceVersion;
    this.#markSynced();
  }

  #markSynced(): void {
    if (this.#isSynced) return;
    this.#isSynced = true;
    for (const handlers of this.#handlers) this.#guard(() => handlers.onSync?.());
    this.#settle.resolve();
  }

  async #watch(onProgress: () => void): Promise<void> {
    const { namespace, labelSelector, fieldSelector, signal, silenceMs } = this.#options;
    const started = Date.now();
    let heard = false;
    const stream = watch(this.#client, this.resource, {
      ...(namespace !== undefined && { namespace }),
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
      ...(silenceMs !== undefined && { silenceMs }),
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: Math.round(WATCH_MIN_S * (1 + Math.random())),
      signal,
    });
    for await (const events of stream) {
      heard = true;
      onProgress();
      for (const event of events) {
        const version = event.object.metadata?.resourceVersion;
        if (version !== undefined && version !== '') this.#resourceVersion = version;
        if (event.type === 'BOOKMARK') continue;
        if (event.type === 'DELETED') this.#remove(objectKey(event.object), this.#transformed(event.object));
        else this.#put(event.object);
      }
    }
    // A server that ends watches at once would otherwise be asked in a tight loop.
    if (!heard && Date.now() - started < 1000)
      throw new ApiError({ code: 0, reason: 'Unreachable', message: 'the watch ended at once' }, `watch ${this.resource.plural}`);
  }

  #transformed(object: T): T {
    return this.#options.transform === undefined ? object : this.#options.transform(object);
  }

  #put(raw: T): void {
    const key = objectKey(raw);
    const previous = this.#objects.get(key);
    if (
      previous !== undefined &&
      previous.metadata?.resourceVersion !== undefined &&
      previous.metadata.resourceVersion === raw.metadata?.resourceVersion
    )
      return;
    const object = this.#transformed(raw);
    if (previous !== undefined && previous.metadata?.uid !== object.metadata?.uid) {
      this.#remove(key, previous); // deleted and created again while nobody watched: two events, not an update
      this.#store(key, object, undefined);
    } else this.#store(key, object, previous);
  }

  #store(key: string, object: T, previous: T | undefined): void {
    this.#objects.set(key, object);
    const namespace = object.metadata?.namespace ?? '';
    let keys = this.#namespaces.get(namespace);
    if (keys === undefined) {
      keys = new Set();
      this.#namespaces.set(namespace, keys);
    }
    keys.add(key);
    for (const handlers of this.#handlers) {
      if (previous === undefined) this.#guard(() => handlers.onAdd?.(object));
      else this.#guard(() => handlers.onUpdate?.(object, previous));
    }
  }

  #remove(key: string, last: T): void {
    const stored = this.#objects.get(key);
    if (stored === undefined) return;
    this.#objects.delete(key);
    const namespace = stored.metadata?.namespace ?? '';
    const keys = this.#namespaces.get(namespace);
    keys?.delete(key);
    if (keys?.size === 0) this.#namespaces.delete(namespace);
    for (const handlers of this.#handlers) this.#guard(() => handlers.onDelete?.(last));
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#options.onError?.(error as Error, 0);
    }
  }
}
