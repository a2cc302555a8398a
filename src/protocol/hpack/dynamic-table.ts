/** Octets a field costs beside its name and value (RFC 7541 section 4.1). */
export const FIELD_OVERHEAD = 32;

export const fieldSize = (name: string, value: string): number => name.length + value.length + FIELD_OVERHEAD;

/**
 * The dynamic table (RFC 7541 section 2.3.2), a ring of entries. Every entry ever added has a number; `oldest` to `next - 1` are present.
 * Relative index 0 is the newest entry.
 */
export class DynamicTable {
  size = 0;
  capacity: number;
  next = 0;
  oldest = 0;
  private names: string[];
  private values: string[];

  constructor(capacity: number) {
    this.capacity = capacity;
    const slots = slotsFor(capacity);
    this.names = new Array<string>(slots).fill('');
    this.values = new Array<string>(slots).fill('');
  }

  get length(): number {
    return this.next - this.oldest;
  }

  nameAt(relative: number): string {
    return this.names[(this.next - 1 - relative) % this.names.length]!;
  }

  valueAt(relative: number): string {
    return this.values[(this.next - 1 - relative) % this.values.length]!;
  }

  nameOf(entry: number): string {
    return this.names[entry % this.names.length]!;
  }

  valueOf(entry: number): string {
    return this.values[entry % this.values.length]!;
  }

  /** Evicts the oldest entry and returns its number. */
  evict(): number {
    const slot = this.oldest % this.names.length;
    this.size -= fieldSize(this.names[slot]!, this.values[slot]!);
    this.names[slot] = '';
    this.values[slot] = '';
    return this.oldest++;
  }

  /** Adds an entry for which the caller made room, and returns its number. */
  push(name: string, value: string): number {
    const slot = this.next % this.names.length;
    this.names[slot] = name;
    this.values[slot] = value;
    this.size += fieldSize(name, value);
    return this.next++;
  }

  /** Sets the capacity; the caller evicted down to it. */
  resize(capacity: number): void {
    this.capacity = capacity;
    const slots = slotsFor(capacity);
    if (slots <= this.names.length) return;
    const names = new Array<string>(slots).fill('');
    const values = new Array<string>(slots).fill('');
    for (let entry = this.oldest; entry < this.next; entry++) {
      names[entry % slots] = this.nameOf(entry);
      values[entry % slots] = this.valueOf(entry);
    }
    this.names = names;
    this.values = values;
  }
}

const slotsFor = (capacity: number): number => Math.floor(capacity / FIELD_OVERHEAD) + 1;
