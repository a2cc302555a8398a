/** Octets a field costs beside its name and value (RFC 7541 section 4.1). */
export const FIELD_OVERHEAD = 32;

export const fieldSize = (name: string, value: string): number => name.length + value.length + FIELD_OVERHEAD;

/**
 * The dynamic table (RFC 7541 section 2.3.2), a ring of entries. Every entry ever added has a number; `oldest` to `next - 1` are present.
 * Relative index 0 is the newest entry.
 */
export class DynamicTable {
  size = 0;
  /** The owner evicts down to it before lowering it. */
  capacity: number;
  next = 0;
  oldest = 0;
  private readonly names: string[];
  private readonly values: string[];

  /** `capacity` may be lowered later, and raised again, but never above this. */
  constructor(capacity: number) {
    this.capacity = capacity;
    const slots = Math.floor(capacity / FIELD_OVERHEAD) + 1;
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
}
