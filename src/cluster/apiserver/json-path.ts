import { isObject } from './json.ts';

/**
 * The part of kubectl's JSONPath that printer columns use: `.a.b`, `['a.b']`, `[0]`, `[*]` and `[?(@.type=="Ready")]`.
 * Several results are joined with commas, as the API server does not.
 */
export function jsonPath(value: unknown, path: string): unknown {
  let current: unknown[] = [value];
  for (const step of steps(path)) current = current.flatMap((item) => follow(item, step));
  return current.length <= 1 ? current[0] : current.join(',');
}

type Step =
  | { readonly key: string }
  | { readonly index: number }
  | { readonly all: true }
  | { readonly field: string; readonly equals: string };

function steps(path: string): Step[] {
  const found: Step[] = [];
  const pattern = /\.?\[\?\(@\.([\w.-]+)\s*==\s*["']([^"']*)["']\)\]|\[['"]([^'"]+)['"]\]|\[(-?\d+)\]|\[\*\]|\.((?:[^.[\]\\]|\\.)+)/g;
  for (const match of path
    .replace(/^[{$]+/, '')
    .replace(/\}$/, '')
    .matchAll(pattern)) {
    if (match[1] !== undefined) found.push({ field: match[1], equals: match[2] ?? '' });
    else if (match[3] !== undefined) found.push({ key: match[3] });
    else if (match[4] !== undefined) found.push({ index: Number(match[4]) });
    else if (match[5] !== undefined) found.push({ key: match[5].replaceAll('\\', '') });
    else found.push({ all: true });
  }
  return found;
}

function follow(item: unknown, step: Step): unknown[] {
  if ('key' in step) {
    const next = isObject(item) ? item[step.key] : undefined;
    return next === undefined ? [] : [next];
  }
  if (!Array.isArray(item)) return [];
  if ('all' in step) return item;
  if ('index' in step) return item.at(step.index) === undefined ? [] : [item.at(step.index)];
  return item.filter((entry) => isObject(entry) && String(entry[step.field]) === step.equals);
}
