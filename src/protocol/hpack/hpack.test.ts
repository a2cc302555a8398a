import { expect, test } from 'bun:test';
import type { HeaderList } from '../http2/types.ts';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder } from './encoder.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.fromHex(hex.replaceAll(' ', ''));
const LIMITS = { tableSize: 4096, listSize: 16_384 };

function decoded(decoder: HpackDecoder, hex: string): HeaderList {
  const result = decoder.decode(bytes(hex));
  if (!result.ok) throw new Error(result.problem);
  return result.headers;
}

function problem(hex: string, limits = LIMITS): string {
  const result = new HpackDecoder(limits).decode(bytes(hex));
  return result.ok ? 'none' : result.problem;
}

// RFC 7541 appendix C.1: integers, seen through table size updates (a five-bit prefix).
test('encodes the integers of RFC 7541 C.1', () => {
  const encoder = new HpackEncoder();
  encoder.setPeerTableSize(10);
  expect(encoder.encode([]).toHex()).toBe('2a');
  encoder.setPeerTableSize(1337);
  expect(encoder.encode([]).toHex()).toBe('3f9a0a');
});

test('decodes the integers of RFC 7541 C.1', () => {
  const decoder = new HpackDecoder(LIMITS);
  expect(decoded(decoder, '2a')).toEqual([]);
  expect(decoder.tableCapacity).toBe(10);
  expect(decoded(decoder, '3f9a0a')).toEqual([]);
  expect(decoder.tableCapacity).toBe(1337);
});

const SINGLE: readonly (readonly [title: string, hex: string, field: readonly [string, string], tableSize: number])[] = [
  ['C.2.1 literal with indexing', '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header'], 55],
  ['C.2.2 literal without indexing', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path'], 0],
  ['C.2.3 literal never indexed', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret'], 0],
  ['C.2.4 indexed', '82', [':method', 'GET'], 0],
];
for (const [title, hex, field, tableSize] of SINGLE) {
  test(`decodes RFC 7541 ${title}`, () => {
    const decoder = new HpackDecoder(LIMITS);
    expect(decoded(decoder, hex)).toEqual([field]);
    expect(decoder.tableSize).toBe(tableSize);
  });
}

interface Step {
  readonly hex: string;
  readonly headers: HeaderList;
  readonly table: HeaderList;
  readonly size: number;
}

const AUTHORITY = [':authority', 'www.example.com'] as const;
const NO_CACHE = ['cache-control', 'no-cache'] as const;
const CUSTOM = ['custom-key', 'custom-value'] as const;
const get = (...more: HeaderList): HeaderList => [[':method', 'GET'], [':scheme', 'http'], [':path', '/'], AUTHORITY, ...more];
const THIRD: HeaderList = [[':method', 'GET'], [':scheme', 'https'], [':path', '/index.html'], AUTHORITY, CUSTOM];

const requests = (hexes: readonly string[]): Step[] => [
  { hex: hexes[0]!, headers: get(), table: [AUTHORITY], size: 57 },
  { hex: hexes[1]!, headers: get(NO_CACHE), table: [NO_CACHE, AUTHORITY], size: 110 },
  { hex: hexes[2]!, headers: THIRD, table: [CUSTOM, NO_CACHE, AUTHORITY], size: 164 },
];

const DATE_21 = ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'] as const;
const DATE_22 = ['date', 'Mon, 21 Oct 2013 20:13:22 GMT'] as const;
const PRIVATE = ['cache-control', 'private'] as const;
const LOCATION = ['location', 'https://www.example.com'] as const;
const GZIP = ['content-encoding', 'gzip'] as const;
const COOKIE = ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'] as const;
const s302 = [':status', '302'] as const;
const s307 = [':status', '307'] as const;

const responses = (hexes: readonly string[]): Step[] => [
  { hex: hexes[0]!, headers: [s302, PRIVATE, DATE_21, LOCATION], table: [LOCATION, DATE_21, PRIVATE, s302], size: 222 },
  { hex: hexes[1]!, headers: [s307, PRIVATE, DATE_21, LOCATION], table: [s307, LOCATION, DATE_21, PRIVATE], size: 222 },
  { hex: hexes[2]!, headers: [[':status', '200'], PRIVATE, DATE_22, LOCATION, GZIP, COOKIE], table: [COOKIE, GZIP, DATE_22], size: 215 },
];

const SERIES: readonly (readonly [title: string, tableSize: number, steps: Step[]])[] = [
  [
    'C.3 requests without Huffman coding',
    4096,
    requests([
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ]),
  ],
  [
    'C.4 requests with Huffman coding',
    4096,
    requests([
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ]),
  ],
  [
    'C.5 responses without Huffman coding',
    256,
    responses([
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e
       1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      '4803 3330 37c1 c0bf',
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d
       4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
    ]),
  ],
  [
    'C.6 responses with Huffman coding',
    256,
    responses([
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      '4883 640e ffc1 c0bf',
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708
       7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ]),
  ],
];
for (const [title, tableSize, steps] of SERIES) {
  test(`decodes RFC 7541 ${title}, and holds the same table after each`, () => {
    const decoder = new HpackDecoder({ tableSize, listSize: 16_384 });
    for (const step of steps) {
      expect(decoded(decoder, step.hex.replaceAll(/\s/g, ''))).toEqual(step.headers);
      expect(decoder.entries()).toEqual(step.table);
      expect(decoder.tableSize).toBe(step.size);
    }
  });
}

test('encodes the requests of RFC 7541 C.4 octet by octet, since the same choices apply', () => {
  const encoder = new HpackEncoder();
  for (const step of SERIES[1]![2]) expect(encoder.encode(step.headers).toHex()).toBe(step.hex.replaceAll(' ', ''));
});

const BROKEN: readonly (readonly [title: string, hex: string, message: string])[] = [
  ['index 0', '80', 'index 0 is in no table'],
  ['an index beyond both tables', 'be', 'index 62 is in no table'],
  ['a literal whose name index is beyond both tables', '7f 00 00', 'index 63 is in no table'],
  ['an integer that never ends', '7f ff ff ff ff ff ff ff 00', 'an integer is too large'],
  ['an integer that is cut off', '7f ff', 'the block ends inside an integer'],
  ['an integer drawn out with zeros', 'ff 80 80 80 80 80 80 00', 'an integer is too large'],
  ['a string longer than the block', '40 05 61', 'the block ends inside a string'],
  ['a name without a value', '40 01 61', 'the block ends before a string'],
  ['a size update after a field', '82 20', 'a dynamic table size update after the first field'],
  ['a size update above the announced size', '3f e2 1f', 'a dynamic table size of 4097 exceeds 4096'],
  ['Huffman padding of eight bits', '40 82 1f ff 00', 'a string is not valid Huffman code'],
  ['Huffman padding with zeros', '40 81 18 00', 'a string is not valid Huffman code'],
  ['the EOS symbol inside a string', '40 84 ff ff ff ff 00', 'a string is not valid Huffman code'],
];
for (const [title, hex, message] of BROKEN) test(`refuses ${title}`, () => expect(problem(hex)).toBe(message));

test('reports a list above the limit and keeps the table in step', () => {
  const decoder = new HpackDecoder({ tableSize: 4096, listSize: 100 });
  const encoder = new HpackEncoder();
  const large = decoder.decode(
    encoder.encode([
      ['one', 'x'.repeat(40)],
      ['two', 'y'.repeat(40)],
    ]),
  );
  expect(large).toMatchObject({ ok: true, isTooLarge: true, headers: [['one', 'x'.repeat(40)]] });
  expect(decoder.decode(encoder.encode([['two', 'y'.repeat(40)]]))).toMatchObject({
    ok: true,
    isTooLarge: false,
    headers: [['two', 'y'.repeat(40)]],
  });
});

test('counts a table entry that is repeated thousands of times as its full size each time', () => {
  const decoder = new HpackDecoder(LIMITS);
  const encoder = new HpackEncoder();
  decoder.decode(encoder.encode([['bomb', 'x'.repeat(1900)]]));
  const result = decoder.decode(new Uint8Array(10_000).fill(0xbe));
  expect(result).toMatchObject({ ok: true, isTooLarge: true });
  expect(result.ok && result.headers.length).toBeLessThan(10);
});

test('sends the head of a second tunnel to the same place in a fraction of the first', () => {
  const encoder = new HpackEncoder();
  const head = (port: number, trace: string): HeaderList => [
    [':method', 'CONNECT'],
    [':authority', '10.244.1.7:8080'],
    [
      'baggage',
      'k8s.cluster.name=Kubernetes,k8s.namespace.name=ai-preprocessing,k8s.deployment.name=pre,service.name=pre,service.version=v1',
    ],
    ['forwarded', `for="10.244.0.3:${port}"`],
    ['traceparent', `00-${trace.repeat(32)}-${trace.repeat(16)}-00`],
  ];
  const first = encoder.encode(head(40_000, 'a')).length;
  const second = encoder.encode(head(40_001, 'b')).length;
  expect(second).toBeLessThan(first / 2);
});

test('never indexes credentials', () => {
  const encoder = new HpackEncoder();
  const credential: HeaderList = [['authorization', 'Bearer secret']];
  const first = encoder.encode(credential).toHex();
  expect(encoder.encode(credential).toHex()).toBe(first);
  expect(Number.parseInt(first.slice(0, 2), 16) & 0xf0).toBe(0x10);
  expect(encoder.tableSize).toBe(0);
});

test('announces a table that shrank and grew again with both sizes', () => {
  const encoder = new HpackEncoder();
  encoder.encode([['a', 'b']]);
  encoder.setPeerTableSize(0);
  encoder.setPeerTableSize(4096);
  expect(encoder.encode([['a', 'b']]).toHex()).toStartWith('203fe11f');
  expect(encoder.encode([['a', 'b']]).toHex()).toBe('be');
});

test('throws for a header that no peer would accept, and leaves the tables alone', () => {
  const encoder = new HpackEncoder();
  const bad: HeaderList[] = [[['Upper', 'x']], [['a b', 'x']], [['', 'x']], [['a', 'line\nbreak']], [['a', 'nul\0']], [['a', '\u0100']]];
  for (const list of bad) expect(() => encoder.encode([['fine', 'x'], ...list])).toThrow(TypeError);
  expect(encoder.tableSize).toBe(0);
});
