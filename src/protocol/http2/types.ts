/**
 * The contract of the HTTP/2 connection machine: bytes in, events and bytes out; no sockets, no clock.
 * A connection has one `Http2Handler` (what happened) and one `Http2Output` (where bytes go). Both are called synchronously.
 */

/** Header fields in order, names in lower case, pseudo-headers first. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** RFC 9113 section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What this end announces and enforces. Sizes in bytes, times in milliseconds. Defaults: `ambient-wire` 1.3. */
export interface Http2Settings {
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly maxFrameSize: number;
  readonly maxHeaderListSize: number;
  /** Streams the peer may have open at once (server). */
  readonly maxConcurrentStreams: number;
  /** Streams this end opens before the peer's SETTINGS arrive (client). */
  readonly assumedMaxConcurrentStreams: number;
  readonly keepaliveInterval: number;
  readonly keepaliveTimeout: number;
}

export type Http2Role = 'client' | 'server';

/** Where a connection's bytes go. An output that can hold no more may call `shutdown('abrupt')` from within. */
export interface Http2Output {
  /** Small control and header bytes. `bytes` is only valid during the call. Called from within `createHttp2Connection` already (preface, SETTINGS). */
  write(bytes: Uint8Array): void;
  /** One DATA frame: its 9-byte head and its payload, both only valid during the call; kept apart so large payloads need no copy. */
  writeData(head: Uint8Array, payload: Uint8Array): void;
}

/** Why a connection ended, from this end's point of view. One closed list, shared by log and metric. */
export type Http2CloseReason =
  /** Wound down by this end. */
  | 'graceful'
  | 'peer-goaway'
  /** This end gave it up, streams and all. */
  | 'aborted'
  | 'bad-preface'
  | 'protocol-error'
  | 'frame-size'
  | 'flow-control'
  | 'compression'
  | 'header-list-too-large'
  | 'settings-flood'
  | 'ping-flood'
  | 'rapid-reset'
  | 'continuation-flood'
  | 'empty-frames-flood'
  | 'window-update-flood'
  | 'keepalive-timeout'
  /** The peer took nothing although the limit of waiting output was reached; said by whoever owns the transport. */
  | 'output-limit'
  | 'transport-closed';

const NO_FAULT: ReadonlySet<Http2CloseReason> = new Set(['graceful', 'peer-goaway', 'aborted', 'transport-closed']);
/** Whether a connection ended because the peer did what it must not, or nothing for too long. */
export const isPeerFault = (reason: Http2CloseReason): boolean => !NO_FAULT.has(reason);

/**
 * What happened. A `chunk` is only valid during the call: copy what is kept. Flow-control credit is returned by `consumed`, never by itself, except
 * for what a stream still held when it was reset by either end: that credit returns at once, and `consumed` for it is ignored.
 * Any method of the connection but `receive` may be called from within.
 */
export interface Http2Handler {
  /**
   * A request (server), a response or its interim 1xx forerunners (client), or trailers (a second list, always with `endStream`). Checked against
   * RFC 9113 section 8 with one exception: a CONNECT without `:authority` gets through, so that it can be answered with 400.
   */
  onHeaders(streamId: number, headers: HeaderList, endStream: boolean): void;
  /** Empty only with `endStream`. */
  onData(streamId: number, chunk: Uint8Array, endStream: boolean): void;
  /**
   * The peer reset the stream, or this end did for the peer's fault or because the connection ended (`local`). Streams the peer's GOAWAY excludes get
   * REFUSED_STREAM, not `local`: safe to retry elsewhere. A lost connection is INTERNAL_ERROR, never a code that could pass for a clean end.
   */
  onReset(streamId: number, code: number, local: boolean): void;
  /** A stream that `sendData` could not serve fully may send again. */
  onWritable(streamId: number): void;
  /** The peer will not accept streams above `lastStreamId`; opened ones above it were not processed. */
  onGoaway(lastStreamId: number, code: number): void;
  /** The connection is over: every open stream gets `onReset` first; write out what `Http2Output` got, then close the transport. */
  onClose(reason: Http2CloseReason, detail: string): void;
}

export interface Http2Connection {
  /** Feeds bytes from the transport; any split gives the same events. Never throws. `now` in milliseconds, monotonic. */
  receive(chunk: Uint8Array, now: number): void;
  /**
   * Opens a stream and sends HEADERS. `undefined` when the peer allows no more (limit, GOAWAY, ids exhausted). Client only.
   * Throws a TypeError for a header no peer would accept (upper case, CR, LF, NUL, above U+00FF); so does `sendHeaders`.
   */
  request(headers: HeaderList, endStream: boolean): number | undefined;
  /** Sends HEADERS (interim response, response or trailers). Nothing happens when the stream is over or this end already ended it. */
  sendHeaders(streamId: number, headers: HeaderList, endStream: boolean): void;
  /**
   * After `sendHeaders` or `request`: sends as much of `chunk` as both windows allow, split by the peer's frame size; returns the bytes taken. END_STREAM goes out only when all of
   * `chunk` was taken. What was not taken is the caller's to keep (or better: not to read) until `onWritable`. 0 when the stream is over.
   */
  sendData(streamId: number, chunk: Uint8Array, endStream: boolean): number;
  /** Bytes `sendData` would take now. */
  sendCapacity(streamId: number): number;
  /** The application took `length` bytes of received data: credit for stream and connection, announced in batches. */
  consumed(streamId: number, length: number): void;
  /** Sends RST_STREAM; no `onReset` follows. On a stream that ended well it only gives back the credit of data that will not be consumed. */
  reset(streamId: number, code: ErrorCode): void;
  /** Graceful: GOAWAY now; `onClose` once open streams are done. Abrupt: GOAWAY with `code` and `onClose` at once. */
  shutdown(mode: 'graceful' | 'abrupt', code?: ErrorCode): void;
  /** The transport is gone. */
  transportClosed(): void;
  /** Time of the next call to `tick` (keepalive, settings timeout), or `Infinity`. 0 (at once) until `receive` or `tick` told the time. */
  nextDeadline(): number;
  tick(now: number): void;
  /** Streams this end or the peer has open. */
  readonly openStreams: number;
  /** How many more streams `request` could open now. */
  readonly availableStreams: number;
  readonly isDraining: boolean;
}
