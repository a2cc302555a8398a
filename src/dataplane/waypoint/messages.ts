/** One HTTP request and its response as the middle of a waypoint sees them, whatever version the client and the endpoint speak. */
import type { HeaderList } from '../../protocol/index.ts';

export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** Header names are in lower case; no pseudo-headers, no `host`, nothing that concerns one connection. */
export interface RequestHead {
  readonly method: string;
  /** With the query; `*` for OPTIONS. */
  readonly path: string;
  /** `host` or `:authority`. */
  readonly authority: string;
  readonly scheme: string;
  readonly headers: HeaderList;
  readonly version: HttpVersion;
  /** -1 when there is a body of unknown length, 0 when there is none. */
  readonly contentLength: number;
  /** The protocol an HTTP/1.1 client asks to change to, else ''. */
  readonly upgrade: string;
  readonly acceptsTrailers: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: HeaderList;
  /** -1 when there is a body of unknown length, 0 when there is none. */
  readonly contentLength: number;
  /** Set in a 101: what the connection speaks from here on. */
  readonly upgrade: string;
}

export const NO_TRAILERS: HeaderList = [];

/** The client's end of an exchange. */
export interface Downstream {
  /** 1xx but 101. */
  sendInterim(status: number, headers: HeaderList): void;
  /** Once. A head without a body (`contentLength` 0) is followed by `finishResponse`, too. */
  sendResponse(head: ResponseHead): void;
  /** `chunk` is only valid during the call. */
  sendResponseBody(chunk: Uint8Array): void;
  finishResponse(trailers: HeaderList): void;
  /** The response cannot be completed: the client must see that it is cut short. */
  abortResponse(): void;
  /** Octets of the request's body that may be forgotten. */
  requestConsumed(length: number): void;
  /** While true the response is held back until `onResponseDrained`. */
  readonly isResponseBackedUp: boolean;
}

/** What the client does; implemented by the exchange. */
export interface DownstreamEvents {
  onRequestBody(chunk: Uint8Array): void;
  onRequestEnd(trailers: HeaderList): void;
  onResponseDrained(): void;
  /** The client has gone; nothing can be sent to it any more. */
  onClientGone(detail: string): void;
}

/** What a request's body can be sent to. */
export interface RequestSink {
  sendRequestBody(chunk: Uint8Array): void;
  finishRequest(trailers: HeaderList): void;
}

/** The endpoint's end of an exchange. */
export interface UpstreamStream extends RequestSink {
  /** The answer is of no interest any more. No event follows. */
  cancel(): void;
  responseConsumed(length: number): void;
  readonly isRequestBackedUp: boolean;
}

/** Why there is no (whole) answer. */
export interface UpstreamFailure {
  readonly kind: 'connect' | 'refused' | 'reset' | 'protocol';
  /** Nothing of the request can have been processed. */
  readonly isUnprocessed: boolean;
  readonly detail: string;
}

/** What the endpoint does; implemented by the exchange. */
export interface UpstreamEvents {
  onInterimResponse(status: number, headers: HeaderList): void;
  onResponse(head: ResponseHead): void;
  onResponseBody(chunk: Uint8Array): void;
  onResponseEnd(trailers: HeaderList): void;
  onRequestDrained(): void;
  /** The end, instead of `onResponseEnd`. */
  onUpstreamFailed(failure: UpstreamFailure): void;
}
