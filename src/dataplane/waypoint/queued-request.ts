/** A request that waits for one of the connections its endpoint may have, in the place of the stream it will be. */
import type { HeaderList } from '../../protocol/index.ts';
import type { UpstreamEvents, UpstreamStream } from './messages.ts';
import { failureOf, type OutgoingRequest } from './upstream.ts';

export class QueuedRequest implements UpstreamStream {
  readonly request: OutgoingRequest;
  readonly events: UpstreamEvents;
  readonly isHttp2: boolean;
  readonly #abandon: (request: QueuedRequest) => void;
  #stream: UpstreamStream | undefined;
  /** Held back by `isRequestBackedUp`: at most what had been sent before. */
  #parts: Uint8Array[] = [];
  #trailers: HeaderList | undefined;

  constructor(request: OutgoingRequest, events: UpstreamEvents, isHttp2: boolean, abandon: (request: QueuedRequest) => void) {
    this.request = request;
    this.events = events;
    this.isHttp2 = isHttp2;
    this.#abandon = abandon;
  }

  /** A connection has taken it. */
  begin(stream: UpstreamStream): void {
    this.#stream = stream;
    for (const part of this.#parts.splice(0)) stream.sendRequestBody(part);
    if (this.#trailers !== undefined) stream.finishRequest(this.#trailers);
    if (!stream.isRequestBackedUp) this.events.onRequestDrained();
  }

  /** It cannot be written as HTTP. */
  fail(detail: string): void {
    this.events.onUpstreamFailed(failureOf('protocol', detail, true));
  }

  sendRequestBody(chunk: Uint8Array): void {
    if (this.#stream === undefined) this.#parts.push(chunk.slice());
    else this.#stream.sendRequestBody(chunk);
  }

  finishRequest(trailers: HeaderList): void {
    if (this.#stream === undefined) this.#trailers = trailers;
    else this.#stream.finishRequest(trailers);
  }

  cancel(): void {
    if (this.#stream === undefined) this.#abandon(this);
    else this.#stream.cancel();
  }

  responseConsumed(length: number): void {
    this.#stream?.responseConsumed(length);
  }

  get isRequestBackedUp(): boolean {
    return this.#stream === undefined || this.#stream.isRequestBackedUp;
  }
}
