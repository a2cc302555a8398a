/** What the HTTP sessions of a client's connection need from the waypoint. */
import type { Http1Limits, Http2Settings } from '../../protocol/index.ts';
import type { Downstream, DownstreamEvents, RequestHead } from './messages.ts';

export interface SessionHost {
  /** A request has begun. Events of `downstream` may be wanted before this returns: answers come at once when nothing has to be asked. */
  begin(downstream: Downstream, head: RequestHead): DownstreamEvents;
  /** A request that could not be understood and was answered with `status`, or a connection that had to be closed for it (0). */
  refused(status: number, reason: string): void;
  /** The client's connection is over. */
  sessionEnded(session: Session): void;
  /** The waypoint is going away: connections shall end with the response that is being sent. */
  readonly isDraining: boolean;
  readonly http1Limits: Http1Limits;
  readonly http2Settings: Http2Settings;
}

export interface Session {
  /** Tells the client to open no more requests here; those under way go on. */
  drain(): void;
  /** Nothing is left to be sent to the client: it only has to close its side. */
  readonly isDone: boolean;
  /** While draining: ends it when it has been without a request since `before` (milliseconds, monotonic). */
  endIdle(before: number): void;
  /** Ends it at once. */
  abort(): void;
}
