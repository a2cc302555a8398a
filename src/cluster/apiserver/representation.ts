import { apiVersionOf, type ResourceType } from './resources.ts';
import type { Entry, StoredObject } from './store.ts';

/** The form in which a client wants objects: whole, as rows of a table, or their metadata only. */
export interface Representation {
  readonly form: 'object' | 'table' | 'metadata';
  readonly version: string;
  /** For tables: what each row carries of its object. */
  readonly include: 'None' | 'Metadata' | 'Object';
  /** For tables in a watch, the column definitions come with every event. */
  readonly key: string;
}

/** Chooses among the client's `Accept` alternatives, in its order. Undefined when none can be served. */
export function negotiate(accept: string | null, version: string, includeObject: string | null): Representation | undefined {
  const include = includeObject === 'None' || includeObject === 'Object' ? includeObject : 'Metadata';
  const make = (form: Representation['form']): Representation => ({ form, version, include, key: `${form}/${version}/${include}` });
  if (accept === null || accept.trim() === '') return make('object');
  for (const alternative of accept.split(',')) {
    const [type = '', ...parameters] = alternative.split(';').map((part) => part.trim());
    if (!['application/json', 'application/*', '*/*', 'text/html', 'application/yaml'].includes(type)) continue;
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3);
    if (as === undefined) return make('object');
    if (as === 'Table' && parameters.includes('v=v1')) return make('table');
    if ((as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') && parameters.includes('v=v1')) return make('metadata');
  }
  return undefined;
}

/** One object in the form asked for, as JSON. */
export function encodeEntry(entry: Entry, type: ResourceType, representation: Representation, now: number): string {
  switch (representation.form) {
    case 'table':
      return encodeTable(type, representation, [entry], { resourceVersion: String(entry.revision) }, now);
    case 'metadata':
      return JSON.stringify(partial(entry.object));
    case 'object':
      return representation.version === type.version ? entry.json : JSON.stringify(inVersion(entry.object, type, representation.version));
  }
}

export const inVersion = (object: StoredObject, type: ResourceType, version: string): StoredObject =>
  version === type.version ? object : { ...object, apiVersion: apiVersionOf(type.group, version) };

const partial = (object: StoredObject) => ({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata });

interface ListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** A list of entries in the form asked for, as JSON. */
export function encodeList(
  entries: readonly Entry[],
  type: ResourceType,
  representation: Representation,
  metadata: ListMeta,
  now: number,
): string {
  if (representation.form === 'table') return encodeTable(type, representation, entries, metadata, now);
  const head =
    representation.form === 'metadata'
      ? { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata }
      : { kind: type.listKind, apiVersion: apiVersionOf(type.group, representation.version), metadata };
  const items = entries.map((entry) => encodeEntry(entry, type, representation, now));
  // the items are JSON already: encoded once per change, joined here
  return `${JSON.stringify(head).slice(0, -1)},"items":[${items.join(',')}]}`;
}

function encodeTable(
  type: ResourceType,
  representation: Representation,
  entries: readonly Entry[],
  metadata: ListMeta,
  now: number,
): string {
  return JSON.stringify({
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: type.columns(representation.version).map((column) => ({ ...column, format: column.format ?? '' })),
    rows: entries.map((entry) => ({
      cells: type.cells(representation.version, entry.object, now),
      ...(representation.include === 'None'
        ? {}
        : {
            object: representation.include === 'Metadata' ? partial(entry.object) : inVersion(entry.object, type, representation.version),
          }),
    })),
  });
}
