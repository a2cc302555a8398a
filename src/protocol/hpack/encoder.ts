import type { HeaderList } from '../http2/types.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import { STATIC_TABLE_SIZE, staticFieldIndex, staticNameIndex } from './static-table.ts';

/** What this end uses of the table the peer offers, in octets. The HTTP/2 default; a larger one costs memory for little. */
export const ENCODER_TABLE_LIMIT = 4096;

/** Values that differ from message to message: only their name is worth a table entry. */
const NAME_ONLY: ReadonlySet<string> = new Set([
  'forwarded',
  'traceparent',
  'x-request-id',
  'x-forwarded-for',
  ':path',
  'age',
  'content-length',
  'date',
  'etag',
  'if-modified-since',
  'if-none-match',
  'last-modified',
  'location',
  'set-cookie',
]);

/** Secrets: never indexed, here or by anyone who forwards (RFC 7541 section 7.1.3). */
const NEVER_INDEXED: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie']);

/** A field above this share of the table would push out everything else. */
const LARGEST_SHARE = 0.5;

/**
 * Encodes header lists (RFC 7541). What repeats on a tunnel (method, authority, baggage) becomes one octet each; what never repeats
 * (`forwarded`, `traceparent`) gets its name indexed once and its value sent literally.
 */
export class HpackEncoder {
  private readonly table: DynamicTable;
  private readonly limit: number;
  /** Newest entry number per name, and per name and value. */
  private readonly names = new Map<string, number>();
  private readonly fields = new Map<string, Map<string, number>>();
  /** Size updates still to announce: the lowest size since the last block, and the final one. */
  private lowestUpdate = -1;
  private finalUpdate = -1;
  private target: Uint8Array;
  private at = 0;

  /** `limit` is the most this end uses of the peer's table. */
  constructor(limit: number = ENCODER_TABLE_LIMIT) {
    this.limit = limit;
    this.table = new DynamicTable(limit);
    this.target = new Uint8Array(1024);
  }

  get tableSize(): number {
    return this.table.size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerTableSize(size: number): void {
    const capacity = Math.min(size, this.limit);
    if (capacity === this.table.capacity && this.finalUpdate < 0) return;
    while (this.table.size > capacity) this.evict();
    this.table.capacity = capacity;
    this.lowestUpdate = this.lowestUpdate < 0 ? capacity : Math.min(this.lowestUpdate, capacity);
    this.finalUpdate = capacity;
  }

  /**
   * Encodes `headers` behind `reserve` unused octets (room for a frame head). The result is only valid until the next call.
   * Throws a TypeError, before the tables change, for a field no peer would accept: a caller's mistake.
   */
  encode(headers: HeaderList, reserve = 0): Uint8Array {
    for (const [name, value] of headers) requireSendable(name, value);
    this.at = 0;
    this.room(reserve + 16);
    this.at = reserve;
    if (this.finalUpdate >= 0) {
      if (this.lowestUpdate < this.finalUpdate) this.integer(this.lowestUpdate, 5, 0x20);
      this.integer(this.finalUpdate, 5, 0x20);
      this.lowestUpdate = -1;
      this.finalUpdate = -1;
    }
    for (const [name, value] of headers) this.field(name, value);
    return this.target.subarray(0, this.at);
  }

  private field(name: string, value: string): void {
    const exact = staticFieldIndex(name, value) || this.dynamicIndex(this.fields.get(name)?.get(value));
    if (exact > 0 && !NEVER_INDEXED.has(name)) {
      this.integer(exact, 7, 0x80);
      return;
    }
    const nameIndex = staticNameIndex(name) || this.dynamicIndex(this.names.get(name));
    if (NEVER_INDEXED.has(name)) this.literal(nameIndex, 4, 0x10, name, value);
    else if (this.isWorthIndexing(name, value, nameIndex)) {
      this.literal(nameIndex, 6, 0x40, name, value);
      this.add(name, value);
    } else this.literal(nameIndex, 4, 0x00, name, value);
  }

  private isWorthIndexing(name: string, value: string, nameIndex: number): boolean {
    if (fieldSize(name, value) > this.table.capacity * LARGEST_SHARE) return false;
    return !NAME_ONLY.has(name) || nameIndex === 0;
  }

  private dynamicIndex(entry: number | undefined): number {
    return entry === undefined ? 0 : STATIC_TABLE_SIZE + this.table.next - entry;
  }

  private literal(nameIndex: number, prefixBits: number, pattern: number, name: string, value: string): void {
    this.integer(nameIndex, prefixBits, pattern);
    if (nameIndex === 0) this.string(name);
    this.string(value);
  }

  private integer(value: number, prefixBits: number, pattern: number): void {
    this.room(8);
    const mask = (1 << prefixBits) - 1;
    if (value < mask) {
      this.target[this.at++] = pattern | value;
      return;
    }
    this.target[this.at++] = pattern | mask;
    let rest = value - mask;
    while (rest >= 128) {
      this.target[this.at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.target[this.at++] = rest;
  }

  private string(text: string): void {
    const coded = huffmanLength(text);
    if (coded < text.length) {
      this.integer(coded, 7, 0x80);
      this.room(coded);
      this.at = huffmanEncode(text, this.target, this.at);
      return;
    }
    this.integer(text.length, 7, 0x00);
    this.room(text.length);
    for (let index = 0; index < text.length; index++) this.target[this.at++] = text.charCodeAt(index);
  }

  private room(octets: number): void {
    if (this.at + octets <= this.target.length) return;
    const larger = new Uint8Array(Math.max(this.target.length * 2, this.at + octets));
    larger.set(this.target.subarray(0, this.at));
    this.target = larger;
  }

  private add(name: string, value: string): void {
    while (this.table.size + fieldSize(name, value) > this.table.capacity) this.evict();
    const entry = this.table.push(name, value);
    this.names.set(name, entry);
    const values = this.fields.get(name);
    if (values === undefined) this.fields.set(name, new Map([[value, entry]]));
    else values.set(value, entry);
  }

  private evict(): void {
    const oldest = this.table.oldest;
    const name = this.table.nameOf(oldest);
    const value = this.table.valueOf(oldest);
    this.table.evict();
    if (this.names.get(name) === oldest) this.names.delete(name);
    const values = this.fields.get(name);
    if (values?.get(value) === oldest) values.delete(value);
    if (values?.size === 0) this.fields.delete(name);
  }
}

function requireSendable(name: string, value: string): void {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f || (code >= 0x41 && code <= 0x5a))
      throw new TypeError(`header name ${JSON.stringify(name)}: only lower-case visible ASCII may be sent`);
  }
  if (name === '') throw new TypeError('header name is empty');
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === 0 || code === 10 || code === 13 || code > 0xff)
      throw new TypeError(`header ${name}: the value holds a character that no header may carry (NUL, CR, LF or above U+00FF)`);
  }
}
