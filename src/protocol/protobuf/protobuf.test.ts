import { describe, expect, test } from 'bun:test';
import fs from 'node:fs';
import { create, type DescField, type DescMessage, fromBinary, type MessageInitShape, ScalarType, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ROOTS, tablesText } from '../../../scripts/generate-tables.ts';
import * as tables from '../gen/tables.ts';
import { WorkloadSchema } from '../gen/workload_pb.js';
import { decodeMessage } from './decode.ts';
import { encodeMessage } from './encode.ts';
import type { Table } from './table.ts';

test('the tables are those of the descriptors', () => {
  expect(fs.readFileSync(new URL('../gen/tables.ts', import.meta.url), 'utf8')).toBe(tablesText());
});

const SCALARS: Partial<Record<ScalarType, fc.Arbitrary<unknown>>> = {
  [ScalarType.STRING]: fc.oneof(fc.string({ maxLength: 8 }), fc.string({ unit: 'grapheme', maxLength: 4 })),
  [ScalarType.BYTES]: fc.uint8Array({ maxLength: 20 }),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.UINT32]: fc.oneof(fc.nat(70_000), fc.integer({ min: 0, max: 0xffff_ffff })),
  [ScalarType.INT32]: fc.oneof(fc.nat(300), fc.integer()),
  [ScalarType.INT64]: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
};
const ENUM = fc.oneof(fc.nat(8), fc.integer());
const JSON_OBJECT = fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue({ maxDepth: 3 }));

/** Any message of a type, in memory. */
const anyMessage = (desc: DescMessage): fc.Arbitrary<Record<string, unknown>> => {
  const record: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of desc.fields) if (field.oneof === undefined) record[field.localName] = anyField(field);
  for (const { localName, fields } of desc.oneofs) {
    if (fields.every(({ oneof }) => oneof === undefined)) continue;
    const cases = fields.map((field) => anyField(field).map((value) => ({ case: field.localName, value })));
    record[localName] = fc.oneof(fc.constant({ case: undefined }), ...cases);
  }
  return fc.record(record, { requiredKeys: [] });
};
const anyField = (field: DescField): fc.Arbitrary<unknown> => {
  const single = anySingle(field);
  if (field.fieldKind === 'list') return fc.array(single, { maxLength: 3 });
  return field.fieldKind === 'map' ? fc.dictionary(fc.string({ maxLength: 5 }), single, { maxKeys: 3 }) : single;
};
const anySingle = ({ message, scalar, enum: one }: DescField): fc.Arbitrary<unknown> => {
  if (one) return ENUM;
  if (scalar) return SCALARS[scalar]!;
  if (message?.typeName === 'google.protobuf.Struct') return JSON_OBJECT;
  return message?.typeName === 'google.protobuf.UInt32Value' ? fc.nat() : anyMessage(message!);
};

/** Without what the library adds, and without fields that are not set. */
const bare = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return Array.from(value);
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([key, field]) => !key.startsWith('$') && field !== undefined);
  return Object.fromEntries(kept.map(([key, field]) => [key, bare(field)]));
};

const tableOf = (desc: DescMessage): Table<unknown> => {
  const found = Object.values(tables).find((one) => 'byNumber' in one && one.name === desc.typeName);
  return found as Table<unknown>; // the generator wrote one for each root
};
const hasStruct = (desc: DescMessage): boolean =>
  desc.fields.some(({ message }) => message?.typeName === 'google.protobuf.Struct' || (message && hasStruct(message)));

describe.each(ROOTS.flatMap(([, messages]) => messages).map((desc) => [desc.typeName, desc] as const))('%s', (_name, desc) => {
  const table = tableOf(desc);
  const made = anyMessage(desc).map((init) => [init, create(desc, init as MessageInitShape<typeof desc>)] as const);

  test('what we write, the library reads', () => {
    fc.assert(
      fc.property(made, ([init, message]) => {
        const written = fromBinary(desc, encodeMessage(table, init as object));
        expect(bare(written)).toEqual(bare(fromBinary(desc, toBinary(desc, message))));
      }),
    );
  });

  // Messages with JSON objects are only written.
  if (!hasStruct(desc))
    test('what the library writes, we read', () => {
      fc.assert(
        fc.property(made, ([, message]) => {
          const bytes = toBinary(desc, message);
          const decoded = decodeMessage(table, bytes);
          expect(decoded.ok && bare(decoded.value)).toEqual(bare(fromBinary(desc, bytes)));
        }),
      );
    });

  test('garbage never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void decodeMessage(table, bytes)));
    fc.assert(
      fc.property(made, fc.nat(), fc.nat(255), ([, message], at, octet) => {
        const bytes = toBinary(desc, message);
        if (bytes.length > 0) bytes[at % bytes.length] = octet;
        decodeMessage(table, bytes);
        decodeMessage(table, bytes.subarray(0, at % (bytes.length + 1)));
      }),
    );
  });
});

const { AddressTable, AuthorizationTable } = tables;
const bytesOf = (...parts: (number | number[] | string)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...Buffer.from(part)] : part)));
const errorOf = (...parts: (number | number[] | string)[]): string => {
  const decoded = decodeMessage(AuthorizationTable, bytesOf(...parts));
  return decoded.ok ? '' : decoded.error;
};

test('a message in two parts is put together, and the last scalar wins', () => {
  // workload { name: "a", node: "n" } and workload { name: "b" }
  const decoded = decodeMessage(AddressTable, bytesOf(0x0a, 6, 0x0a, 1, 'a', 0x4a, 1, 'n', 0x0a, 3, 0x0a, 1, 'b'));
  expect(decoded.ok && decoded.value.type).toMatchObject({ case: 'workload', value: { name: 'b', node: 'n' } });
});

test('of a group only the last member stays', () => {
  const decoded = decodeMessage(AddressTable, bytesOf(0x0a, 3, 0x0a, 1, 'a', 0x12, 3, 0x0a, 1, 'b'));
  expect(decoded.ok && decoded.value.type).toMatchObject({ case: 'service', value: { name: 'b' } });
});

test('numbers of a list may come packed and one by one', () => {
  const match = [0x4a, 2, 80, 81, 0x48, 82];
  const decoded = decodeMessage(AuthorizationTable, bytesOf(0x2a, match.length + 4, 0x0a, match.length + 2, 0x12, match.length, match));
  expect(decoded.ok && decoded.value.rules[0]?.clauses[0]?.matches[0]?.destinationPorts).toEqual([80, 81, 82]);
});

test('fields nobody knows are passed over', () => {
  expect(errorOf(0x0a, 1, 'a', [0xf8, 0x3f, 1], [0xf9, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8], [0xfa, 0x3f, 1, 9], [0xfd, 0x3f, 1, 2, 3, 4])).toBe(
    '',
  );
});

test('a key of a map may have any name', () => {
  const workload = toBinary(
    WorkloadSchema,
    create(WorkloadSchema, { services: JSON.parse('{"__proto__": {"ports": []}, "constructor": {}}') }),
  );
  const decoded = decodeMessage(AddressTable, bytesOf(0x0a, workload.length, [...workload]));
  if (!decoded.ok || decoded.value.type.case !== 'workload') throw new Error('is a workload');
  expect(Object.getPrototypeOf(decoded.value.type.value.services)).toBe(Object.prototype);
  expect(Object.keys(decoded.value.type.value.services)).toContain('constructor');
});

test.each<[string, (number | number[] | string)[]]>([
  ['a field is longer than its message', [0x0a, 5, 'abc']],
  ['a field is longer than its message', [0xf9, 0x3f, 1, 2]],
  ['the message ends within a number', [0x18, 0x80]],
  ['a number has more than ten octets', [0x18, Array.from({ length: 11 }, () => 0x80)]],
  ['a field has the number 0', [0x02, 0]],
  ['field name has wire type 0 instead of 2', [0x08, 1]],
  ['field scope has wire type 2 instead of 0', [0x1a, 0]],
  ['a text is not UTF-8', [0x0a, 1, 0xff]],
  ['wire type 3 is not supported', [0xfb, 0x3f]],
])('refused: %s', (problem, parts) => {
  expect(errorOf(...parts)).toBe(`not a istio.security.Authorization: ${problem}`);
});
