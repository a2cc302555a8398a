/** What the HTTP server, the HTTP load generator and the tests say to each other. */

/** Interval of the events of a stream. */
export const BEAT_MS = 100;
export const LAST_EVENT = 'that was all';
/** Where the load generator reports. */
export const CONTROL_PORT = 9090;

export interface WebAnswer {
  /** Of the server that answered. */
  readonly name: string;
  /** The address its connection came from. */
  readonly peer: string;
}

/** A connection per request; HTTP/1.1 connections that are kept; HTTP/2 with prior knowledge. */
export const WAYS = ['fresh', 'kept', 'h2'] as const;
export type Way = (typeof WAYS)[number];

/** Of the requests that should have started in a span of time. */
export interface WebWindow {
  readonly requests: number;
  /** Neither answered nor past their deadline. */
  readonly pending: number;
  readonly failures: readonly { readonly at: number; readonly way: Way; readonly seenAt: number; readonly reason: string }[];
  readonly byName: Readonly<Record<string, number>>;
  readonly byWay: Readonly<Record<Way, number>>;
  /** Milliseconds. */
  readonly slowest: number;
}

export interface StreamReport {
  readonly way: Way;
  readonly events: number;
  /** The longest time without one, in milliseconds. */
  readonly longestGap: number;
  readonly durationMs: number;
  /** `open`; `whole` after the last event and the end; else what happened. */
  readonly state: string;
}
