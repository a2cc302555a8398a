/** Length-prefixed messages of gRPC over HTTP/2: one octet of flags, four of length, the message. */
import { EMPTY } from '../bytes.ts';

const HEAD = 5;

export function encodeGrpcMessage(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(HEAD + message.length);
  new DataView(out.buffer).setUint32(1, message.length);
  out.set(message, HEAD);
  return out;
}

/** Collects messages out of DATA in any split. A message handed out is a copy of its own: it may be kept. */
export class GrpcMessageReader {
  readonly #limit: number;
  readonly #onMessage: (message: Uint8Array) => void;
  readonly #head = new Uint8Array(HEAD);
  #headLength = 0;
  #message: Uint8Array = EMPTY;
  #messageLength = 0;

  /** `limit`: octets of one message. */
  constructor(limit: number, onMessage: (message: Uint8Array) => void) {
    this.#limit = limit;
    this.#onMessage = onMessage;
  }

  /** What is wrong, after which nothing more may be pushed; undefined while all is well. */
  push(chunk: Uint8Array): string | undefined {
    let at = 0;
    while (at < chunk.length || this.#isComplete) {
      if (this.#headLength < HEAD) {
        this.#head[this.#headLength++] = chunk[at++]!;
        if (this.#headLength < HEAD) continue;
        const problem = this.#open();
        if (problem !== undefined) return problem;
      }
      const part = chunk.subarray(at, at + this.#message.length - this.#messageLength);
      this.#message.set(part, this.#messageLength);
      this.#messageLength += part.length;
      at += part.length;
      if (this.#isComplete) this.#close();
    }
    return undefined;
  }

  /** Whether the peer ended in the middle of a message. */
  get isInside(): boolean {
    return this.#headLength > 0;
  }

  get #isComplete(): boolean {
    return this.#headLength === HEAD && this.#messageLength === this.#message.length;
  }

  #open(): string | undefined {
    const flags = this.#head[0]!;
    if (flags !== 0) return flags === 1 ? 'a message is compressed, which was not offered' : `a message has unknown flags ${flags}`;
    const length = new DataView(this.#head.buffer).getUint32(1);
    if (length > this.#limit) return `a message has ${length} bytes, more than the limit of ${this.#limit}`;
    this.#message = new Uint8Array(length);
    this.#messageLength = 0;
    return undefined;
  }

  #close(): void {
    const message = this.#message;
    this.#message = EMPTY;
    this.#messageLength = 0;
    this.#headLength = 0;
    this.#onMessage(message);
  }
}
