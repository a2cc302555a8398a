import { EMPTY, latin1 } from '../bytes.ts';
import type { HeaderList } from '../http2/types.ts';
import { DynamicTable, fieldSize } from './dynamic-table.ts';
import { huffmanDecode } from './huffman.ts';
import { STATIC_TABLE_SIZE, staticEntry } from './static-table.ts';

/** What decoding a block gave. `headers` is incomplete when `isTooLarge`; then the tables are still in step with the peer. */
export type DecodedBlock =
  | { readonly ok: true; readonly headers: HeaderList; readonly isTooLarge: boolean }
  | { readonly ok: false; readonly problem: string };

export interface HpackDecoderLimits {
  /** The SETTINGS_HEADER_TABLE_SIZE this end announced. */
  readonly tableSize: number;
  /** The sum of name, value and 32 octets per field (RFC 9113 section 6.5.2) above which a list is too large. */
  readonly listSize: number;
}

/** Integers above this are refused; no length or index in a block can be that large. */
const INTEGER_LIMIT = 2 ** 28;
/** Continuation octets of an integer; leading zeros beyond it are an attack, not a number. */
const INTEGER_OCTETS = 5;

/** Where Huffman strings are decoded; one for all connections, since decoding never pauses. The callers limit blocks, and so its size. */
let sharedScratch: Uint8Array = EMPTY;

function scratchFor(codedLength: number): Uint8Array {
  // No code is shorter than five bits.
  const needed = Math.floor((codedLength * 8) / 5);
  if (sharedScratch.length < needed) sharedScratch = new Uint8Array(Math.max(1024, needed));
  return sharedScratch;
}

/** Decodes header blocks (RFC 7541). One per direction of a connection; a failure leaves it unusable, as the connection must end. Never throws. */
export class HpackDecoder {
  private readonly table: DynamicTable;
  private readonly limits: HpackDecoderLimits;
  private source: Uint8Array = EMPTY;
  private at = 0;
  private end = 0;
  private problem = '';

  constructor(limits: HpackDecoderLimits) {
    this.limits = limits;
    this.table = new DynamicTable(limits.tableSize);
  }

  /** Octets the dynamic table holds now. */
  get tableSize(): number {
    return this.table.size;
  }

  /** Octets the dynamic table may hold: what the peer chose within our limit. */
  get tableCapacity(): number {
    return this.table.capacity;
  }

  /** Fields in the dynamic table, newest first. For tests and diagnosis. */
  entries(): HeaderList {
    return Array.from({ length: this.table.length }, (_, index) => [this.table.nameAt(index), this.table.valueAt(index)] as const);
  }

  decode(block: Uint8Array): DecodedBlock {
    this.source = block;
    this.at = 0;
    this.end = block.length;
    this.problem = '';
    const headers: (readonly [string, string])[] = [];
    let size = 0;
    let fieldSeen = false;
    while (this.at < this.end && this.problem === '') {
      const first = block[this.at]!;
      if ((first & 0xe0) === 0x20) {
        if (fieldSeen) this.problem = 'a dynamic table size update after the first field';
        else this.resize(this.integer(5));
        continue;
      }
      fieldSeen = true;
      let name: string;
      let value: string;
      if ((first & 0x80) !== 0) {
        const index = this.integer(7);
        name = this.nameFor(index);
        value = this.problem === '' ? this.valueFor(index) : '';
      } else {
        const isIndexed = (first & 0x40) !== 0;
        const index = this.integer(isIndexed ? 6 : 4);
        if (this.problem !== '') break;
        name = index === 0 ? this.string() : this.nameFor(index);
        value = this.problem === '' ? this.string() : '';
        if (isIndexed && this.problem === '') this.add(name, value);
      }
      if (this.problem !== '') break;
      size += fieldSize(name, value);
      if (size <= this.limits.listSize) headers.push([name, value]);
    }
    this.source = EMPTY;
    if (this.problem !== '') return { ok: false, problem: this.problem };
    return { ok: true, headers, isTooLarge: size > this.limits.listSize };
  }

  private nameFor(index: number): string {
    if (index >= 1 && index <= STATIC_TABLE_SIZE) return staticEntry(index)[0];
    const relative = index - STATIC_TABLE_SIZE - 1;
    if (relative >= 0 && relative < this.table.length) return this.table.nameAt(relative);
    if (this.problem === '') this.problem = `index ${index} is in no table`;
    return '';
  }

  private valueFor(index: number): string {
    return index <= STATIC_TABLE_SIZE ? staticEntry(index)[1] : this.table.valueAt(index - STATIC_TABLE_SIZE - 1);
  }

  /** RFC 7541 section 5.1. */
  private integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.source[this.at++]! & mask;
    if (value < mask) return value;
    for (let octets = 0; octets < INTEGER_OCTETS; octets++) {
      if (this.at >= this.end) {
        this.problem = 'the block ends inside an integer';
        return 0;
      }
      const octet = this.source[this.at++]!;
      value += (octet & 0x7f) * 2 ** (7 * octets);
      if (value > INTEGER_LIMIT) break;
      if ((octet & 0x80) === 0) return value;
    }
    this.problem = 'an integer is too large';
    return 0;
  }

  /** RFC 7541 section 5.2. */
  private string(): string {
    if (this.at >= this.end) {
      this.problem = 'the block ends before a string';
      return '';
    }
    const isHuffman = (this.source[this.at]! & 0x80) !== 0;
    const length = this.integer(7);
    if (this.problem !== '') return '';
    const start = this.at;
    if (length > this.end - start) {
      this.problem = 'the block ends inside a string';
      return '';
    }
    this.at = start + length;
    if (!isHuffman) return latin1(this.source, start, this.at);
    const scratch = scratchFor(length);
    const written = huffmanDecode(this.source, start, this.at, scratch);
    if (written < 0) {
      this.problem = 'a string is not valid Huffman code';
      return '';
    }
    return latin1(scratch, 0, written);
  }

  private add(name: string, value: string): void {
    const size = fieldSize(name, value);
    while (this.table.length > 0 && this.table.size + size > this.table.capacity) this.table.evict();
    if (size <= this.table.capacity) this.table.push(name, value);
  }

  private resize(capacity: number): void {
    if (this.problem !== '') return;
    if (capacity > this.limits.tableSize) {
      this.problem = `a dynamic table size of ${capacity} exceeds ${this.limits.tableSize}`;
      return;
    }
    while (this.table.size > capacity) this.table.evict();
    this.table.capacity = capacity;
  }
}
