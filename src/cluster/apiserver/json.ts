/** JSON values as they are stored. Objects in the store are shared and never mutated: clone before changing. */
export type JsonObject = Record<string, unknown>;

export const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

export function clone<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(clone) as T; // same element types
  const copy: JsonObject = {};
  for (const key in value) copy[key] = clone((value as JsonObject)[key]);
  return copy as T; // same fields
}

/** Equality of JSON values; the order of keys does not matter. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => equal(item, b[index]));
  if (Array.isArray(b)) return false;
  const left = a as JsonObject;
  const right = b as JsonObject;
  let count = 0;
  for (const key in left) {
    if (left[key] === undefined) continue;
    if (!equal(left[key], right[key])) return false;
    count++;
  }
  for (const key in right) if (right[key] !== undefined) count--;
  return count === 0;
}

export function depthOf(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (limit === 0) return 1;
  let deepest = 0;
  for (const key in value) deepest = Math.max(deepest, depthOf((value as JsonObject)[key], limit - 1));
  return deepest + 1;
}

/** The value at a simple path such as `.spec.replicas`. */
export function at(value: unknown, path: string): unknown {
  let current = value;
  for (const key of path.split('.')) {
    if (key === '') continue;
    if (!isObject(current)) return undefined;
    current = current[key];
  }
  return current;
}

/** Sets the value at a simple path, making objects on the way. */
export function setAt(value: JsonObject, path: string, leaf: unknown): void {
  const keys = path.split('.').filter((key) => key !== '');
  let current = value;
  for (const key of keys.slice(0, -1)) {
    if (!isObject(current[key])) current[key] = {};
    current = current[key] as JsonObject; // just made
  }
  current[keys.at(-1)!] = leaf;
}
