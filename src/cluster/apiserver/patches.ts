import { badRequest, Refusal, tooLarge } from './errors.ts';
import { clone, equal, isObject, type JsonObject } from './json.ts';
import { LIMITS } from './limits.ts';

/** RFC 7396. Returns the new value; the inputs stay as they are. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return clone(patch);
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const key of Object.keys(patch)) {
    if (patch[key] === null) delete result[key];
    else result[key] = mergePatch(result[key], patch[key]);
  }
  return result;
}

/** RFC 6902. Throws a 400 for a malformed patch and a 422 for one that does not fit. */
export function jsonPatch(target: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is a list of operations');
  if (operations.length > LIMITS.jsonPatchOperations) throw tooLarge(LIMITS.jsonPatchOperations);
  let document = clone(target);
  for (const operation of operations) {
    if (!isObject(operation) || typeof operation['op'] !== 'string' || typeof operation['path'] !== 'string') {
      throw badRequest('each operation of a JSON patch has "op" and "path"');
    }
    document = applyOperation(document, operation as JsonObject & { op: string; path: string });
  }
  return document;
}

const misfit = (message: string) =>
  new Refusal(422, 'Invalid', `the server rejected our request due to an error in our request: ${message}`);

function applyOperation(document: unknown, operation: JsonObject & { op: string; path: string }): unknown {
  const { op, path } = operation;
  switch (op) {
    case 'add':
    case 'replace':
      if (!('value' in operation)) throw badRequest(`${op} operation at "${path}" has no value`);
      return put(document, path, clone(operation['value']), op === 'add');
    case 'remove':
      return take(document, path).rest;
    case 'move': {
      const { rest, value } = take(document, from(operation));
      return put(rest, path, value, true);
    }
    case 'copy':
      return put(document, path, clone(lookup(document, from(operation))), true);
    case 'test':
      if (!equal(lookup(document, path), operation['value'])) throw misfit(`testing value ${path} failed`);
      return document;
    default:
      throw badRequest(`unexpected kind of JSON patch operation: ${op}`);
  }
}

function from(operation: JsonObject): string {
  if (typeof operation['from'] !== 'string') throw badRequest(`${String(operation['op'])} operation has no "from"`);
  return operation['from'];
}

function tokens(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw badRequest(`the JSON pointer "${path}" does not start with "/"`);
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function step(container: unknown, token: string, path: string): unknown {
  if (Array.isArray(container)) {
    const index = position(token, container.length - 1, path);
    return container[index];
  }
  if (isObject(container) && Object.hasOwn(container, token)) return container[token];
  throw misfit(`the path "${path}" does not exist`);
}

function position(token: string, last: number, path: string): number {
  if (!/^(0|[1-9]\d*)$/.test(token) || Number(token) > last) throw misfit(`the index "${token}" of "${path}" is out of bounds`);
  return Number(token);
}

function lookup(document: unknown, path: string): unknown {
  return tokens(path).reduce<unknown>((current, token) => step(current, token, path), document);
}

function put(document: unknown, path: string, value: unknown, isInsert: boolean): unknown {
  const keys = tokens(path);
  const last = keys.pop();
  if (last === undefined) return value;
  const container = keys.reduce<unknown>((current, token) => step(current, token, path), document);
  if (Array.isArray(container)) {
    if (!isInsert) container[position(last, container.length - 1, path)] = value;
    else container.splice(last === '-' ? container.length : position(last, container.length, path), 0, value);
  } else if (isObject(container)) {
    if (!isInsert && !Object.hasOwn(container, last)) throw misfit(`replace operation does not apply: doc is missing key: ${path}`);
    if (last === '__proto__') throw badRequest('the field name "__proto__" is reserved');
    container[last] = value;
  } else throw misfit(`the path "${path}" does not exist`);
  return document;
}

function take(document: unknown, path: string): { rest: unknown; value: unknown } {
  const keys = tokens(path);
  const last = keys.pop();
  if (last === undefined) throw misfit('the whole document cannot be removed');
  const container = keys.reduce<unknown>((current, token) => step(current, token, path), document);
  const value = step(container, last, path);
  if (Array.isArray(container)) container.splice(Number(last), 1);
  else delete (container as JsonObject)[last];
  return { rest: document, value };
}
