import type { Field, FieldType, Init, ScalarType, Table } from './table.ts';
import { WireType, WireWriter } from './wire.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Message → bytes, fields in the order of the table. What has its default is left out. */
export function encodeMessage<T>(table: Table<T>, message: Init<T>): Uint8Array<ArrayBuffer> {
  // The type parameter is checked by the caller's compiler; here it is a record of fields.
  return write(table, message as Fields);
}

function write(table: Table<unknown>, message: Fields): Uint8Array<ArrayBuffer> {
  const writer = new WireWriter();
  for (const field of table.byNumber.values()) writeField(writer, field, message);
  return writer.finish();
}

function writeField(writer: WireWriter, field: Field, message: Fields): void {
  const { number, name, type, label, oneof } = field;
  if (oneof !== undefined) {
    const group = message[oneof] as { readonly case?: string; readonly value?: unknown } | undefined;
    if (group?.case === name) writeValue(writer, number, type, group.value);
    return;
  }
  const value = message[name];
  if (value === undefined) return;
  if (label === 'list') writeList(writer, number, type, value as readonly unknown[]);
  else if (label === 'map') {
    const entry = { name, byNumber: entryFields(type) };
    for (const [key, item] of Object.entries(value as Fields)) writeValue(writer, number, entry, { key, value: item });
  } else if (label === 'wrapper') writeValue(writer, number, { name, byNumber: wrapperFields(type) }, { value });
  else if (label === 'optional' || !isDefault(type, value)) writeValue(writer, number, type, value);
}

const plain = (number: number, name: string, type: FieldType): [number, Field] => [
  number,
  { number, name, type, label: 'optional', oneof: undefined },
];
const entryFields = (type: FieldType): ReadonlyMap<number, Field> => new Map([plain(1, 'key', 'string'), plain(2, 'value', type)]);
const wrapperFields = (type: FieldType): ReadonlyMap<number, Field> => new Map([plain(1, 'value', type)]);

/** Numbers are packed, as proto3 has it. */
function writeList(writer: WireWriter, number: number, type: FieldType, values: readonly unknown[]): void {
  if (typeof type === 'object' || type === 'string' || type === 'bytes' || type === 'struct') {
    for (const value of values) writeValue(writer, number, type, value);
    return;
  }
  if (values.length === 0) return;
  const packed = new WireWriter();
  for (const value of values) packed.varint(numeric(type, value));
  writer.tag(number, WireType.LEN);
  writer.bytes(packed.finish());
}

const isDefault = (type: FieldType, value: unknown): boolean =>
  typeof type === 'string' &&
  (value === '' || value === 0 || value === 0n || value === false || (value instanceof Uint8Array && value.length === 0));

function writeValue(writer: WireWriter, number: number, type: FieldType, value: unknown): void {
  if (typeof type === 'object') {
    writer.tag(number, WireType.LEN);
    writer.bytes(write(type, value as Fields));
  } else if (type === 'string') {
    writer.tag(number, WireType.LEN);
    writer.string(value as string);
  } else if (type === 'bytes') {
    writer.tag(number, WireType.LEN);
    writer.bytes(value as Uint8Array);
  } else if (type === 'struct') {
    writer.tag(number, WireType.LEN);
    writer.bytes(encodeStruct(value as Fields));
  } else {
    writer.tag(number, WireType.VARINT);
    writer.varint(numeric(type, value));
  }
}

/** A 32-bit number out of range is the caller's mistake, and is cut. */
function numeric(type: ScalarType, value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  return BigInt(type === 'uint32' ? (value as number) >>> 0 : (value as number) | 0);
}

/** `google.protobuf.Struct`: a map of values. Members that JSON has no form for are left out, as JSON leaves them out. */
function encodeStruct(object: Fields): Uint8Array {
  const writer = new WireWriter();
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue;
    const entry = new WireWriter();
    entry.tag(1, WireType.LEN);
    entry.string(key);
    entry.tag(2, WireType.LEN);
    entry.bytes(encodeJsonValue(value));
    writer.tag(1, WireType.LEN);
    writer.bytes(entry.finish());
  }
  return writer.finish();
}

/** `google.protobuf.Value`: null 1, number 2, text 3, flag 4, object 5, list 6. */
function encodeJsonValue(value: unknown): Uint8Array {
  const writer = new WireWriter();
  if (typeof value === 'number') {
    writer.tag(2, WireType.I64);
    writer.double(value);
  } else if (typeof value === 'string') {
    writer.tag(3, WireType.LEN);
    writer.string(value);
  } else if (typeof value === 'boolean') {
    writer.tag(4, WireType.VARINT);
    writer.varint(value ? 1n : 0n);
  } else if (Array.isArray(value)) {
    const list = new WireWriter();
    for (const item of value) {
      list.tag(1, WireType.LEN);
      list.bytes(encodeJsonValue(item));
    }
    writer.tag(6, WireType.LEN);
    writer.bytes(list.finish());
  } else if (typeof value === 'object' && value !== null) {
    writer.tag(5, WireType.LEN);
    writer.bytes(encodeStruct(value as Fields));
  } else {
    writer.tag(1, WireType.VARINT);
    writer.varint(0n);
  }
  return writer.finish();
}
