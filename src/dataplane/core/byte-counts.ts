/** Bytes of one connection in the direction of the request and of the response, counted as they flow. */
import type { CounterHandle } from '../../platform/telemetry/index.ts';

export class ByteCounts {
  /** From the client's side to the server's. */
  request = 0;
  /** From the server's side to the client's. */
  response = 0;
  readonly #received: CounterHandle;
  readonly #sent: CounterHandle;

  constructor(received: CounterHandle, sent: CounterHandle) {
    this.#received = received;
    this.#sent = sent;
  }

  addRequest(length: number): void {
    this.request += length;
    this.#received.value += length;
  }

  addResponse(length: number): void {
    this.response += length;
    this.#sent.value += length;
  }
}
