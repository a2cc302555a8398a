import type { Context } from './context.ts';
import { badRequest, gone, groupResource } from './errors.ts';
import { LIMITS } from './limits.ts';
import { encodeList, type Representation } from './representation.ts';
import { type ResourceType, resourceKey } from './resources.ts';
import { type Predicate, parseFieldSelector, parseLabelSelector } from './selectors.ts';
import type { Entry } from './store.ts';

/** Snapshots kept for the next pages of chunked lists; an older `continue` gets 410. */
const SNAPSHOTS = 64;

interface Snapshot {
  readonly entries: readonly Entry[];
  readonly revision: number;
}

export class Lists {
  readonly #context: Context;
  readonly #snapshots = new Map<string, Snapshot>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** Answers a list request as JSON. */
  list(type: ResourceType, namespace: string, query: URLSearchParams, representation: Representation): string {
    const { store } = this.#context;
    checkRevision(query, store.revision);
    const limit = parseCount(query.get('limit'), 'limit');
    const page = query.get('continue') ?? '';
    let entries: readonly Entry[];
    let revision = store.revision;
    let start = 0;
    let id = '';
    if (page === '') entries = selected(store.list(resourceKey(type), namespace === '' ? undefined : namespace), selectorOf(type, query));
    else {
      const [snapshotId = '', offset = ''] = page.split(':');
      const snapshot = this.#snapshots.get(snapshotId);
      if (snapshot === undefined)
        throw gone(
          'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
        );
      ({ entries, revision } = snapshot);
      id = snapshotId;
      start = Number(offset);
      if (!Number.isInteger(start)) throw badRequest('continue key is not valid');
    }
    const size = limit === 0 ? entries.length : Math.min(limit, LIMITS.listPageMaximum);
    const shown = start === 0 && size >= entries.length ? entries : entries.slice(start, start + size);
    const rest = entries.length - start - shown.length;
    if (rest > 0 && id === '') id = this.#keep({ entries, revision });
    const metadata = {
      resourceVersion: String(revision),
      ...(rest > 0 ? { continue: `${id}:${start + shown.length}`, remainingItemCount: rest } : {}),
    };
    return encodeList(shown, type, representation, metadata, this.#context.now());
  }

  #keep(snapshot: Snapshot): string {
    const id = crypto.randomUUID();
    if (this.#snapshots.size >= SNAPSHOTS) this.#snapshots.delete(this.#snapshots.keys().next().value!);
    this.#snapshots.set(id, snapshot);
    return id;
  }
}

/** The conjunction of a request's label and field selectors. */
export function selectorOf(type: ResourceType, query: URLSearchParams): Predicate | undefined {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '', groupResource(type), type.selectableFields);
  if (labels === undefined || fields === undefined) return labels ?? fields;
  return (object) => labels(object) && fields(object);
}

export function selected(entries: readonly Entry[], predicate: Predicate | undefined): readonly Entry[] {
  return predicate === undefined ? entries : entries.filter((entry) => predicate(entry.object));
}

export function parseCount(text: string | null, name: string): number {
  if (text === null || text === '') return 0;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`unable to parse query parameter ${name}: "${text}" is not a non-negative integer`);
  return Number(text);
}

/** A list at an exact old revision cannot be served; "at least as new as" always can, unless it lies in the future. */
function checkRevision(query: URLSearchParams, current: number): void {
  const revision = parseCount(query.get('resourceVersion'), 'resourceVersion');
  if (query.get('resourceVersionMatch') === 'Exact' && revision !== current)
    throw gone(`The provided resource version is too old: ${revision} (${current})`);
  if (revision > current) throw tooNew(revision, current);
}

function tooNew(revision: number, current: number) {
  return badRequest(`Too large resource version: ${revision}, current: ${current}`);
}
