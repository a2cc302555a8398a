import type { Http2Settings } from './types.ts';

/** What Istio's ztunnel announces (ambient-wire 1.3): the client end of a tunnel. */
export const CLIENT_SETTINGS: Http2Settings = {
  streamWindow: 4 * 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxFrameSize: 1024 * 1024,
  maxHeaderListSize: 16 * 1024,
  maxConcurrentStreams: 200,
  assumedMaxConcurrentStreams: 100,
  keepaliveInterval: 10_000,
  keepaliveTimeout: 20_000,
};

/** The server end of a tunnel. */
export const SERVER_SETTINGS: Http2Settings = { ...CLIENT_SETTINGS, maxHeaderListSize: 64 * 1024 };

/**
 * Protections that are not negotiated. The per-window ones count within `FLOOD_WINDOW`; each is far above what a working peer does and far below what
 * costs this end anything. Sources: CVE-2019-9511…9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kin (CONTINUATION).
 */
export const LIMITS = {
  /** Milliseconds over which the counters below run. */
  FLOOD_WINDOW: 10_000,
  /** Streams the peer may reset before this end answered them. Resets of answered streams are ordinary: the application went away. */
  UNANSWERED_RESETS: 1_000,
  /** Streams this end may have to reset for the peer's faults (malformed, refused, over a window). */
  FAULT_RESETS: 1_000,
  /** SETTINGS frames, acknowledgements included. */
  SETTINGS_FRAMES: 100,
  /** Settings in one frame; six are defined. */
  SETTINGS_ENTRIES: 64,
  /** PING frames, acknowledgements included, beyond one per HEADERS or DATA frame (bandwidth probing sends one per round trip with data). */
  PINGS: 1_000,
  /** Empty DATA frames without END_STREAM, GOAWAY, and frames of unknown types. */
  EMPTY_FRAMES: 1_000,
  /** PRIORITY frames beyond two per HEADERS frame. */
  PRIORITY_FRAMES: 1_000,
  /** WINDOW_UPDATE frames beyond one per KiB this end sent. */
  WINDOW_UPDATES: 10_000,
  /** Interim (1xx) responses to one request. */
  INTERIM_RESPONSES: 32,
  /** Frames that may carry one header block. */
  HEADER_BLOCK_FRAMES: 64,
  /** A header block on the wire, as a multiple of the announced list size; a sane one is below 1, what exceeds it is not even decoded. */
  HEADER_BLOCK_FACTOR: 2,
  /** Streams reset by this end whose late frames are still recognised. */
  RESET_MEMORY: 1_024,
  /** Milliseconds the peer has to acknowledge SETTINGS (and so to send its preface). */
  SETTINGS_TIMEOUT: 10_000,
} as const;
