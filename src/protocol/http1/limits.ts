import type { Http1Limits } from './types.ts';

/** Defaults of the parser. Each is far above what working peers send and small enough that a hostile one costs nothing. */
export const HTTP1_LIMITS: Http1Limits = {
  /** Envoy's `max_request_headers_kb` default, so that what a sidecar let through still passes. */
  headBytes: 60 * 1024,
  /** Envoy's `max_headers_count` default. Trailers are counted by themselves. */
  headerCount: 100,
  /** Twice what RFC 9112 section 3 asks every server to take; longer ones are data in the wrong place. */
  targetBytes: 16 * 1024,
  /** A size has at most 16 digits; extensions are not used in the field and cost their receiver without carrying data (CVE-2023-39326). */
  chunkLineBytes: 256,
  /** gRPC's status details, the largest trailers in use, stay below 8 KiB by that protocol's own advice. */
  trailerBytes: 8 * 1024,
};

/** Interim responses (1xx but 101) before a final one; as many as the HTTP/2 machine takes. */
export const INTERIM_RESPONSES = 32;
