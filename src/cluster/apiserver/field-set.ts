import { equal, isObject, type JsonObject } from './json.ts';
import { fieldSchema, type StructuralSchema } from './structural.ts';

/**
 * A set of fields in the `FieldsV1` form of managedFields: keys `f:name`, `k:{"name":"x"}` (entry of a keyed list), `v:"x"` (entry of a set),
 * and `.` for the field itself.
 */
export interface FieldSet {
  [key: string]: FieldSet;
}

export const isEmptySet = (set: FieldSet): boolean => Object.keys(set).length === 0;

const asSchema = (schema: StructuralSchema | true | undefined): StructuralSchema | undefined => (schema === true ? undefined : schema);

/** Whether a value is owned field by field, rather than as a whole. */
function isGranular(value: unknown, schema: StructuralSchema | undefined): boolean {
  if (isObject(value)) return schema?.['x-kubernetes-map-type'] !== 'atomic';
  if (!Array.isArray(value)) return false;
  return schema?.['x-kubernetes-list-type'] === 'map' || schema?.['x-kubernetes-list-type'] === 'set';
}

/** The entries of a granular value: path element → value. */
export function elementsOf(
  value: unknown,
  schema: StructuralSchema | undefined,
): Map<string, { value: unknown; schema: StructuralSchema | undefined }> {
  const found = new Map<string, { value: unknown; schema: StructuralSchema | undefined }>();
  if (isObject(value)) {
    for (const key of Object.keys(value))
      if (value[key] !== undefined) found.set(`f:${key}`, { value: value[key], schema: asSchema(fieldSchema(schema, key)) });
  } else if (Array.isArray(value)) {
    for (const item of value) found.set(elementKey(item, schema), { value: item, schema: schema?.items });
  }
  return found;
}

export function elementKey(item: unknown, schema: StructuralSchema | undefined): string {
  if (schema?.['x-kubernetes-list-type'] === 'set') return `v:${JSON.stringify(item)}`;
  const keys = schema?.['x-kubernetes-list-map-keys'] ?? [];
  const identity: JsonObject = {};
  // sorted, as Kubernetes writes them; a key left out counts with its default
  for (const key of keys.toSorted()) {
    const value = isObject(item) ? (item[key] ?? (key === 'protocol' ? 'TCP' : undefined)) : undefined;
    if (value !== undefined) identity[key] = value;
  }
  return `k:${JSON.stringify(identity)}`;
}

/** Every field present in a value. */
export function fieldsOf(value: unknown, schema: StructuralSchema | undefined): FieldSet {
  const set: FieldSet = {};
  for (const [key, inner] of elementsOf(value, schema)) set[key] = fieldsUnder(key, inner);
  return set;
}

function fieldsUnder(key: string, { value, schema }: { value: unknown; schema: StructuralSchema | undefined }): FieldSet {
  if (!isGranular(value, schema)) return {};
  const fields = fieldsOf(value, schema);
  // Maps and list entries themselves can be owned: that is what removes an entry when its last owner lets go. An empty value has nothing else;
  // as a bare leaf it would stand for everything that others put below it.
  if (isEmptySet(fields) || key.startsWith('k:') || schema?.additionalProperties !== undefined || Array.isArray(value)) fields['.'] = {};
  return fields;
}

/** What differs between two values: fields set or changed, and fields that are gone. */
export function changedFields(old: unknown, next: unknown, schema: StructuralSchema | undefined): { changed: FieldSet; removed: FieldSet } {
  const changed: FieldSet = {};
  const removed: FieldSet = {};
  const before = elementsOf(old, schema);
  const after = elementsOf(next, schema);
  for (const [key, inner] of after) {
    const previous = before.get(key);
    if (previous === undefined) {
      changed[key] = fieldsUnder(key, inner);
      continue;
    }
    if (equal(previous.value, inner.value)) continue;
    if (isGranular(inner.value, inner.schema) && isGranular(previous.value, inner.schema)) {
      const deeper = changedFields(previous.value, inner.value, inner.schema);
      if (!isEmptySet(deeper.changed)) changed[key] = deeper.changed;
      if (!isEmptySet(deeper.removed)) removed[key] = deeper.removed;
    } else changed[key] = fieldsUnder(key, inner);
  }
  for (const [key, inner] of before) if (!after.has(key)) removed[key] = fieldsUnder(key, inner);
  return { changed, removed };
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { ...a };
  for (const key of Object.keys(b)) {
    const left = a[key];
    const right = b[key]!;
    if (left === undefined) result[key] = right;
    else if (isEmptySet(left) !== isEmptySet(right)) result[key] = { '.': {}, ...left, ...right };
    else result[key] = union(left, right);
  }
  return result;
}

/** `a` without the leaves of `b`. A leaf of `b` takes everything below it. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = {};
  for (const key of Object.keys(a)) {
    const other = b[key];
    if (other === undefined) {
      result[key] = a[key]!;
      continue;
    }
    if (isEmptySet(other)) continue;
    if (isEmptySet(a[key]!)) {
      if (other['.'] === undefined) result[key] = a[key]!;
      continue;
    }
    const rest = difference(a[key]!, other);
    if (!isEmptySet(rest)) result[key] = rest;
  }
  return result;
}

/** Fields that are in both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = {};
  for (const key of Object.keys(a)) {
    const other = b[key];
    if (other === undefined) continue;
    const left = a[key]!;
    if (isEmptySet(left) || isEmptySet(other)) {
      if (isEmptySet(left) && isEmptySet(other)) result[key] = {};
      else if (isEmptySet(left) ? other['.'] !== undefined : left['.'] !== undefined) result[key] = {};
      continue;
    }
    const both = intersection(left, other);
    if (!isEmptySet(both)) result[key] = both;
  }
  return result;
}

/** The leaves of a set, as paths for people: `.spec.containers[name="app"].image`. */
export function leafPaths(set: FieldSet, prefix = ''): string[] {
  return Object.keys(set).flatMap((key) => {
    if (key === '.') return [prefix];
    const path = prefix + readable(key);
    return isEmptySet(set[key]!) ? [path] : leafPaths(set[key]!, path);
  });
}

function readable(key: string): string {
  if (key.startsWith('f:')) return `.${key.slice(2)}`;
  if (key.startsWith('v:')) return `[=${key.slice(2)}]`;
  const identity = JSON.parse(key.slice(2)) as JsonObject;
  return `[${Object.keys(identity)
    .map((name) => `${name}=${JSON.stringify(identity[name])}`)
    .join(',')}]`;
}
