import { applyConflict, badRequest } from './errors.ts';
import { difference, elementKey, elementsOf, type FieldSet, fieldsOf, intersection, isEmptySet, leafPaths, union } from './field-set.ts';
import { clone, equal, isObject, type JsonObject } from './json.ts';
import { assign, fresh, isSame, keep, managedFieldsOf, setOf, withoutSystemFields } from './managed-fields.ts';
import { apiVersionOf, type ResourceType } from './resources.ts';
import type { StoredObject } from './store.ts';
import { fieldSchema, type StructuralSchema } from './structural.ts';

interface Applier {
  readonly fieldManager: string;
  readonly subresource: string;
  readonly force: boolean;
}

/**
 * Server-side apply: merges `applied` (already decoded) into `live`, removes what this manager applied before and no longer does, and moves
 * ownership. Throws a 409 that names every field another manager holds with a different value.
 */
export function apply(
  live: StoredObject | undefined,
  applied: StoredObject,
  type: ResourceType,
  version: string,
  applier: Applier,
  now: number,
): StoredObject {
  if (applier.fieldManager === '')
    throw badRequest('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch');
  if (applied.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  const schema = type.schema(type.version);
  const apiVersion = apiVersionOf(type.group, version);
  const wanted = withoutSystemFields(fieldsOf(applied, schema));
  const before = live === undefined ? [] : managedFieldsOf(live);
  const own = before.filter((entry) => isSame(entry, applier, 'Apply', apiVersion));
  const previously = own.reduce<FieldSet>((set, entry) => union(set, setOf(entry)), {});
  const others = before.filter((entry) => !own.includes(entry));

  const conflicts: { manager: string; field: string; apiVersion: string }[] = [];
  const contested = live === undefined ? {} : differing(live, applied, wanted, schema);
  const remaining = others.map((entry) => {
    const held = intersection(setOf(entry), contested);
    if (!isEmptySet(held) && !applier.force) {
      for (const field of leafPaths(held)) conflicts.push({ manager: entry.manager ?? '', field, apiVersion: entry.apiVersion ?? '' });
    }
    return { entry, fields: difference(setOf(entry), held) };
  });
  if (conflicts.length > 0) throw applyConflict(conflicts);

  const merged = live === undefined ? clone(applied) : (merge(live, applied, schema) as StoredObject); // both are objects of the type
  if (live !== undefined) {
    const elsewhere = remaining.reduce<FieldSet>((set, { fields }) => union(set, fields), {});
    const dropped = difference(difference(previously, wanted), elsewhere);
    removeFields(merged, dropped, schema);
  }
  const entries: ReturnType<typeof managedFieldsOf> = [];
  const mine = fresh(applier, 'Apply', apiVersion, now);
  // nothing new keeps its time, so that applying twice changes nothing
  const unchanged = own.length === 1 && equal(setOf(own[0]!), wanted);
  keep(entries, unchanged ? own[0]! : mine, wanted);
  for (const { entry, fields } of remaining) keep(entries, entry, fields);
  assign(merged, entries);
  return merged;
}

/** The applied fields whose value differs from what is stored, or which are not stored yet. */
function differing(live: unknown, applied: unknown, wanted: FieldSet, schema: StructuralSchema | undefined): FieldSet {
  const result: FieldSet = {};
  const current = elementsOf(live, schema);
  const next = elementsOf(applied, schema);
  for (const key of Object.keys(wanted)) {
    const fields = wanted[key]!;
    const inner = next.get(key);
    if (inner === undefined) continue;
    const stored = current.get(key);
    if (stored === undefined) {
      result[key] = fields;
      continue;
    }
    if (equal(stored.value, inner.value)) continue;
    if (isEmptySet(fields)) result[key] = {};
    else {
      const deeper = differing(stored.value, inner.value, fields, inner.schema);
      if (!isEmptySet(deeper)) result[key] = deeper;
    }
  }
  return result;
}

/** `applied` over `live`: objects field by field, keyed lists and sets entry by entry, everything else as a whole. */
function merge(live: unknown, applied: unknown, schema: StructuralSchema | undefined): unknown {
  if (isObject(applied) && isObject(live) && schema?.['x-kubernetes-map-type'] !== 'atomic') {
    const result: JsonObject = { ...live };
    for (const key of Object.keys(applied)) {
      const inner = fieldSchema(schema, key);
      result[key] = merge(live[key], applied[key], inner === true ? undefined : inner);
    }
    return result;
  }
  const listType = schema?.['x-kubernetes-list-type'];
  if (Array.isArray(applied) && Array.isArray(live) && (listType === 'map' || listType === 'set')) {
    const current = new Map(live.map((item) => [elementKey(item, schema), item]));
    const result: unknown[] = [];
    const done = new Set<string>();
    for (const item of applied) {
      const key = elementKey(item, schema);
      done.add(key);
      result.push(current.has(key) ? merge(current.get(key), item, schema?.items) : clone(item));
    }
    return [...live.filter((item) => !done.has(elementKey(item, schema))), ...result];
  }
  return clone(applied);
}

/** Removes fields in place; a keyed entry or a map goes when nothing in it is left but what identifies it. */
function removeFields(value: unknown, fields: FieldSet, schema: StructuralSchema | undefined): void {
  for (const key of Object.keys(fields)) {
    const inner = fields[key]!;
    if (key === '.') continue;
    if (key.startsWith('f:') && isObject(value)) {
      const name = key.slice(2);
      if (value[name] === undefined) continue;
      if (isEmptySet(inner)) delete value[name];
      else {
        const found = fieldSchema(schema, name);
        value[name] = clone(value[name]);
        removeFields(value[name], inner, found === true ? undefined : found);
        if (isBare(value[name]) && inner['.'] !== undefined) delete value[name];
      }
    } else if (Array.isArray(value)) {
      const index = value.findIndex((item) => elementKey(item, schema) === key);
      if (index < 0) continue;
      // the entry itself was ours alone: it goes as a whole
      if (isEmptySet(inner) || inner['.'] !== undefined) value.splice(index, 1);
      else removeFields(value[index], inner, schema?.items);
    }
  }
}

const isBare = (value: unknown): boolean => (isObject(value) || Array.isArray(value)) && Object.keys(value).length === 0;
