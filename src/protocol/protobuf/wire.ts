/** The wire format of Protocol Buffers (protobuf.dev, "Encoding"): tags, varints, lengths. */
export const WireType = { VARINT: 0, I64: 1, LEN: 2, I32: 5 } as const;

/** Bytes are not a message. Thrown inside this folder only. */
export class WireError extends Error {}

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads a message from start to end. Every read may throw a {@link WireError}. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Unsigned, at most 64 bits. */
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const octet = this.#octet();
      value |= BigInt(octet & 0x7f) << shift;
      if (octet < 0x80) return BigInt.asUintN(64, value);
    }
    throw new WireError('a number has more than ten octets');
  }

  /** The low 32 bits of a varint, unsigned: what a 32-bit field takes of it. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const octet = this.#octet();
      if (shift < 32) value |= (octet & 0x7f) << shift;
      if (octet < 0x80) return value >>> 0;
    }
    throw new WireError('a number has more than ten octets');
  }

  bool(): boolean {
    return this.varint() !== 0n;
  }

  /** A view, valid as long as what is read. */
  bytes(): Uint8Array {
    const length = this.uint32();
    if (length > this.#bytes.length - this.#at) throw new WireError('a field is longer than its message');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  string(): string {
    const bytes = this.bytes();
    try {
      return text.decode(bytes);
    } catch (error) {
      if (error instanceof TypeError) throw new WireError('a text is not UTF-8');
      throw error;
    }
  }

  skip(wireType: number): void {
    switch (wireType) {
      case WireType.VARINT:
        this.varint();
        return;
      case WireType.I64:
        this.#skip(8);
        return;
      case WireType.LEN:
        this.bytes();
        return;
      case WireType.I32:
        this.#skip(4);
        return;
      default:
        throw new WireError(`wire type ${wireType} is not supported`);
    }
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.#at) throw new WireError('a field is longer than its message');
    this.#at += length;
  }

  #octet(): number {
    const octet = this.#bytes[this.#at++];
    if (octet !== undefined) return octet;
    this.#at = this.#bytes.length;
    throw new WireError('the message ends within a number');
  }
}

const utf8 = new TextEncoder();

export class WireWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** What was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  tag(number: number, wireType: number): void {
    this.varint(BigInt(number * 8 + wireType));
  }

  /** Negative numbers are written as 64 bits of two's complement. */
  varint(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest > 0x7fn) {
      this.#octet(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#octet(Number(rest));
  }

  bytes(bytes: Uint8Array): void {
    this.varint(BigInt(bytes.length));
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  string(value: string): void {
    this.bytes(utf8.encode(value));
  }

  double(value: number): void {
    this.#reserve(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  #octet(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  #reserve(length: number): void {
    const needed = this.#length + length;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
