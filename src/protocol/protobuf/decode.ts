import type { Result } from '../result.ts';
import type { Field, FieldType, ScalarType, Table } from './table.ts';
import { WireError, WireReader, WireType } from './wire.ts';

/** Messages within messages; ours have six. */
const MAX_DEPTH = 100;

type Fields = Record<string, unknown>;

/**
 * Bytes → message. Unknown fields and unknown numbers of enumerations are let through, as the format asks; what is not a message, a field of another
 * type, or text that is not UTF-8 is refused. `bytes` fields are views of the input.
 */
export function decodeMessage<T>(table: Table<T>, bytes: Uint8Array): Result<T, string> {
  try {
    // The table says what is in it.
    return { ok: true, value: read(table, bytes, emptyMessage(table), 1) as T };
  } catch (error) {
    if (error instanceof WireError) return { ok: false, error: `not a ${table.name}: ${error.message}` };
    throw error;
  }
}

function emptyMessage(table: Table<unknown>): Fields {
  const message: Fields = {};
  for (const { name, type, label, oneof } of table.byNumber.values()) {
    if (oneof !== undefined) message[oneof] = { case: undefined };
    else if (label === 'list') message[name] = [];
    else if (label === 'map') message[name] = {};
    else if (label === 'plain' && typeof type === 'string') message[name] = emptyScalar(type);
  }
  return message;
}

function emptyScalar(type: ScalarType | 'struct'): unknown {
  switch (type) {
    case 'string':
      return '';
    case 'bytes':
      return new Uint8Array(0);
    case 'bool':
      return false;
    case 'int64':
      return 0n;
    case 'struct':
      return undefined;
    default:
      return 0;
  }
}

/** Reads into a message that may hold fields already: a message that comes in parts is put together. */
function read(table: Table<unknown>, bytes: Uint8Array, message: Fields, depth: number): Fields {
  if (depth > MAX_DEPTH) throw new WireError('messages lie too deep within each other');
  const reader = new WireReader(bytes);
  while (!reader.isAtEnd) {
    const tag = reader.uint32();
    const number = tag >>> 3;
    const wireType = tag & 7;
    if (number === 0) throw new WireError('a field has the number 0');
    const field = table.byNumber.get(number);
    if (field === undefined) reader.skip(wireType);
    else readField(reader, field, wireType, message, depth);
  }
  return message;
}

function readField(reader: WireReader, field: Field, wireType: number, message: Fields, depth: number): void {
  const { name, type, label, oneof } = field;
  if (label === 'map') {
    expectWire(field, wireType, WireType.LEN);
    const [key, value] = readEntry(field, reader.bytes(), depth);
    // Not assigned: a key may be `__proto__`.
    Object.defineProperty(message[name], key, { value, writable: true, enumerable: true, configurable: true });
  } else if (label === 'wrapper') {
    expectWire(field, wireType, WireType.LEN);
    message[name] = readWrapped(field, reader.bytes(), message[name]);
  } else if (label === 'list' && wireType === WireType.LEN && wireTypeOf(type) === WireType.VARINT) {
    const packed = new WireReader(reader.bytes());
    // What an empty message of this field holds was made by `emptyMessage`.
    while (!packed.isAtEnd) (message[name] as unknown[]).push(readScalar(packed, type as ScalarType));
  } else {
    expectWire(field, wireType, wireTypeOf(type));
    const group = oneof === undefined ? undefined : (message[oneof] as { case: unknown; value?: unknown });
    const before = group === undefined ? message[name] : group.case === name ? group.value : undefined;
    const value = readValue(reader, type, label === 'list' ? undefined : before, depth);
    if (oneof !== undefined) message[oneof] = { case: name, value };
    else if (label === 'list') (message[name] as unknown[]).push(value);
    else message[name] = value;
  }
}

function expectWire(field: Field, actual: number, expected: number): void {
  if (actual !== expected) throw new WireError(`field ${field.name} has wire type ${actual} instead of ${expected}`);
}

const wireTypeOf = (type: FieldType): number =>
  typeof type === 'object' || type === 'string' || type === 'bytes' || type === 'struct' ? WireType.LEN : WireType.VARINT;

function readValue(reader: WireReader, type: FieldType, before: unknown, depth: number): unknown {
  if (typeof type !== 'object') return readScalar(reader, type);
  return read(type, reader.bytes(), (before as Fields | undefined) ?? emptyMessage(type), depth + 1);
}

function readScalar(reader: WireReader, type: ScalarType | 'struct'): unknown {
  switch (type) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes();
    case 'bool':
      return reader.bool();
    case 'uint32':
      return reader.uint32();
    case 'int32':
    case 'enum':
      return reader.uint32() | 0;
    case 'int64':
      return BigInt.asIntN(64, reader.varint());
    case 'struct':
      throw new WireError('a google.protobuf.Struct is not read here');
  }
}

/** Key (1, always text) and value (2) of one entry; what is missing has its default. */
function readEntry({ type, name }: Field, bytes: Uint8Array, depth: number): readonly [string, unknown] {
  const reader = new WireReader(bytes);
  let key = '';
  let value = typeof type === 'object' ? undefined : emptyScalar(type);
  while (!reader.isAtEnd) {
    const tag = reader.uint32();
    const wireType = tag & 7;
    if (tag >>> 3 === 0) throw new WireError('a field has the number 0');
    if (tag >>> 3 === 1 && wireType === WireType.LEN) key = reader.string();
    else if (tag >>> 3 === 2) {
      if (wireType !== wireTypeOf(type)) throw new WireError(`an entry of ${name} has wire type ${wireType}`);
      value = readValue(reader, type, value, depth + 1);
    } else reader.skip(wireType);
  }
  return [key, value ?? emptyMessage(type as Table<unknown>)];
}

/** `value` (1) of a wrapper; one without it wraps the default. */
function readWrapped({ type, name }: Field, bytes: Uint8Array, before: unknown): unknown {
  const reader = new WireReader(bytes);
  let value = before ?? emptyScalar(type as ScalarType);
  while (!reader.isAtEnd) {
    const tag = reader.uint32();
    if (tag >>> 3 === 0) throw new WireError('a field has the number 0');
    if (tag >>> 3 !== 1) reader.skip(tag & 7);
    else if ((tag & 7) !== wireTypeOf(type)) throw new WireError(`field ${name} wraps a value of wire type ${tag & 7}`);
    else value = readScalar(reader, type as ScalarType);
  }
  return value;
}
