/** One line per request, in the layout Istio's proxies have: text as `accessLogFormat` has it by default, or its JSON encoding. */
import type { LogSink } from '../../platform/telemetry/index.ts';
import { LineBuffer } from './line-buffer.ts';

/** How long a line may wait for others, in milliseconds. */
const FLUSH_AFTER_MS = 10;
/** Octets that may wait; a slow reader of the log must not fill memory. Lines past it are lost and counted. */
const MAX_PENDING = 4 * 1024 * 1024;
/** Octets gathered before they are written without waiting for more. */
const FLUSH_AT = 60_000;

export interface RequestEntry {
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly method: string;
  readonly path: string;
  readonly protocol: string;
  readonly status: number;
  readonly flags: string;
  /** Envoy's `%RESPONSE_CODE_DETAILS%`: where the answer comes from. */
  readonly details: string;
  /** Why the endpoint could not be reached. */
  readonly failure: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly duration: number;
  /** Milliseconds until the first octet of the endpoint's response; -1: none came. */
  readonly upstreamTime: number;
  readonly forwardedFor: string;
  readonly userAgent: string;
  readonly requestId: string;
  readonly authority: string;
  readonly upstreamHost: string;
  readonly upstreamCluster: string;
  readonly downstreamLocal: string;
  readonly downstreamRemote: string;
  readonly downstreamPrincipal: string;
  /** Of TLS that is passed through. */
  readonly serverName: string;
  readonly routeName: string;
  readonly traceId: string;
}

type Format = (to: LineBuffer, entry: RequestEntry) => void;

/** `2026-01-31T12:00:00.123Z`; the second changes seldom. */
let second = -1;
let secondText = '';
function timestamp(to: LineBuffer, ms: number): void {
  const whole = Math.floor(ms / 1000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  const rest = Math.floor(ms - whole * 1000);
  to.literal(secondText);
  if (rest < 100) to.literal(rest < 10 ? '00' : '0');
  to.number(rest);
  to.literal('Z');
}

function plain(to: LineBuffer, text: string): void {
  to.literal(' ');
  if (text === '') to.literal('-');
  else to.escaped(text);
}

function quoted(to: LineBuffer, text: string): void {
  to.literal(' "');
  if (text === '') to.literal('-');
  else to.escaped(text);
  to.literal('"');
}

function count(to: LineBuffer, value: number): void {
  to.literal(' ');
  if (value < 0) to.literal('-');
  else to.number(Math.round(value));
}

/** Istio's default `accessLogFormat`. Details of a terminated connection and the local address towards the endpoint, which a tunnel hides, are always `-`. */
export const textLine: Format = (to, e) => {
  to.literal('[');
  timestamp(to, e.start);
  to.literal('] "');
  to.escaped(e.method);
  to.literal(' ');
  to.escaped(e.path);
  to.literal(' ');
  to.literal(e.protocol);
  to.literal('"');
  count(to, e.status);
  plain(to, e.flags);
  plain(to, e.details);
  to.literal(' -');
  quoted(to, e.failure);
  count(to, e.bytesReceived);
  count(to, e.bytesSent);
  count(to, e.duration);
  count(to, e.upstreamTime);
  quoted(to, e.forwardedFor);
  quoted(to, e.userAgent);
  quoted(to, e.requestId);
  quoted(to, e.authority);
  quoted(to, e.upstreamHost);
  plain(to, e.upstreamCluster);
  to.literal(' -');
  plain(to, e.downstreamLocal);
  plain(to, e.downstreamRemote);
  plain(to, e.serverName);
  plain(to, e.routeName);
  to.literal('\n');
};

function member(to: LineBuffer, key: string, value: string): void {
  to.literal(',"');
  to.literal(key);
  if (value === '') {
    to.literal('":null');
    return;
  }
  to.literal('":"');
  to.escaped(value);
  to.literal('"');
}

function numberMember(to: LineBuffer, key: string, value: number): void {
  to.literal(',"');
  to.literal(key);
  to.literal('":');
  if (value < 0) to.literal('null');
  else to.number(Math.round(value));
}

/** The keys of Istio's JSON encoding, and after them who the client is and the id of the trace. */
export const jsonLine: Format = (to, e) => {
  to.literal('{"start_time":"');
  timestamp(to, e.start);
  to.literal('"');
  member(to, 'method', e.method);
  member(to, 'path', e.path);
  member(to, 'protocol', e.protocol);
  numberMember(to, 'response_code', e.status);
  member(to, 'response_flags', e.flags || '-');
  member(to, 'response_code_details', e.details);
  member(to, 'connection_termination_details', '');
  member(to, 'upstream_transport_failure_reason', e.failure);
  numberMember(to, 'bytes_received', e.bytesReceived);
  numberMember(to, 'bytes_sent', e.bytesSent);
  numberMember(to, 'duration', e.duration);
  numberMember(to, 'upstream_service_time', e.upstreamTime);
  member(to, 'x_forwarded_for', e.forwardedFor);
  member(to, 'user_agent', e.userAgent);
  member(to, 'request_id', e.requestId);
  member(to, 'authority', e.authority);
  member(to, 'upstream_host', e.upstreamHost);
  member(to, 'upstream_cluster', e.upstreamCluster);
  member(to, 'upstream_local_address', '');
  member(to, 'downstream_local_address', e.downstreamLocal);
  member(to, 'downstream_remote_address', e.downstreamRemote);
  member(to, 'requested_server_name', e.serverName);
  member(to, 'route_name', e.routeName);
  member(to, 'downstream_peer_uri_san', e.downstreamPrincipal);
  member(to, 'trace_id', e.traceId);
  to.literal('}\n');
};

export class AccessLog {
  readonly #format: Format;
  readonly #sink: LogSink;
  readonly isEnabled: boolean;
  readonly #buffer = new LineBuffer();
  /** What the reader has not taken yet, before what is in the buffer. */
  #rest: Uint8Array | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #flush = (): void => {
    this.#timer = undefined;
    this.flush();
  };
  /** Lines lost because the reader was too slow. */
  lost = 0;

  constructor(format: 'text' | 'json' | 'none', sink: LogSink) {
    this.isEnabled = format !== 'none';
    this.#format = format === 'json' ? jsonLine : textLine;
    this.#sink = sink;
  }

  write(entry: RequestEntry): void {
    if (!this.isEnabled) return;
    if (this.#rest !== undefined && this.#buffer.length > MAX_PENDING) {
      this.lost++;
      return;
    }
    this.#format(this.#buffer, entry);
    if (this.#buffer.length > FLUSH_AT && this.#rest === undefined) this.flush();
    else this.#timer ??= setTimeout(this.#flush, FLUSH_AFTER_MS);
  }

  /** Writes what waits, as far as the reader takes it. */
  flush(): void {
    let bytes = this.#rest;
    this.#rest = undefined;
    for (;;) {
      if (bytes === undefined) {
        if (this.#buffer.length === 0) return;
        bytes = this.#buffer.take();
      }
      let taken = bytes.length;
      try {
        taken = this.#sink(bytes);
      } catch (error) {
        // Any other error means that the reader is gone: there is nobody left to tell.
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') taken = 0;
      }
      if (taken < bytes.length) {
        this.#rest = bytes.subarray(taken);
        this.#timer ??= setTimeout(this.#flush, FLUSH_AFTER_MS);
        return;
      }
      bytes = undefined;
    }
  }
}
