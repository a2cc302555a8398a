/** Follows the records of one direction of a TLS connection: content type 20 to 23, version 3.1 to 3.4, length (RFC 8446, 5.1). Pure. */

const HEADER = 5;
/** 2^14 and the most a cipher may add in TLS 1.2; TLS 1.3 adds less. */
export const MAX_RECORD = 16_384 + 2_048;
/** Bytes shown of what is no record. */
const SHOWN = 24;

/** Whether five bytes can begin a TLS record. */
export const isRecordHeader = (bytes: Uint8Array, at = 0): boolean =>
  bytes[at]! >= 0x14 &&
  bytes[at]! <= 0x17 &&
  bytes[at + 1] === 0x03 &&
  bytes[at + 2]! >= 0x01 &&
  bytes[at + 2]! <= 0x04 &&
  lengthAt(bytes, at) <= MAX_RECORD;

const lengthAt = (bytes: Uint8Array, at: number): number => (bytes[at + 3]! << 8) | bytes[at + 4]!;

export class TlsFraming {
  /** Bytes of the record that are still to come. */
  #remaining = 0;
  #partial: number[] = [];
  /** Until a record's begin is known: bytes passed over while looking for one at the begin of a segment. */
  #searching = true;
  #skipped = 0;
  firstPlainBytes: string | undefined;

  get isAllTls(): boolean {
    return this.firstPlainBytes === undefined;
  }

  /** The connection's first byte comes next: a record must begin there. */
  atStart(): void {
    this.#searching = false;
    this.#remaining = 0;
    this.#partial = [];
  }

  /** Bytes the capture does not have. */
  skip(count: number): void {
    if (!this.#searching && this.#partial.length === 0 && count <= this.#remaining) this.#remaining -= count;
    else this.#search();
  }

  #search(): void {
    this.#searching = true;
    this.#skipped = 0;
    this.#partial = [];
  }

  push(bytes: Uint8Array): void {
    if (!this.isAllTls) return;
    let at = 0;
    if (this.#searching) {
      if (bytes.length >= HEADER && isRecordHeader(bytes)) this.atStart();
      else {
        // Inside a record that began before the capture: it must end within the length of one.
        this.#skipped += bytes.length;
        if (this.#skipped > MAX_RECORD + HEADER) this.#plain(bytes);
        return;
      }
    }
    while (at < bytes.length) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, bytes.length - at);
        this.#remaining -= taken;
        at += taken;
        continue;
      }
      this.#partial.push(bytes[at++]!);
      if (this.#partial.length < HEADER) continue;
      const header = Uint8Array.from(this.#partial);
      this.#partial = [];
      if (!isRecordHeader(header)) {
        this.#plain(Buffer.concat([header, bytes.subarray(at)]));
        return;
      }
      this.#remaining = lengthAt(header, 0);
    }
  }

  #plain(bytes: Uint8Array): void {
    this.firstPlainBytes = Buffer.from(bytes.subarray(0, SHOWN)).toString('hex');
  }
}
