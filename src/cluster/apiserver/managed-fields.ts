import type { ManagedFieldsEntry } from '../../platform/kubernetes/kinds/index.ts';
import { timestamp } from './context.ts';
import { changedFields, difference, type FieldSet, fieldsOf, isEmptySet, union } from './field-set.ts';
import { isObject, type JsonObject } from './json.ts';
import { apiVersionOf, type ResourceType } from './resources.ts';
import type { StoredObject } from './store.ts';

/** Fields the server owns; managers never do. */
const SYSTEM_FIELDS: FieldSet = {
  'f:apiVersion': {},
  'f:kind': {},
  'f:metadata': {
    '.': {},
    'f:name': {},
    'f:generateName': {},
    'f:namespace': {},
    'f:selfLink': {},
    'f:uid': {},
    'f:resourceVersion': {},
    'f:generation': {},
    'f:creationTimestamp': {},
    'f:deletionTimestamp': {},
    'f:deletionGracePeriodSeconds': {},
    'f:managedFields': {},
  },
};

/** Drops the server's own fields, whole subtrees included. */
export function withoutSystemFields(fields: FieldSet): FieldSet {
  const result: FieldSet = { ...fields };
  delete result['f:apiVersion'];
  delete result['f:kind'];
  const metadata = result['f:metadata'];
  if (metadata !== undefined) {
    const kept = { ...metadata };
    for (const key of Object.keys(SYSTEM_FIELDS['f:metadata']!)) delete kept[key];
    if (isEmptySet(kept)) delete result['f:metadata'];
    else result['f:metadata'] = kept;
  }
  return result;
}

export const managedFieldsOf = (object: StoredObject): ManagedFieldsEntry[] => object.metadata.managedFields ?? [];
export const setOf = (entry: ManagedFieldsEntry): FieldSet => (isObject(entry.fieldsV1) ? (entry.fieldsV1 as FieldSet) : {});

interface Writer {
  readonly fieldManager: string;
  readonly subresource: string;
}

/** Credits what a create, update or patch changed to its manager, and takes it from everyone else. */
export function recordUpdate(
  old: StoredObject | undefined,
  object: StoredObject,
  type: ResourceType,
  version: string,
  writer: Writer,
  now: number,
): void {
  const schema = type.schema(type.version);
  const before = old === undefined ? [] : managedFieldsOf(old);
  if (object.metadata.managedFields !== undefined && object.metadata.managedFields.length === 0) {
    // an explicitly empty list is how a client clears field ownership
    delete object.metadata.managedFields;
    return;
  }
  const { changed, removed } = old === undefined ? { changed: fieldsOf(object, schema), removed: {} } : changedFields(old, object, schema);
  const mine = withoutSystemFields(changed);
  const lost = withoutSystemFields(removed);
  if (isEmptySet(mine) && isEmptySet(lost)) {
    assign(object, before);
    return;
  }
  const apiVersion = apiVersionOf(type.group, version);
  const entries: ManagedFieldsEntry[] = [];
  let own: FieldSet = {};
  for (const entry of before) {
    if (isSame(entry, writer, 'Update', apiVersion)) own = setOf(entry);
    else keep(entries, entry, difference(difference(setOf(entry), mine), lost));
  }
  keep(entries, fresh(writer, 'Update', apiVersion, now), difference(union(own, mine), lost));
  assign(object, entries);
}

export const isSame = (entry: ManagedFieldsEntry, writer: Writer, operation: string, apiVersion: string): boolean =>
  entry.manager === writer.fieldManager &&
  entry.operation === operation &&
  entry.apiVersion === apiVersion &&
  (entry.subresource ?? '') === writer.subresource;

export function fresh(writer: Writer, operation: string, apiVersion: string, now: number): ManagedFieldsEntry {
  return {
    manager: writer.fieldManager,
    operation,
    apiVersion,
    time: timestamp(now),
    fieldsType: 'FieldsV1',
    ...(writer.subresource === '' ? {} : { subresource: writer.subresource }),
  };
}

export function keep(entries: ManagedFieldsEntry[], entry: ManagedFieldsEntry, fields: FieldSet): void {
  if (!isEmptySet(fields)) entries.push({ ...entry, fieldsV1: fields as JsonObject });
}

export function assign(object: StoredObject, entries: ManagedFieldsEntry[]): void {
  if (entries.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = entries;
}
