import { badRequest, unsupportedMediaType } from './errors.ts';
import type { JsonObject } from './json.ts';
import { LIMITS } from './limits.ts';
import { MESSAGES, ROOTS } from './protobuf-fields.ts';

/** Kubernetes' protobuf media type: `k8s\0`, then a `runtime.Unknown` with the object inside. Typed Go clients send bodies so. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

interface Field {
  readonly name: string;
  readonly type: string;
  readonly repeat: '' | '*' | '{}';
  readonly isOptional: boolean;
  readonly isInline: boolean;
}

const compiled = new Map<string, ReadonlyMap<number, Field>>();

function fieldsOf(message: string): ReadonlyMap<number, Field> {
  let fields = compiled.get(message);
  if (fields === undefined) {
    const described = (MESSAGES[message] ?? '').split(', ').filter((text) => text !== '');
    fields = new Map(
      described.map((text) => {
        const [, number, inline, name, repeat, type, optional] = /^(\d+) (\^?)(\w+) (\*|\{\})?(\w+)(\??)$/.exec(text)!;
        return [
          Number(number),
          { name: name!, type: type!, repeat: (repeat ?? '') as Field['repeat'], isOptional: optional === '?', isInline: inline === '^' },
        ];
      }),
    );
    compiled.set(message, fields);
  }
  return fields;
}

/** Reads one message; every length is checked against the bytes that are there. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw badRequest('the protobuf body is truncated');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw badRequest('the protobuf body has a varint longer than ten bytes');
  }

  bytes(): Buffer {
    const length = Number(this.varint());
    return this.#take(length);
  }

  #take(length: number): Buffer {
    if (length < 0 || this.#at + length > this.#bytes.length) throw badRequest('the protobuf body is truncated');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** The value of a field of this wire type: a number, or the bytes of the others. */
  value(wireType: number): bigint | Buffer {
    switch (wireType) {
      case 0:
        return this.varint();
      case 1:
        return this.#take(8);
      case 2:
        return this.bytes();
      case 5:
        return this.#take(4);
      default:
        throw badRequest(`the protobuf body has a field of wire type ${wireType}`);
    }
  }
}

/** Decodes a body into the JSON form of its object. Throws a 400 for malformed bytes and a 415 for a kind without a table. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0') throw badRequest('the protobuf body does not start with the k8s prefix');
  let apiVersion = '';
  let kind = '';
  let raw: Buffer = Buffer.alloc(0);
  each(body.subarray(4), (number, value) => {
    if (number === 1 && Buffer.isBuffer(value)) {
      each(value, (inner, text) => {
        if (inner === 1) apiVersion = String(text);
        else if (inner === 2) kind = String(text);
      });
    } else if (number === 2 && Buffer.isBuffer(value)) raw = value;
  });
  const root = kind === 'DeleteOptions' ? ROOTS[kind] : ROOTS[`${apiVersion} ${kind}`];
  if (root === undefined) throw unsupportedMediaType('application/json, application/yaml');
  return { apiVersion, kind, ...message(raw, root, LIMITS.depth) };
}

function each(bytes: Buffer, visit: (number: number, value: bigint | Buffer) => void): void {
  const reader = new Reader(bytes);
  while (!reader.isDone) {
    const tag = Number(reader.varint());
    visit(tag >>> 3, reader.value(tag & 7));
  }
}

function message(bytes: Buffer, type: string, depth: number): JsonObject {
  if (depth === 0) throw badRequest(`the object is nested deeper than ${LIMITS.depth} levels`);
  const fields = fieldsOf(type);
  const result: JsonObject = {};
  each(bytes, (number, value) => {
    const field = fields.get(number);
    if (field === undefined) return;
    if (field.repeat === '{}') {
      const [key, entry] = mapEntry(value, field.type, depth);
      const map = (result[field.name] ?? {}) as JsonObject; // made here only
      if (key !== '__proto__') map[key] = entry;
      result[field.name] = map;
      return;
    }
    const decoded = single(value, field.type, depth);
    if (field.isInline) Object.assign(result, decoded);
    else if (field.repeat === '*') result[field.name] = [...((result[field.name] ?? []) as unknown[]), decoded];
    else if (field.isOptional || !isZero(decoded)) result[field.name] = decoded;
  });
  return result;
}

/** Go writes the zero of every field that is not a pointer; JSON leaves those out. */
function isZero(value: unknown): boolean {
  if (value === null || value === '' || value === 0 || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function mapEntry(value: bigint | Buffer, type: string, depth: number): [string, unknown] {
  let key = '';
  let entry: unknown = type === 's' || type === 'y' ? '' : {};
  if (Buffer.isBuffer(value)) {
    each(value, (number, inner) => {
      if (number === 1) key = String(inner);
      else if (number === 2) entry = single(inner, type, depth);
    });
  }
  return [key, entry];
}

function single(value: bigint | Buffer, type: string, depth: number): unknown {
  if (!Buffer.isBuffer(value)) {
    if (type === 'b') return value !== 0n;
    if (type === 'i') return Number(value);
    throw badRequest('the protobuf body has a number where a message or a text belongs');
  }
  switch (type) {
    case 's':
      return value.toString('utf8');
    case 'y':
      return value.toString('base64');
    case 'd':
      return value.length === 8 ? value.readDoubleLE(0) : 0;
    case 'i':
    case 'b':
      throw badRequest('the protobuf body has bytes where a number belongs');
    case 'quantity':
      return firstText(value, 1);
    case 'json':
      return jsonOf(value);
    case 'items':
      return listOf(value);
    case 'intstr':
      return intOrString(value);
    case 'time':
    case 'microtime':
      return time(value, type === 'microtime');
    default:
      return message(value, type, depth - 1);
  }
}

function firstText(bytes: Buffer, wanted: number): string {
  let found = '';
  each(bytes, (number, value) => {
    if (number === wanted) found = String(value);
  });
  return found;
}

function listOf(bytes: Buffer): string[] {
  const items: string[] = [];
  each(bytes, (number, value) => {
    if (number === 1) items.push(String(value));
  });
  return items;
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(firstText(bytes, 1) || 'null');
  } catch {
    throw badRequest('the protobuf body has malformed JSON inside');
  }
}

function intOrString(bytes: Buffer): number | string {
  let isText = false;
  let number = 0;
  let text = '';
  each(bytes, (field, value) => {
    if (field === 1) isText = value === 1n;
    else if (field === 2) number = Number(value);
    else if (field === 3) text = String(value);
  });
  return isText ? text : number;
}

function time(bytes: Buffer, isMicro: boolean): string | null {
  let seconds = 0;
  let nanos = 0;
  let isSet = false;
  each(bytes, (field, value) => {
    isSet = true;
    if (field === 1) seconds = Number(value);
    else if (field === 2) nanos = Number(value);
  });
  const date = new Date(seconds * 1000);
  if (!isSet || Number.isNaN(date.getTime())) return null;
  const whole = date.toISOString().slice(0, 19);
  return isMicro ? `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z` : `${whole}Z`;
}
