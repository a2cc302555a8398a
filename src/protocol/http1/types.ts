/**
 * The contract of the HTTP/1.x codec: bytes in, messages out, and heads back to bytes; no sockets, no clock.
 * Strict on purpose (RFC 9112 section 11.2): what two parsers could read differently is refused, never repaired.
 */
import type { HeaderList } from '../http2/types.ts';

/** How the end of a message's body is found (RFC 9112 section 6.3). */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'until-close';

/**
 * One message head. `headers` holds the end-to-end fields only, in order, names in lower case, values without surrounding white space, one character
 * per octet. What concerns one connection is taken out (RFC 9110 section 7.6.1): `connection` and whatever it names, `keep-alive`, `proxy-connection`,
 * `transfer-encoding`, `upgrade`, `te`; its meaning is in the fields below. `content-length` stays, once, when it is the framing (and on a response to
 * HEAD or a 304, where it is only information). `host` stays.
 *
 * What is refused where the specifications leave a choice: a repeated `content-length` even with the same value; `transfer-encoding` other than `chunked`
 * alone; an absolute target whose authority is not the value of `host`; a `connection` that names a field meant for every recipient (`host`,
 * `authorization`, `x-forwarded-for`, …); framing or routing fields in trailers (others that may not stand there are dropped).
 */
export interface Http1Head {
  /** HTTP/1.0 or HTTP/1.1. */
  readonly minorVersion: 0 | 1;
  /** As sent, case included. Empty in a response. */
  readonly method: string;
  /** As sent: origin-form, absolute-form, authority-form (CONNECT) or `*`. Empty in a response. */
  readonly target: string;
  /** 0 in a request. */
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
  readonly framing: BodyFraming;
  /** Octets of the body when `framing` is `length`, else -1. */
  readonly contentLength: number;
  /** Whether the sender lets the connection be used for another message after this one. */
  readonly isKeptAlive: boolean;
  /** Value of `upgrade` when `connection` names it (request: asked for; response: agreed, status 101), else ''. Always '' in HTTP/1.0. */
  readonly upgrade: string;
  /** `te: trailers` was sent. */
  readonly acceptsTrailers: boolean;
  /** `expect: 100-continue` (the field stays in `headers`). */
  readonly expectsContinue: boolean;
}

/** Why bytes were refused. The session answers `status` (requests) or treats the connection as broken (responses), and closes. */
export interface Http1Violation {
  readonly reason: Http1ViolationReason;
  /** Status a server answers: 400, 414, 431, 501 or 505. Means nothing for a response. */
  readonly status: number;
  /** What was wrong, for a log; never holds a header's value. */
  readonly detail: string;
}

export type Http1ViolationReason =
  | 'bad-start-line'
  | 'bad-version'
  | 'bad-target'
  | 'bad-header-name'
  | 'bad-header-value'
  | 'obsolete-folding'
  | 'bare-line-feed'
  | 'conflicting-length'
  | 'bad-content-length'
  | 'bad-transfer-encoding'
  | 'bad-host'
  | 'bad-chunk'
  | 'bad-trailer'
  | 'target-too-long'
  | 'head-too-large'
  | 'too-many-headers'
  | 'trailers-too-large'
  | 'truncated'
  | 'not-http1';

export interface Http1Limits {
  /** Octets of one head, start line included. */
  readonly headBytes: number;
  readonly headerCount: number;
  readonly targetBytes: number;
  /** Octets of a chunk's size line with extensions. */
  readonly chunkLineBytes: number;
  readonly trailerBytes: number;
}

/** Called synchronously from `push`. A `chunk` is a slice of what was pushed and only valid during the call. */
export interface Http1Handler {
  /** Interim responses (1xx but 101) come here too, without an `onEnd` of their own; the final one follows. */
  onHead(head: Http1Head): void;
  onBody(chunk: Uint8Array): void;
  /**
   * The message is complete. `trailers` is empty but for chunked messages that had some. Not called for a head that begins a tunnel (`isTunnel`, already
   * true during its `onHead`): what follows belongs to the tunnel.
   */
  onEnd(trailers: HeaderList): void;
  /** The bytes cannot be understood; nothing more will come. */
  onViolation(violation: Http1Violation): void;
}

export interface Http1Parser {
  /**
   * Feeds bytes; any split gives the same events. Returns how many it took: all, except that it stops behind the end of a message (pipelining; the
   * caller pushes the rest when it is ready for the next message) and behind a head after which the bytes are no longer HTTP/1 (101, 2xx to CONNECT):
   * then `isTunnel` is true. Never throws; after a violation it takes nothing. May be called from `onEnd`, not from the other callbacks.
   */
  push(chunk: Uint8Array): number;
  /**
   * Response parsers: the method of the request this answer belongs to, before its first byte is pushed. Once per request: bytes of a response nobody asked
   * for are a violation.
   */
  expectResponse(method: string): void;
  /** Nothing more is said and nothing more is taken, not even of the bytes being pushed; for a handler that has lost interest. */
  stop(): void;
  /** The transport has ended: completes a body that lasts until the end, else a violation `truncated` if a message had begun. */
  end(): void;
  /** True between messages: nothing of the next one has come. */
  readonly isIdle: boolean;
  readonly isTunnel: boolean;
}
