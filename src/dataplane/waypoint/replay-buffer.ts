/** The beginning of a request's body, kept until the endpoint's answer has begun, so that it can be sent to another one. */
import { LIMITS } from './limits.ts';

export class ReplayBuffer {
  #parts: Uint8Array[] | undefined = [];
  #size = 0;

  /** Whether everything so far is here. */
  get isComplete(): boolean {
    return this.#parts !== undefined;
  }

  get parts(): readonly Uint8Array[] {
    return this.#parts ?? [];
  }

  /** `isSent`: an endpoint has it too, so that it may be forgotten when it is too long to be kept. */
  add(chunk: Uint8Array, isSent: boolean): void {
    if (this.#parts === undefined) return;
    this.#size += chunk.length;
    if (isSent && this.#size > LIMITS.REPLAY_BUFFER) this.#parts = undefined;
    else this.#parts.push(chunk.slice());
  }

  drop(): void {
    this.#parts = undefined;
  }
}
