/**
 * One request on its way through the waypoint: routed, perhaps answered here, else sent to an endpoint, perhaps more than once, and its response sent
 * back as it comes. Nothing is buffered but what a retry needs, within `LIMITS.REPLAY_BUFFER`; a slow reader holds back its writer through the windows.
 */
import {
  chooseBackend,
  type EndpointState,
  editHeaders,
  type HttpAction,
  isMirrored,
  type Retry,
  type WeightedBackend,
} from '../../mesh/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import type { RequestContext } from './context.ts';
import { headerOf } from './header-fields.ts';
import { LIMITS } from './limits.ts';
import { localResponse } from './local-response.ts';
import {
  type Downstream,
  type DownstreamEvents,
  NO_TRAILERS,
  type RequestHead,
  type ResponseHead,
  type UpstreamEvents,
  type UpstreamFailure,
  type UpstreamStream,
} from './messages.ts';
import { MirrorCopy } from './mirror-copy.ts';
import { newRequestId } from './request-id.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { PortRoutes, Upstream } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

export class Exchange implements DownstreamEvents, UpstreamEvents, Deadline {
  readonly #context: RequestContext;
  readonly #client: Client;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  readonly #startedAt = performance.now();
  readonly #requestId: string;
  #action: HttpAction | undefined;
  #backend: WeightedBackend | undefined;
  #outgoing: OutgoingRequest | undefined;
  #upstream: Upstream | undefined;
  #endpoint: EndpointState | undefined;
  #stream: UpstreamStream | undefined;
  #isReused = false;
  /** An attempt is under way and counted at its endpoint. */
  #isCounted = false;
  #attempts = 0;
  #tried: Set<EndpointState> | undefined;
  #mirrors: MirrorCopy[] | undefined;
  /** The request's body so far, for an endpoint to come or a retry; undefined when it can not be sent again. */
  #body: Uint8Array[] | undefined = [];
  #bodySize = 0;
  /** Octets of the client's window to be given back when the endpoint takes more. */
  #requestOwed = 0;
  #responseOwed = 0;
  #isRequestEnded: boolean;
  #requestTrailers: HeaderList = NO_TRAILERS;
  #isResponseStarted = false;
  #isDone = false;
  #status = 0;
  #grpcStatus = -1;
  #flags = '';
  #details = '';
  #failure = '';
  #requestBytes = 0;
  #responseBytes = 0;
  #upstreamTime = -1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attemptTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #hasMoved = false;
  dueAt: number;

  constructor(context: RequestContext, client: Client, downstream: Downstream, head: RequestHead) {
    this.#context = context;
    this.#client = client;
    this.#downstream = downstream;
    this.#head = head;
    this.#isRequestEnded = head.contentLength === 0;
    this.#requestId = headerOf(head.headers, 'x-request-id') ?? newRequestId();
    this.dueAt = context.idleTimeout > 0 ? this.#startedAt + context.idleTimeout : Number.POSITIVE_INFINITY;
  }

  /** Decides what becomes of the request. */
  begin(routes: PortRoutes): void {
    const context = this.#context;
    context.active++;
    deadlines.add(this);
    if (context.active > context.maxActive) {
      this.#answer(503, 'UO', 'overflow', 'too many requests');
      return;
    }
    const action = routes.match(this.#head, this.#client.namespace);
    if (action === undefined) {
      this.#answer(404, 'NR', 'route_not_found', '');
      return;
    }
    this.#action = action;
    const timeout = action.timeouts?.request ?? 0;
    if (timeout > 0) this.#timer = setTimeout(() => this.#timedOut('request_timeout'), timeout);
    this.#forward(action);
  }

  #forward(action: HttpAction): void {
    const { random } = this.#context;
    const backend = chooseBackend(action.backends, random);
    if (backend === undefined) {
      this.#answer(500, 'NC', 'no_backend', 'the route has no backend');
      return;
    }
    if (backend.invalid !== undefined) {
      this.#answer(500, 'NC', 'invalid_backend', backend.invalid);
      return;
    }
    this.#backend = backend;
    this.#outgoing = this.#outgoingOf(action, backend);
    for (const mirror of action.mirrors ?? []) if (isMirrored(mirror, random)) this.#mirror(mirror.backend);
    for (const mirror of backend.mirrors ?? []) if (isMirrored(mirror, random)) this.#mirror(mirror.backend);
    this.#attempt();
  }

  #outgoingOf(action: HttpAction, backend: WeightedBackend): OutgoingRequest {
    const head = this.#head;
    let { headers } = head;
    if (headerOf(headers, 'x-request-id') === undefined) headers = [...headers, ['x-request-id', this.#requestId]];
    if (action.requestHeaders !== undefined) headers = editHeaders(headers, action.requestHeaders);
    if (backend.requestHeaders !== undefined) headers = editHeaders(headers, backend.requestHeaders);
    return {
      method: head.method,
      path: head.path,
      authority: head.authority,
      scheme: head.scheme,
      headers,
      contentLength: head.contentLength,
      upgrade: head.upgrade,
      acceptsTrailers: head.acceptsTrailers,
    };
  }

  #attempt(): void {
    const context = this.#context;
    const now = performance.now();
    const backend = this.#backend!;
    const upstream = context.traffic.upstream(backend, now);
    if (upstream === undefined) {
      this.#answer(503, 'NC', 'cluster_not_found', `${backend.service} has no port ${backend.port}`);
      return;
    }
    this.#upstream = upstream;
    const limits = upstream.policy?.connectionPool;
    if (limits?.maxRequests !== undefined && upstream.active >= limits.maxRequests) {
      this.#answer(503, 'UO', 'overflow', 'the limit of requests of the destination is reached');
      return;
    }
    const endpoint = upstream.cluster.pick({ random: context.random, now, ...(this.#tried === undefined ? {} : { exclude: this.#tried }) });
    if (endpoint === undefined) {
      this.#answer(503, 'UH', 'no_healthy_upstream', 'no healthy upstream');
      return;
    }
    this.#attempts++;
    this.#endpoint = endpoint;
    this.#isCounted = true;
    endpoint.active++;
    upstream.active++;
    const action = this.#action!;
    const perTry = action.retry?.perTryTimeout ?? action.timeouts?.perTry ?? 0;
    if (perTry > 0) this.#attemptTimer = setTimeout(() => this.#attemptTimedOut(), perTry);
    let started: ReturnType<typeof context.pool.start>;
    try {
      started = context.pool.start(
        { endpoint, service: upstream.service, policy: upstream.policy },
        this.#speaksHttp2(upstream),
        this.#outgoing!,
        this,
      );
    } catch (error) {
      // A header that a route set and no server would take.
      this.#answer(500, 'NC', 'bad_request_head', (error as Error).message);
      return;
    }
    // It may have failed already.
    if (!this.#isCounted) return;
    this.#stream = started.stream;
    this.#isReused = started.isReused;
    this.#sendBody();
  }

  /** What came before there was an endpoint. */
  #sendBody(): void {
    const stream = this.#stream!;
    const body = this.#body;
    if (body !== undefined) for (const part of body) stream.sendRequestBody(part);
    if (this.#isRequestEnded) stream.finishRequest(this.#requestTrailers);
    if (!stream.isRequestBackedUp) this.onRequestDrained();
  }

  #speaksHttp2(upstream: Upstream): boolean {
    if (this.#head.upgrade !== '') return false;
    const pool = upstream.policy?.connectionPool;
    if (pool?.useClientProtocol) return this.#downstream.version === 'HTTP/2';
    if (pool?.h2Upgrade) return true;
    switch (upstream.protocol) {
      case 'HTTP2':
      case 'GRPC':
        return true;
      case 'UNKNOWN':
        return this.#downstream.version === 'HTTP/2';
      default:
        // gRPC cannot be carried by HTTP/1.1; a server that is called with it understands HTTP/2.
        return this.#downstream.version === 'HTTP/2' && this.#isGrpc;
    }
  }

  get #isGrpc(): boolean {
    return headerOf(this.#head.headers, 'content-type')?.startsWith('application/grpc') === true;
  }

  // The client.

  onRequestBody(chunk: Uint8Array): void {
    this.#hasMoved = true;
    const length = chunk.length;
    this.#requestBytes += length;
    const stream = this.#stream;
    if (this.#body !== undefined) {
      this.#bodySize += length;
      if (stream !== undefined && this.#bodySize > LIMITS.REPLAY_BUFFER) this.#body = undefined;
      else this.#body.push(chunk.slice());
    }
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.sendBody(chunk);
    if (stream === undefined) {
      this.#requestOwed += length;
      return;
    }
    stream.sendRequestBody(chunk);
    if (stream.isRequestBackedUp) this.#requestOwed += length;
    else this.#downstream.requestConsumed(length);
  }

  onRequestEnd(trailers: HeaderList): void {
    if (this.#isRequestEnded && this.#status !== 101) return;
    this.#hasMoved = true;
    this.#isRequestEnded = true;
    this.#requestTrailers = trailers;
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.finish(trailers);
    this.#stream?.finishRequest(trailers);
  }

  onResponseDrained(): void {
    const owed = this.#responseOwed;
    if (owed === 0) return;
    this.#responseOwed = 0;
    this.#stream?.responseConsumed(owed);
  }

  onClientGone(detail: string): void {
    if (this.#isDone) return;
    this.#flags = 'DC';
    this.#details = 'downstream_remote_disconnect';
    this.#failure = detail;
    this.#stream?.cancel();
    this.#finish();
  }

  // The endpoint.

  onInterimResponse(status: number, headers: HeaderList): void {
    if (!this.#isDone) this.#downstream.sendInterim(status, headers);
  }

  onResponse(head: ResponseHead): void {
    if (this.#isDone) return;
    this.#hasMoved = true;
    const now = performance.now();
    const { status } = head;
    const upstream = this.#upstream!;
    const endpoint = this.#endpoint!;
    upstream.cluster.report(endpoint, status, now);
    if (this.#mayRetry() && retriesStatus(this.#action!.retry, head)) {
      this.#stream?.cancel();
      this.#retry();
      return;
    }
    this.#body = undefined;
    this.#isResponseStarted = true;
    this.#upstreamTime = now - this.#startedAt;
    this.#status = status;
    this.#details = 'via_upstream';
    if (status === 101) this.#isRequestEnded = false;
    if (head.contentLength === 0) this.#grpcStatusOf(head.headers);
    this.#downstream.sendResponse(this.#edited(head));
  }

  onResponseBody(chunk: Uint8Array): void {
    if (this.#isDone) return;
    this.#hasMoved = true;
    this.#responseBytes += chunk.length;
    const downstream = this.#downstream;
    downstream.sendResponseBody(chunk);
    if (downstream.isResponseBackedUp) this.#responseOwed += chunk.length;
    else this.#stream!.responseConsumed(chunk.length);
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#isDone) return;
    if (trailers.length > 0) this.#grpcStatusOf(trailers);
    this.#downstream.finishResponse(trailers);
    this.#finish();
  }

  onRequestDrained(): void {
    const owed = this.#requestOwed;
    if (owed === 0) return;
    this.#requestOwed = 0;
    this.#downstream.requestConsumed(owed);
  }

  onUpstreamFailed(failure: UpstreamFailure): void {
    if (this.#isDone) return;
    this.#failure = failure.detail;
    const { kind } = failure;
    this.#upstream!.cluster.report(this.#endpoint!, kind === 'connect' ? 'connect-failure' : 'reset', performance.now());
    if (this.#isResponseStarted) {
      this.#flags = kind === 'protocol' ? 'UPE' : 'UC';
      this.#details = 'upstream_reset_after_response_started';
      this.#downstream.abortResponse();
      this.#finish();
      return;
    }
    if (this.#mayRetry() && retriesFailure(this.#action!.retry, failure, this.#isReused, this.#head.method)) {
      this.#retry();
      return;
    }
    const isRetried = this.#attempts > 1;
    if (kind === 'protocol') this.#answer(502, 'UPE', 'upstream_protocol_error', 'upstream protocol error');
    else {
      const flag: ResponseFlag = kind === 'connect' ? 'UF' : kind === 'refused' ? 'UR' : 'UC';
      const text = kind === 'connect' ? 'upstream connect error' : 'upstream connection terminated before response';
      this.#answer(503, flag, 'upstream_reset_before_response_started', text, isRetried ? 'URX' : undefined);
    }
  }

  // Time.

  onDeadline(now: number): void {
    if (this.#hasMoved) {
      this.#hasMoved = false;
      this.dueAt = now + this.#context.idleTimeout;
      return;
    }
    this.#end('SI', 'stream_idle_timeout', 'nothing moved for the idle timeout');
  }

  #timedOut(details: string): void {
    if (!this.#isDone) this.#end('UT', details, 'upstream request timeout');
  }

  #attemptTimedOut(): void {
    if (this.#isDone) return;
    this.#upstream?.cluster.report(this.#endpoint!, 'timeout', performance.now());
    if (!this.#isResponseStarted && this.#mayRetry() && retriesTimeout(this.#action!.retry)) {
      this.#stream?.cancel();
      this.#retry();
    } else this.#end('UT', 'upstream_per_try_timeout', 'upstream request timeout');
  }

  /** Ends an exchange that takes too long. */
  #end(flag: ResponseFlag, details: string, text: string): void {
    this.#stream?.cancel();
    if (!this.#isResponseStarted) {
      this.#answer(504, flag, details, text);
      return;
    }
    this.#flags = flag;
    this.#details = details;
    this.#downstream.abortResponse();
    this.#finish();
  }

  // Retries.

  #mayRetry(): boolean {
    return this.#body !== undefined && !this.#isResponseStarted && this.#attempts <= (this.#action?.retry?.attempts ?? DEFAULT_RETRIES);
  }

  #retry(): void {
    this.#leaveEndpoint();
    this.#tried ??= new Set();
    if (this.#endpoint !== undefined) this.#tried.add(this.#endpoint);
    const base = this.#action!.retry?.backoff ?? LIMITS.RETRY_BACKOFF;
    // The first retry of a connection that was closed just now, or refused, need not wait.
    const most = Math.min(base * 2 ** (this.#attempts - 1), Math.max(base, LIMITS.RETRY_BACKOFF_MOST));
    this.#retryTimer = setTimeout(() => this.#attempt(), this.#attempts === 1 && this.#isReused ? 0 : this.#context.random() * most);
  }

  // The end.

  #mirror(backend: WeightedBackend | { service: string; port: number; subset?: string }): void {
    const mirror = MirrorCopy.start(this.#context, backend, this.#outgoing!, (upstream) => this.#speaksHttp2(upstream));
    if (mirror === undefined) return;
    this.#mirrors ??= [];
    this.#mirrors.push(mirror);
    if (this.#isRequestEnded) mirror.finish(NO_TRAILERS);
  }

  #edited(head: ResponseHead): ResponseHead {
    const rule = this.#action?.responseHeaders;
    const own = this.#backend?.responseHeaders;
    if (rule === undefined && own === undefined) return head;
    let { headers } = head;
    if (own !== undefined) headers = editHeaders(headers, own);
    if (rule !== undefined) headers = editHeaders(headers, rule);
    return { ...head, headers };
  }

  #grpcStatusOf(headers: HeaderList): void {
    const text = headerOf(headers, 'grpc-status');
    if (text !== undefined && /^\d{1,2}$/.test(text)) this.#grpcStatus = Number(text);
  }

  /** An answer of the waypoint itself. */
  #answer(status: number, flag: ResponseFlag, details: string, text: string, second?: ResponseFlag): void {
    this.#flags = second === undefined ? flag : `${flag},${second}`;
    this.#details = details;
    this.#status = status;
    if (this.#failure === '' && status >= 500) this.#failure = text;
    const { head, body, grpcStatus } = localResponse(status, text, this.#isGrpc);
    this.#grpcStatus = grpcStatus;
    this.#isResponseStarted = true;
    this.#downstream.sendResponse(this.#edited(head));
    if (body !== undefined && this.#head.method !== 'HEAD') {
      this.#responseBytes = body.length;
      this.#downstream.sendResponseBody(body);
    }
    this.#downstream.finishResponse(NO_TRAILERS);
    this.#finish();
  }

  #leaveEndpoint(): void {
    clearTimeout(this.#attemptTimer);
    this.#stream = undefined;
    if (!this.#isCounted) return;
    this.#isCounted = false;
    this.#endpoint!.active--;
    this.#upstream!.active--;
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    deadlines.delete(this);
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    const endpoint = this.#endpoint;
    this.#leaveEndpoint();
    this.#body = undefined;
    const context = this.#context;
    context.active--;
    const duration = performance.now() - this.#startedAt;
    const client = this.#client;
    const service = this.#upstream?.service ?? client.service;
    context.metrics.record(
      { source: client.workload, sourcePrincipal: client.principal, destination: endpoint?.workload, service },
      {
        protocol: this.#isGrpc ? 'grpc' : 'http',
        status: this.#status,
        grpcStatus: this.#grpcStatus,
        flags: this.#flags,
        duration,
        requestBytes: this.#requestBytes,
        responseBytes: this.#responseBytes,
      },
    );
    if (context.access.isEnabled) this.#log(duration, endpoint);
  }

  #log(duration: number, endpoint: EndpointState | undefined): void {
    const head = this.#head;
    const { headers } = head;
    const client = this.#client;
    const backend = this.#backend;
    this.#context.access.write({
      start: performance.timeOrigin + this.#startedAt,
      method: head.method,
      path: head.path,
      protocol: head.version,
      status: this.#status,
      flags: this.#flags,
      details: this.#details,
      failure: this.#failure,
      bytesReceived: this.#requestBytes,
      bytesSent: this.#responseBytes,
      duration,
      upstreamTime: this.#upstreamTime,
      forwardedFor: headerOf(headers, 'x-forwarded-for') ?? '',
      userAgent: headerOf(headers, 'user-agent') ?? '',
      requestId: this.#requestId,
      authority: head.authority,
      upstreamHost: endpoint === undefined ? '' : `${endpoint.workload.addresses[0] ?? endpoint.workload.hostname}:${endpoint.targetPort}`,
      upstreamCluster:
        backend === undefined
          ? ''
          : `inbound-vip|${backend.port}|http${backend.subset ? `/${backend.subset}` : ''}|${backend.service.slice(backend.service.indexOf('/') + 1)}`,
      downstreamLocal: client.target,
      downstreamRemote: client.address,
      downstreamPrincipal: client.principal,
      routeName: this.#action?.name ?? '',
      traceId: '',
    });
  }
}

/** Without a retry policy: only what no endpoint can have seen. */
const DEFAULT_RETRIES = 2;
/** RFC 9110 section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

function retriesStatus(retry: Retry | undefined, head: ResponseHead): boolean {
  if (retry === undefined) return false;
  const { status } = head;
  if (retry.statuses.includes(status)) return true;
  if (status >= 500 && retry.on.includes('5xx')) return true;
  if ((status === 502 || status === 503 || status === 504) && retry.on.includes('gateway-error')) return true;
  return status === 409 && retry.on.includes('retriable-4xx');
}

function retriesFailure(retry: Retry | undefined, failure: UpstreamFailure, isReused: boolean, method: string): boolean {
  if (failure.isUnprocessed) return retry === undefined || retry.on.length > 0 || retry.statuses.length > 0;
  // The endpoint may close an idle connection in the moment it is used again.
  if (isReused && failure.kind === 'reset' && IDEMPOTENT.has(method)) return true;
  if (retry === undefined || failure.kind === 'protocol') return false;
  return retry.on.includes('reset') || retry.on.includes('5xx') || retry.on.includes('gateway-error');
}

const retriesTimeout = (retry: Retry | undefined): boolean =>
  retry !== undefined && (retry.on.includes('5xx') || retry.on.includes('gateway-error') || retry.statuses.includes(504));
