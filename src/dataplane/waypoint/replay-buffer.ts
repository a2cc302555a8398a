/** The beginning of a request's body, kept until the endpoint's answer has begun, for whoever is sent the request later: the next endpoint, a mirror. */
import type { HeaderList } from '../../protocol/index.ts';
import { LIMITS } from './limits.ts';
import { NO_TRAILERS, type RequestSink } from './messages.ts';

export class ReplayBuffer {
  #parts: Uint8Array[] | undefined = [];
  #size = 0;
  #trailers: HeaderList = NO_TRAILERS;
  /** The client has sent all of it. */
  isEnded: boolean;

  constructor(isEmpty: boolean) {
    this.isEnded = isEmpty;
  }

  /** Whether everything so far is here. */
  get isComplete(): boolean {
    return this.#parts !== undefined;
  }

  /** `isSent`: an endpoint has it too, so that it may be forgotten when it is too long to be kept. */
  add(chunk: Uint8Array, isSent: boolean): void {
    if (this.#parts === undefined) return;
    this.#size += chunk.length;
    if (isSent && this.#size > LIMITS.REPLAY_BUFFER) this.#parts = undefined;
    else this.#parts.push(chunk.slice());
  }

  end(trailers: HeaderList): void {
    this.isEnded = true;
    this.#trailers = trailers;
  }

  /** Sends what there is so far. */
  replay(to: RequestSink): void {
    if (this.#parts !== undefined) for (const part of this.#parts) to.sendRequestBody(part);
    if (this.isEnded) to.finishRequest(this.#trailers);
  }

  drop(): void {
    this.#parts = undefined;
  }
}
