import { ApiError } from './api-error.ts';
import type { KubeClient, ListOptions } from './client.ts';
import { unreachable } from './transport.ts';
import type { KubeObject, Resource, Status } from './types.ts';

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | {
      readonly type: 'BOOKMARK';
      readonly object: { readonly metadata?: { readonly resourceVersion?: string; readonly annotations?: Record<string, string> } };
    };

export interface WatchOptions extends Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector' | 'resourceVersion' | 'signal'> {
  /** The server ends the watch after this long. */
  readonly timeoutSeconds?: number;
  /** The client gives up on a connection that says nothing, not even a bookmark (about one a minute), for this long. */
  readonly silenceMs?: number;
}

/** No object is larger than what etcd takes (1.5 MiB by default, 3 MiB as the API server's request limit); a longer line is not a watch. */
export const WATCH_LINE_LIMIT = 8 * 1024 * 1024;
const SILENCE_MS = 150_000;

/** Splits a byte stream into lines; what `push` returns is complete, the rest is kept. */
export class LineSplitter {
  readonly #decoder = new TextDecoder();
  readonly #limit: number;
  #rest = '';

  constructor(limit: number = WATCH_LINE_LIMIT) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop()!;
    if (this.#rest.length > this.#limit) throw new RangeError(`a line of the watch is longer than ${this.#limit} characters`);
    return lines.filter((line) => line.trim() !== '');
  }

  /** What came after the last line break. */
  end(): string {
    return this.#rest + this.#decoder.decode();
  }
}

/** One line of a watch. An ERROR event becomes an `ApiError` (410 means: list again). */
export function parseWatchLine<T>(line: string, context: string): WatchEvent<T> {
  let event: { type?: string; object?: unknown };
  try {
    event = JSON.parse(line);
  } catch (error) {
    throw unreachable(context, 'a line of the watch is not JSON', error);
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return event as WatchEvent<T>;
    case 'ERROR':
      throw new ApiError((event.object ?? {}) as Status, context);
    default:
      throw unreachable(context, `the watch sent an unknown event type ${JSON.stringify(event.type)}`, undefined);
  }
}

/**
 * One watch, from `resourceVersion`, until the server ends it (the generator returns), it breaks or an ERROR event arrives
 * (it throws), or the signal aborts (it throws the reason). Use `Informer` for a view that lasts.
 */
export async function* watch<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  options: WatchOptions = {},
): AsyncGenerator<WatchEvent<T>[], void, void> {
  const context = `watch ${resource.plural}`;
  const controller = new AbortController();
  const abort = () => controller.abort(options.signal?.reason);
  if (options.signal?.aborted) throw options.signal.reason;
  options.signal?.addEventListener('abort', abort, { once: true });
  const silenceMs = options.silenceMs ?? SILENCE_MS;
  const watchdog = setTimeout(() => controller.abort(unreachable(context, `nothing was heard for ${silenceMs} ms`, undefined)), silenceMs);
  try {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds } = options;
    const response = await client.raw(client.path(resource, namespace === undefined ? {} : { namespace }), {
      query: { watch: true, allowWatchBookmarks: true, labelSelector, fieldSelector, resourceVersion, timeoutSeconds },
      signal: controller.signal,
      context,
    });
    if (response.body === null) return;
    const lines = new LineSplitter();
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      watchdog.refresh();
      const events = lines.push(chunk).map((line) => parseWatchLine<T>(line, context));
      if (events.length > 0) yield events;
    }
    const last = lines.end().trim();
    if (last !== '') yield [parseWatchLine<T>(last, context)];
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (controller.signal.aborted) throw controller.signal.reason;
    throw error instanceof ApiError || error instanceof RangeError
      ? error
      : unreachable(context, `the connection broke: ${(error as Error).message}`, error);
  } finally {
    clearTimeout(watchdog);
    options.signal?.removeEventListener('abort', abort);
    controller.abort(); // closes the connection when the consumer leaves early
  }
}
