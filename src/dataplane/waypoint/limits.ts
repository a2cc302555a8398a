/** What a waypoint holds back, waits for or keeps, at most. Times in milliseconds, sizes in octets. */
export const LIMITS = {
  /** A client's connection without a request (Envoy's `idle_timeout`). */
  IDLE_CONNECTION: 3_600_000,
  /** From the first octet of a request head to its last: a slow sender is cut. */
  HEAD_TIMEOUT: 60_000,
  /** An exchange in which nothing moves. Istio sets none, Envoy five minutes, which a model that thinks before it speaks can outlast. */
  IDLE_STREAM: 3_600_000,
  /** A plain TCP connection in which nothing moves (Envoy's `tcp_proxy` default). */
  IDLE_TCP: 3_600_000,
  /** Connecting to an endpoint. */
  CONNECT_TIMEOUT: 10_000,
  /** A client that has sent nothing by then, on a port whose protocol is not declared, speaks second: plain TCP. */
  DETECTION: 100,
  /** An upstream HTTP/1.1 connection without a request. Shorter than what common servers allow, so that they seldom close first. */
  IDLE_UPSTREAM: 50_000,
  /** Idle upstream HTTP/1.1 connections kept per endpoint. */
  IDLE_UPSTREAM_COUNT: 512,
  /** Request body kept so that it can be sent again (Envoy's `per_request_buffer_limit` is larger; a retried upload is rarely worth more). */
  REPLAY_BUFFER: 65_536,
  /** Octets of a client that nobody reads any more: the rest of a request after its response. */
  DISCARDED_BODY: 1024 * 1024,
  /** How long a connection that was ended here may stay open at the client's side. */
  LINGER: 5000,
  /** A client that ends its side so soon after its request still wants the answer; later, it has gone. */
  HALF_CLOSE: 100,
  /** How long a stream may wait for something to be bound to this waypoint, and what of it is kept meanwhile. */
  BINDING: 1000,
  BINDING_OCTETS: 65_536,
  /** Streams that wait so. */
  BINDING_STREAMS: 1000,
  /** How long streams are still taken for what is not bound any more: until every node proxy knows. */
  LEAVING: 5000,
  /** While the waypoint drains: an HTTP/1 connection without a request for so long is ended. */
  DRAIN_IDLE: 1000,
  /** A mirrored request in which nothing moves. */
  IDLE_MIRROR: 60_000,
  /** Mirrored requests under way at once; beyond it requests are not copied. */
  MIRRORS: 500,
  /** Requests of one waypoint at once. */
  ACTIVE_REQUESTS: 100_000,
  /** Base and most of the back-off between retries. */
  RETRY_BACKOFF: 25,
  RETRY_BACKOFF_MOST: 250,
  /** After SIGTERM: node proxies learn within milliseconds that the replica is going, the slowest of them within this. */
  DRAIN_LINGER: 3000,
  /** Streams of one client HTTP/2 connection inside the tunnel. */
  HTTP2_STREAMS: 1000,
  /** Spans that wait for the collector, those of one request to it, how long one waits for others, and the collector's answer (OpenTelemetry's defaults). */
  SPAN_QUEUE: 2048,
  SPAN_BATCH: 512,
  SPAN_DELAY: 5000,
  SPAN_TIMEOUT: 10_000,
  /** At the end of the drain: for the last spans. */
  SPAN_DRAIN: 2000,
} as const;
