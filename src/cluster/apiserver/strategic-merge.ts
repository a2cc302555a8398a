import { badRequest } from './errors.ts';
import { clone, equal, isObject, type JsonObject } from './json.ts';
import { fieldSchema, type StructuralSchema } from './structural.ts';

const schemaOf = (schema: StructuralSchema | undefined, key: string): StructuralSchema | undefined => {
  const found = fieldSchema(schema, key);
  return found === true ? undefined : found;
};
const isMergeList = (schema: StructuralSchema | undefined): boolean => schema?.['x-kubernetes-patch-strategy'] === 'merge';

/** A strategic merge patch: a merge patch that knows which lists merge by key. Returns the new value. */
export function strategicMerge(target: unknown, patch: unknown, schema: StructuralSchema | undefined): unknown {
  if (!isObject(patch)) return clone(patch);
  const directive = patch['$patch'];
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw badRequest(`unknown patch directive: ${String(directive)}`);
  const result: JsonObject = isObject(target) ? { ...target } : {};
  const retained = patch['$retainKeys'];
  if (Array.isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
  for (const key of Object.keys(patch)) {
    if (key.startsWith('$')) continue;
    const value = patch[key];
    const inner = schemaOf(schema, key);
    if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeList(result[key], value, inner, patch[`$setElementOrder/${key}`]);
    else result[key] = strategicMerge(result[key], value, inner);
  }
  for (const key of Object.keys(patch)) {
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const field = key.slice('$deleteFromPrimitiveList/'.length);
      const gone = patch[key];
      if (Array.isArray(result[field]) && Array.isArray(gone)) {
        result[field] = (result[field] as unknown[]).filter((item) => !gone.some((other) => equal(other, item)));
      }
    }
    if (key.startsWith('$setElementOrder/')) {
      const field = key.slice('$setElementOrder/'.length);
      if (patch[field] === undefined && Array.isArray(result[field]))
        result[field] = ordered(result[field] as unknown[], patch[key], schemaOf(schema, field));
    }
  }
  return result;
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(clone(patch)).filter(([key]) => !key.startsWith('$')));
}

function mergeList(target: unknown, patch: readonly unknown[], schema: StructuralSchema | undefined, order: unknown): unknown[] {
  const key = schema?.['x-kubernetes-patch-merge-key'];
  const current = Array.isArray(target) ? target : [];
  if (!isMergeList(schema)) return clone(patch) as unknown[];
  if (key === undefined) {
    const added = patch.filter((item) => !current.some((existing) => equal(existing, item)));
    return ordered([...current, ...clone(added)], order, schema);
  }
  if (patch.some((item) => isObject(item) && item['$patch'] === 'replace')) {
    return patch
      .filter((item) => !(isObject(item) && item['$patch'] === 'replace' && Object.keys(item).length === 1))
      .map((item) => withoutDirectives(item as JsonObject));
  }
  let result = [...current];
  for (const item of patch) {
    if (!isObject(item)) throw badRequest(`list entries merged by "${key}" must be objects`);
    if (item[key] === undefined) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const matches = (other: unknown) => isObject(other) && other[key] === item[key];
    if (item['$patch'] === 'delete') {
      result = result.filter((other) => !matches(other));
      continue;
    }
    const index = result.findIndex(matches);
    if (index < 0) result.push(strategicMerge(undefined, item, schema?.items));
    else result[index] = strategicMerge(result[index], item, schema?.items);
  }
  return ordered(result, order, schema);
}

/** Entries named in `order` take that order; the others stay behind the neighbour they had. */
function ordered(list: unknown[], order: unknown, schema: StructuralSchema | undefined): unknown[] {
  if (!Array.isArray(order)) return list;
  const key = schema?.['x-kubernetes-patch-merge-key'];
  const identity = (item: unknown) => JSON.stringify(key === undefined || !isObject(item) ? item : item[key]);
  const rank = new Map(order.map((item, index) => [identity(item), index]));
  const known = list.filter((item) => rank.has(identity(item))).sort((a, b) => rank.get(identity(a))! - rank.get(identity(b))!);
  const result: unknown[] = [];
  let next = 0;
  for (const item of list) result.push(rank.has(identity(item)) ? known[next++] : item);
  return result;
}
