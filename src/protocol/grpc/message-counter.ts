/** Octets in front of each message: one that says whether it is compressed, four for its length (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX = 5;

/**
 * Counts the messages of one direction of a gRPC call from the body as it passes, in any pieces, and keeps none of it. A message counts when its prefix is
 * there. What cannot be gRPC ends the count.
 */
export class GrpcMessageCounter {
  count = 0;
  /** Octets of the present prefix so far, and the length they give. */
  #prefix = 0;
  #length = 0;
  /** Octets of the present message still to come. */
  #rest = 0;
  #isBroken = false;

  push(chunk: Uint8Array): void {
    if (this.#isBroken) return;
    const end = chunk.length;
    let at = 0;
    while (at < end) {
      if (this.#rest > 0) {
        const taken = Math.min(this.#rest, end - at);
        this.#rest -= taken;
        at += taken;
        continue;
      }
      const octet = chunk[at++]!;
      if (this.#prefix === 0) {
        if (octet > 1) {
          this.#isBroken = true;
          return;
        }
        this.#prefix = 1;
        this.#length = 0;
        continue;
      }
      // Not shifted: the length has 32 bits without a sign.
      this.#length = this.#length * 256 + octet;
      if (++this.#prefix < PREFIX) continue;
      this.#prefix = 0;
      this.#rest = this.#length;
      this.count++;
    }
  }
}
