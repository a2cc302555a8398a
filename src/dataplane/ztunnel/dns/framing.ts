/** DNS over TCP: each message behind its length in two octets (RFC 7766, 8). */

/** A message with its length. */
export function framed(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(2 + message.length);
  out.writeUInt16BE(message.length, 0);
  out.set(message, 2);
  return out;
}

const NOTHING = Buffer.alloc(0);

/** Takes a stream apart. Once everything whole is taken, it holds less than one message. */
export class FrameReader {
  #buffer: Buffer = NOTHING;
  #start = 0;
  #end = 0;

  /** Octets that have not been taken. */
  get held(): number {
    return this.#end - this.#start;
  }

  /** `chunk` is only valid during the call. Invalidates what `next` gave. */
  push(chunk: Buffer): void {
    const needed = this.held + chunk.length;
    if (this.#end + chunk.length > this.#buffer.length) {
      // Twice as much as before: a message that comes octet by octet is not copied each time.
      const grown =
        needed > this.#buffer.length ? Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * this.#buffer.length, 65_537))) : this.#buffer;
      this.#buffer.copy(grown, 0, this.#start, this.#end);
      this.#end = this.held;
      this.#start = 0;
      this.#buffer = grown;
    }
    this.#end += chunk.copy(this.#buffer, this.#end);
  }

  /** The next whole message, valid until the next `push`. */
  next(): Buffer | undefined {
    const length = this.held < 2 ? Number.POSITIVE_INFINITY : 2 + this.#buffer.readUInt16BE(this.#start);
    if (this.held < length) return undefined;
    const message = this.#buffer.subarray(this.#start + 2, this.#start + length);
    this.#start += length;
    if (this.held === 0) {
      // An idle connection keeps no memory.
      this.#buffer = NOTHING;
      this.#start = 0;
      this.#end = 0;
    }
    return message;
  }
}
