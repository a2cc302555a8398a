/** A record is at most 2^14 bytes and the cipher's overhead (RFC 8446 section 5.2). */
const MAX_RECORD = 16_384 + 256;
const HEADER = 5;

/**
 * One direction of a TCP connection, from its first byte: is it a sequence of TLS records, and nothing else?
 * Not TLS once is not TLS for ever: encrypted bytes cannot be told from others without their framing.
 */
export class TlsStream {
  readonly #header = new Uint8Array(HEADER);
  #headerBytes = 0;
  #left = 0;
  #records = 0;
  #broken = false;

  /** How many bytes of the chunk were inside well-formed records. */
  push(chunk: Uint8Array): number {
    if (this.#broken) return 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, chunk.length - at);
        this.#left -= taken;
        at += taken;
        continue;
      }
      this.#header[this.#headerBytes++] = chunk[at++]!;
      if (this.#headerBytes === HEADER && !this.#open()) {
        this.#broken = true;
        return 0;
      }
    }
    return chunk.length;
  }

  #open(): boolean {
    const [type = 0, major = 0, minor = 0, high = 0, low = 0] = this.#header;
    const length = high * 256 + low;
    // change_cipher_spec, alert, handshake, application_data; the first record of a connection is a handshake.
    const isKnown = this.#records === 0 ? type === 22 : type >= 20 && type <= 23;
    if (!isKnown || major !== 3 || minor > 4 || length === 0 || length > MAX_RECORD) return false;
    this.#headerBytes = 0;
    this.#left = length;
    this.#records++;
    return true;
  }
}
