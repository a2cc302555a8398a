/**
 * Lines of a log as octets, written piece by piece into one buffer. Building them as strings costs four times as much: every piece becomes a node of a rope
 * that is flattened when the line is encoded.
 */
const FIRST_SIZE = 65_536;
/** Room for what is written without looking: numbers, separators. */
const MARGIN = 64;

const HEX = '0123456789abcdef';

export class LineBuffer {
  #bytes = new Uint8Array(FIRST_SIZE);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The octets so far; the buffer is empty afterwards and writes elsewhere. */
  take(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  /** Text of this program: printable ASCII without quotes and backslashes. */
  literal(text: string): void {
    this.#room(text.length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.#length = at;
  }

  /** Text from outside: what could end a field or a line, and all that is not ASCII, is escaped as in JSON. */
  escaped(text: string): void {
    this.#room(text.length * 6);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c) {
        bytes[at++] = code;
        continue;
      }
      bytes[at++] = 0x5c;
      if (code === 0x22 || code === 0x5c) bytes[at++] = code;
      else {
        bytes[at++] = 0x75;
        for (let shift = 12; shift >= 0; shift -= 4) bytes[at++] = HEX.charCodeAt((code >> shift) & 15);
      }
    }
    this.#length = at;
  }

  /** A whole number that is not negative. */
  number(value: number): void {
    this.#room(0);
    let rest = value;
    let digits = 1;
    for (let limit = 10; rest >= limit && digits < 20; limit *= 10) digits++;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      this.#bytes[at] = 0x30 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.#length += digits;
  }

  #room(octets: number): void {
    if (this.#length + octets + MARGIN <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + octets + MARGIN));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
