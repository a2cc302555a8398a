import type { Context } from './context.ts';
import { gone, type Refusal } from './errors.ts';
import { LIMITS } from './limits.ts';
import { parseCount, selected, selectorOf } from './lists.ts';
import { encodeEntry, type Representation } from './representation.ts';
import { isTrue } from './request.ts';
import { apiVersionOf, type ResourceType, resourceKey } from './resources.ts';
import type { Change, Entry } from './store.ts';

const BOOKMARK_INTERVAL = 60_000;
/** How long a watch lasts when the client does not say: between this and twice this, so that watches do not end together. */
const DEFAULT_TIMEOUT = 30 * 60;
const encoder = new TextEncoder();

/** Every open watch, for closing them at shutdown and counting. */
export class Watches {
  readonly #context: Context;
  readonly #open = new Set<() => void>();

  constructor(context: Context) {
    this.#context = context;
  }

  get size(): number {
    return this.#open.size;
  }

  closeAll(): void {
    for (const close of [...this.#open]) close();
  }

  /** Starts a watch and answers its stream of lines. Throws a 410 when the asked revision is no longer known. */
  open(
    type: ResourceType,
    namespace: string,
    name: string,
    query: URLSearchParams,
    representation: Representation,
    signal: AbortSignal,
  ): ReadableStream<Uint8Array> {
    const context = this.#context;
    const { store } = context;
    const resource = resourceKey(type);
    const predicate = selectorOf(type, query);
    const text = query.get('resourceVersion') ?? '';
    const revision = parseCount(text, 'resourceVersion');
    const wantsInitial = query.has('sendInitialEvents') ? isTrue(query.get('sendInitialEvents')) : text === '' || revision === 0;
    const wantsBookmarks = isTrue(query.get('allowWatchBookmarks'));
    const timeout = parseCount(query.get('timeoutSeconds'), 'timeoutSeconds') || DEFAULT_TIMEOUT * (1 + Math.random());
    const inScope = (entry: Entry) => (namespace === '' || entry.namespace === namespace) && (name === '' || entry.name === name);
    const matches = (entry: Entry) => predicate === undefined || predicate(entry.object);
    const replay = wantsInitial ? [] : store.changesSince(resource, revision === 0 ? store.revision : revision);
    if (replay === undefined) throw gone(`too old resource version: ${revision} (${store.revision})`);

    const encodeChange = (change: Change): Uint8Array | undefined => {
      if (!inScope(change.entry)) return undefined;
      let kind: Change['type'] = change.type;
      if (predicate !== undefined) {
        const before = change.previous === undefined ? kind !== 'ADDED' : matches(change.previous);
        const after = kind !== 'DELETED' && matches(change.entry);
        if (!before && !after) return undefined;
        kind = after ? (before ? 'MODIFIED' : 'ADDED') : 'DELETED';
      }
      const key = `${kind}/${representation.key}`;
      let line = change.encoded.get(key);
      if (line === undefined) {
        line = encoder.encode(`{"type":"${kind}","object":${encodeEntry(change.entry, type, representation, context.now())}}\n`);
        change.encoded.set(key, line);
      }
      return line;
    };
    const bookmark = (revision: number, isInitialEnd: boolean): Uint8Array => {
      const metadata = {
        resourceVersion: String(revision),
        creationTimestamp: null,
        ...(isInitialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
      };
      const object =
        representation.form === 'table'
          ? {
              kind: 'Table',
              apiVersion: 'meta.k8s.io/v1',
              metadata: { resourceVersion: String(revision) },
              columnDefinitions: null,
              rows: [],
            }
          : representation.form === 'metadata'
            ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata }
            : { kind: type.kind, apiVersion: apiVersionOf(type.group, representation.version), metadata };
      return encoder.encode(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
    };

    let close = () => {};
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          let isOpen = true;
          const send = (line: Uint8Array | undefined) => {
            if (line === undefined || !isOpen) return;
            controller.enqueue(line);
            if ((controller.desiredSize ?? 0) < 0) {
              // the client does not keep up: it will resume from what it has seen
              context.log(`watch of ${resource} closed: the client lags by more than ${LIMITS.watchBufferBytes} bytes`);
              close();
            }
          };
          const unsubscribe = store.subscribe(resource, (change) => send(encodeChange(change)));
          const end = setTimeout(() => close(), timeout * 1000);
          const marks = wantsBookmarks ? setInterval(() => send(bookmark(store.revision, false)), BOOKMARK_INTERVAL) : undefined;
          close = () => {
            if (!isOpen) return;
            isOpen = false;
            unsubscribe();
            clearTimeout(end);
            clearInterval(marks);
            signal.removeEventListener('abort', close);
            this.#open.delete(close);
            try {
              controller.close();
            } catch {
              // the client went away first
            }
          };
          this.#open.add(close);
          signal.addEventListener('abort', close);
          // White space between documents is nothing to a client, and makes the server send its head at once.
          controller.enqueue(encoder.encode('\n'));
          if (wantsInitial) {
            for (const entry of selected(store.list(resource, namespace === '' ? undefined : namespace), predicate)) {
              if (inScope(entry))
                send(encoder.encode(`{"type":"ADDED","object":${encodeEntry(entry, type, representation, context.now())}}\n`));
            }
            if (isTrue(query.get('sendInitialEvents'))) send(bookmark(store.revision, true));
          }
          for (const change of replay) send(encodeChange(change));
        },
        cancel: () => close(),
      },
      { highWaterMark: LIMITS.watchBufferBytes, size: (chunk) => chunk?.byteLength ?? 0 },
    );
  }
}

/** An expired watch is told so inside its stream, as Kubernetes does. */
export function errorLine(refusal: Refusal): string {
  return `${JSON.stringify({ type: 'ERROR', object: refusal.status })}\n`;
}
