import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
// The other implementation has no types.
// @ts-expect-error
import hpack from 'hpack.js';
import { latin1 } from '../bytes.ts';
import type { HeaderList } from '../http2/types.ts';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';

// The machine may be busy with other things; no test here measures time.
setDefaultTimeout(60_000);

const LIMITS = { tableSize: 4096, listSize: 1 << 20 };
const octetText = (maxLength: number): fc.Arbitrary<string> =>
  fc.uint8Array({ maxLength }).map((octets) => latin1(octets, 0, octets.length));
const value = octetText(200).map((text) => text.replaceAll(/[\0\r\n]/g, ''));
const visible = fc
  .string({ unit: fc.constantFrom(...' abcdefghijklmnopqrstuvwxyz0123456789-_./:;=,%{}"ABCXYZ~'), maxLength: 60 })
  // hpack.js looks values up in an object, where these are found.
  .filter((text) => !(text in {}));
const name = fc.oneof(
  fc.constantFrom(':method', ':path', ':authority', 'baggage', 'forwarded', 'traceparent', 'cookie', 'x-a', 'x-b', 'content-length'),
  fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789-_'), maxLength: 30 }).map((text) => `h${text}`), // hpack.js takes `constructor` for an indexed name
);
const list = (values: fc.Arbitrary<string>): fc.Arbitrary<HeaderList> =>
  fc.array(fc.tuple(name, fc.oneof(values, fc.constantFrom('a', 'b', ''))), { maxLength: 12 });

test('decodes what it encodes, block after block, whatever the table sizes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(list(value), fc.option(fc.nat(6000), { nil: undefined })), { maxLength: 12 }), (blocks) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(LIMITS);
      for (const [headers, size] of blocks) {
        if (size !== undefined) encoder.setPeerTableSize(size);
        expect(decoder.decode(encoder.encode(headers).slice())).toEqual({ ok: true, headers, isTooLarge: false });
        expect(encoder.tableSize).toBe(decoder.tableSize);
      }
    }),
  );
});

test('Huffman coding is its own inverse and takes the length it says', () => {
  fc.assert(
    fc.property(octetText(300), (text) => {
      const coded = new Uint8Array(huffmanLength(text));
      expect(huffmanEncode(text, coded, 0)).toBe(coded.length);
      const plain = new Uint8Array(text.length);
      expect(huffmanDecode(coded, 0, coded.length, plain)).toBe(text.length);
      expect(latin1(plain, 0, plain.length)).toBe(text);
    }),
  );
});

test('never throws on garbage', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 }), (blocks) => {
      const decoder = new HpackDecoder({ tableSize: 200, listSize: 400 });
      for (const block of blocks) if (!decoder.decode(block).ok) break;
      expect(decoder.tableSize).toBeLessThanOrEqual(200);
    }),
    { numRuns: 2000 },
  );
});

interface Field {
  readonly name: string;
  readonly value: string;
}

test('hpack.js decodes what this encodes', () => {
  fc.assert(
    fc.property(fc.array(list(visible), { minLength: 1, maxLength: 8 }), (blocks) => {
      const encoder = new HpackEncoder();
      const other = hpack.decompressor.create({ table: { size: 4096 } });
      for (const headers of blocks) {
        other.write(Buffer.from(encoder.encode(headers)));
        other.execute();
        const found: (readonly [string, string])[] = [];
        for (let field = other.read() as Field | null; field !== null; field = other.read() as Field | null)
          found.push([field.name, field.value]);
        expect(found).toEqual(headers as [string, string][]);
      }
    }),
  );
});

test('this decodes what hpack.js encodes, with Huffman coding or without', () => {
  fc.assert(
    fc.property(fc.array(list(visible), { minLength: 1, maxLength: 8 }), fc.boolean(), (blocks, huffman) => {
      const other = hpack.compressor.create({ table: { size: 4096 } });
      const decoder = new HpackDecoder(LIMITS);
      for (const headers of blocks) {
        other.write(headers.map(([name, value]) => ({ name, value, huffman, incremental: true })));
        const block = (other.read() as Uint8Array | null) ?? new Uint8Array(0);
        expect(decoder.decode(new Uint8Array(block))).toEqual({ ok: true, headers, isTooLarge: false });
      }
    }),
  );
});
