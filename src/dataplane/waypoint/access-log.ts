/** One line per request, in the layout Istio's proxies have: text as `accessLogFormat` has it by default, or its JSON encoding. */
import type { LogSink } from '../../platform/telemetry/index.ts';
import { STATUS_REASONS } from '../../protocol/index.ts';

/** How long a line may wait for others, in milliseconds. */
const FLUSH_AFTER_MS = 10;
/** Characters that may wait; a slow reader of the log must not fill memory. Lines past it are lost and counted. */
const MAX_PENDING = 4 * 1024 * 1024;

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
  readonly routeName: string;
  readonly traceId: string;
}

const isPlain = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x22 || code === 0x5c || code > 0x7e) return false;
  }
  return true;
};

/** What came from outside cannot end its field or its line. */
const quoted = (text: string): string => (text === '' ? '"-"' : isPlain(text) ? `"${text}"` : JSON.stringify(text));
const dash = (text: string): string => text || '-';

/** `2026-01-31T12:00:00.123Z`; the second changes seldom. */
let second = -1;
let secondText = '';
function timestamp(ms: number): string {
  const whole = Math.floor(ms / 1000);
  if (whole !== second) {
    second = whole;
    secondText = new Date(whole * 1000).toISOString().slice(0, 20);
  }
  const rest = Math.floor(ms - whole * 1000);
  return `${secondText}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
}

export const textLine = (e: RequestEntry): string =>
  `[${timestamp(e.start)}] "${isPlain(e.method) ? e.method : '?'} ${isPlain(e.path) ? e.path : JSON.stringify(e.path).slice(1, -1)} ${e.protocol}" ${e.status} ${dash(e.flags)} ${dash(e.details)} - ${quoted(e.failure)} ${e.bytesReceived} ${e.bytesSent} ${Math.round(e.duration)} ${e.upstreamTime < 0 ? '-' : Math.round(e.upstreamTime)} ${quoted(e.forwardedFor)} ${quoted(e.userAgent)} ${quoted(e.requestId)} ${quoted(e.authority)} "${dash(e.upstreamHost)}" ${dash(e.upstreamCluster)} - ${dash(e.downstreamLocal)} ${dash(e.downstreamRemote)} - ${dash(e.routeName)}\n`;

export const jsonEntry = (e: RequestEntry): string =>
  `${JSON.stringify({
    start_time: timestamp(e.start),
    method: e.method,
    path: e.path,
    protocol: e.protocol,
    response_code: e.status,
    response_code_text: STATUS_REASONS[e.status] ?? '',
    response_flags: dash(e.flags),
    response_code_details: e.details || null,
    upstream_transport_failure_reason: e.failure || null,
    bytes_received: e.bytesReceived,
    bytes_sent: e.bytesSent,
    duration: Math.round(e.duration),
    upstream_service_time: e.upstreamTime < 0 ? null : Math.round(e.upstreamTime),
    x_forwarded_for: e.forwardedFor || null,
    user_agent: e.userAgent || null,
    request_id: e.requestId || null,
    authority: e.authority,
    upstream_host: e.upstreamHost || null,
    upstream_cluster: e.upstreamCluster || null,
    downstream_local_address: e.downstreamLocal,
    downstream_remote_address: e.downstreamRemote,
    downstream_peer_uri_san: e.downstreamPrincipal,
    route_name: e.routeName || null,
    trace_id: e.traceId || null,
  })}\n`;

export class AccessLog {
  readonly #format: (entry: RequestEntry) => string;
  readonly #sink: LogSink;
  readonly isEnabled: boolean;
  #pending = '';
  #rest: Uint8Array | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Lines lost because the reader was too slow. */
  lost = 0;

  constructor(format: 'text' | 'json' | 'none', sink: LogSink) {
    this.isEnabled = format !== 'none';
    this.#format = format === 'json' ? jsonEntry : textLine;
    this.#sink = sink;
  }

  write(entry: RequestEntry): void {
    if (!this.isEnabled) return;
    if (this.#pending.length > MAX_PENDING) {
      this.lost++;
      return;
    }
    this.#pending += this.#format(entry);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, FLUSH_AFTER_MS);
  }

  flush(): void {
    let bytes = this.#rest;
    this.#rest = undefined;
    for (;;) {
      if (bytes === undefined) {
        if (this.#pending === '') return;
        bytes = Buffer.from(this.#pending);
        this.#pending = '';
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
        this.#timer ??= setTimeout(() => {
          this.#timer = undefined;
          this.flush();
        }, FLUSH_AFTER_MS);
        return;
      }
      bytes = undefined;
    }
  }
}
