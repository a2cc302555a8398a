/** Header modification of routes: Gateway API `RequestHeaderModifier`/`ResponseHeaderModifier`, VirtualService `headers`. */
import type { HeaderList } from '../../protocol/index.ts';
import type { HeaderEdit } from './plan.ts';

const fieldOf = (fields: HeaderList, name: string): HeaderList[number] | undefined => {
  for (let i = 0; i < fields.length; i++) if (fields[i]![0] === name) return fields[i];
  return undefined;
};

/**
 * Remove, then set, then add. Set replaces all fields of the name by one, where the first stood; add appends a field of its own, which HTTP reads as
 * one list with those before (RFC 9110 section 5.3).
 */
export const editHeaders = (headers: HeaderList, edit: HeaderEdit): HeaderList => {
  const { remove, set, add } = edit;
  if (remove.length + set.length + add.length === 0) return headers;
  const edited: HeaderList[number][] = [];
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (remove.includes(field[0])) continue;
    const replacement = fieldOf(set, field[0]);
    if (replacement === undefined) edited.push(field);
    else if (fieldOf(edited, field[0]) === undefined) edited.push(replacement);
  }
  for (let i = 0; i < set.length; i++) if (fieldOf(edited, set[i]![0]) === undefined) edited.push(set[i]!);
  for (let i = 0; i < add.length; i++) edited.push(add[i]!);
  return edited;
};
