/** Strategic merge of overlays into generated objects, as kubectl and Istio do it: lists that Kubernetes keys are merged by their keys. */

type Json = Record<string, unknown>;
/** The marks of a kind's schema that merging looks at. */
interface MergeSchema {
  readonly properties?: Readonly<Record<string, MergeSchema>>;
  readonly additionalProperties?: MergeSchema | boolean;
  readonly items?: MergeSchema;
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether the whole object is to be left out. */
export const isDeletion = (patch: unknown): boolean => isObject(patch) && patch['$patch'] === 'delete';

/** `target` with `patch` laid over it; `schema` is that of the kind. Null removes a field, `$patch: delete` a list entry, `$patch: replace` replaces. */
export function strategicMerge(target: unknown, patch: unknown, schema: unknown): unknown {
  return merge(target, patch, schema as MergeSchema | undefined); // only the marks above are read
}

function merge(target: unknown, patch: unknown, schema: MergeSchema | undefined): unknown {
  if (!isObject(patch)) return patch;
  if (patch['$patch'] === 'replace') return withoutDirectives(patch);
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    const inner = schema?.properties?.[key] ?? (typeof schema?.additionalProperties === 'object' ? schema.additionalProperties : undefined);
    if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeList(result[key], value, inner);
    else result[key] = merge(result[key], value, inner);
  }
  return result;
}

function mergeList(target: unknown, patch: readonly unknown[], schema: MergeSchema | undefined): unknown[] {
  const key = schema?.['x-kubernetes-patch-merge-key'];
  if (schema?.['x-kubernetes-patch-strategy'] !== 'merge' || !Array.isArray(target)) return patch.map(withoutDirectives);
  if (key === undefined) return [...target, ...patch.filter((item) => !target.includes(item))];
  if (patch.some((item) => isObject(item) && item['$patch'] === 'replace' && item[key] === undefined)) {
    return patch.filter((item) => isObject(item) && item[key] !== undefined).map(withoutDirectives);
  }
  let result: unknown[] = [...target];
  for (const item of patch) {
    const matches = (other: unknown): boolean => isObject(other) && isObject(item) && other[key] === item[key];
    const at = result.findIndex(matches);
    if (isDeletion(item)) result = result.filter((other) => !matches(other));
    else if (at < 0) result.push(withoutDirectives(item));
    else result[at] = merge(result[at], item, schema.items);
  }
  return result;
}

const withoutDirectives = (value: unknown): unknown =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('$'))) : value;
