/**
 * One request on its way through the waypoint: routed, perhaps answered here, else sent to an endpoint, perhaps more than once, and its response sent
 * back as it comes. Nothing is buffered but what a retry needs (`ReplayBuffer`); a slow reader holds back its writer through the windows.
 */
import {
  chooseBackend,
  type HttpAction,
  ISTIO_DEFAULT_RETRY,
  isMirrored,
  isRetriable,
  type Retry,
  type RouteMatch,
  redirectLocation,
  retryDelay,
} from '../../mesh/http/index.ts';
import { NETWORK_ALLOWED, type NetworkDecision, networkRefusal } from '../../mesh/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { NetworkWatched } from '../core/network-watch.ts';
import { admit } from './admission.ts';
import { Affinity } from './affinity.ts';
import type { Client } from './client.ts';
import type { RequestContext } from './context.ts';
import { ExchangeRecord } from './exchange-record.ts';
import { failureAnswer, isWorthRetrying } from './failed-attempt.ts';
import { type FilterInput, hasFilters, type LocalAnswer, runFilters } from './filters.ts';
import { grpcStatusOf, headerOf } from './header-fields.ts';
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
import { NETWORK_REFUSED } from './network-rules.ts';
import { ReplayBuffer } from './replay-buffer.ts';
import { newRequestId } from './request-id.ts';
import { editedResponse, outgoingRequest, speaksHttp2 } from './routed-head.ts';
import type { PortRoutes, Upstream } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

const OVERFLOW: LocalAnswer = { status: 503, flag: 'UO', details: 'overflow', body: 'upstream overflow' };

export class Exchange implements DownstreamEvents, UpstreamEvents, Deadline, NetworkWatched {
  readonly #context: RequestContext;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  /** Why it is answered with 400; '' else. */
  readonly #problem: string;
  readonly #record: ExchangeRecord;
  readonly #affinity: Affinity;
  readonly #body = new ReplayBuffer();
  #match: RouteMatch | undefined;
  #outgoing: OutgoingRequest | undefined;
  #stream: UpstreamStream | undefined;
  /** An attempt is under way and counted at its endpoint. */
  #isCounted = false;
  #isReused = false;
  #attempts = 0;
  #mirrors: MirrorCopy[] | undefined;
  /** Octets of windows to be given back when the other side takes more. */
  #requestOwed = 0;
  #responseOwed = 0;
  #isRequestEnded: boolean;
  #requestTrailers: HeaderList = NO_TRAILERS;
  #isResponseStarted = false;
  #isResponseEnded = false;
  #isDone = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attemptTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #idleTimeout: number;
  #hasMoved = false;
  dueAt: number;

  constructor(context: RequestContext, client: Client, downstream: Downstream, received: RequestHead) {
    const now = performance.now();
    const admitted = admit(received);
    const head = typeof admitted === 'string' ? received : admitted;
    this.#problem = typeof admitted === 'string' ? admitted : '';
    this.#context = context;
    this.#downstream = downstream;
    this.#head = head;
    this.#record = new ExchangeRecord(head, client, now);
    this.#record.requestId = headerOf(head.headers, 'x-request-id') ?? newRequestId();
    this.#affinity = new Affinity(this.#record);
    context.tracer.begin(this.#record);
    this.#isRequestEnded = head.contentLength === 0;
    this.#idleTimeout = context.idleTimeout;
    this.dueAt = this.#idleTimeout > 0 ? now + this.#idleTimeout : Number.POSITIVE_INFINITY;
  }

  /** Decides what becomes of the request. */
  begin(routes: PortRoutes): void {
    const context = this.#context;
    const record = this.#record;
    context.active++;
    deadlines.add(this);
    if (context.active > context.maxActive) {
      context.limits.hit('active_requests');
      this.#answer({ status: 503, flag: 'UO', details: 'overflow', body: 'too many requests' });
      return;
    }
    if (this.#problem !== '') {
      this.#answer({ status: 400, details: 'bad_request', body: this.#problem });
      return;
    }
    // A proxy for whatever the client names is what no route asks for.
    const match = this.#head.method === 'CONNECT' ? undefined : routes.match(this.#head, record.client.namespace);
    if (match === undefined) {
      this.#answer({ status: 404, flag: 'NR', details: 'route_not_found' });
      return;
    }
    this.#match = match;
    const { action } = match;
    record.action = action;
    const { timeouts } = action;
    if (timeouts !== undefined) {
      if (timeouts.request) this.#timer = setTimeout(() => this.#timedOut('response_timeout'), timeouts.request);
      if (timeouts.idle !== undefined) this.#setIdleTimeout(timeouts.idle);
    }
    if (hasFilters(action)) this.#filter(action);
    else this.#forward(action);
  }

  #filter(action: HttpAction): void {
    const record = this.#record;
    const { head, client } = record;
    const { path } = this.#match!;
    const input: FilterInput = { head, client, action, path, random: this.#context.random, flag: (flag) => record.flag(flag) };
    runFilters(input, (outcome) => {
      if (this.#isDone) return;
      if (outcome === undefined) this.#forward(action);
      else if (!(outcome instanceof Error)) this.#answer(outcome);
      else {
        this.#context.log.error('a filter failed', { error: outcome.message });
        this.#answer({ status: 500, details: 'filter_failed' });
      }
    });
  }

  #forward(action: HttpAction): void {
    const { random } = this.#context;
    const record = this.#record;
    const backend = this.#affinity.backend(action) ?? chooseBackend(action.backends, random);
    if (backend === undefined || backend.invalid !== undefined) {
      const body = backend?.invalid ?? 'the route has no backend';
      // GRPCRoute `backendRefs`: UNAVAILABLE, where 500 alone would say UNKNOWN.
      this.#answer({ status: 500, flag: 'NC', details: 'cluster_not_found', body, ...(record.isGrpc ? { grpcStatus: 14 } : {}) });
      return;
    }
    record.backend = backend;
    if (backend.redirect !== undefined) {
      const location = redirectLocation(backend.redirect, this.#head, this.#match!.path, record.client.port);
      this.#answer({ status: backend.redirect.status, details: 'redirect', headers: [['location', location]] });
      return;
    }
    this.#outgoing = outgoingRequest(record, backend, this.#match!.path);
    if (action.mirrors !== undefined) for (const mirror of action.mirrors) if (isMirrored(mirror, random)) this.#mirror(mirror.backend);
    if (backend.mirrors !== undefined) for (const mirror of backend.mirrors) if (isMirrored(mirror, random)) this.#mirror(mirror.backend);
    this.#attempt();
  }

  #attempt(): void {
    const context = this.#context;
    const record = this.#record;
    const backend = record.backend!;
    const now = performance.now();
    const upstream = context.traffic.upstream(backend, now);
    if (upstream === undefined) {
      const what = backend.subset === undefined ? `port ${backend.port}` : `port ${backend.port} with subset ${backend.subset}`;
      this.#answer({ status: 503, flag: 'NC', details: 'cluster_not_found', body: `${backend.service} has no ${what}` });
      return;
    }
    record.upstream = upstream;
    const pool = upstream.policy?.connectionPool;
    if (pool?.maxRequests !== undefined && upstream.active >= pool.maxRequests) {
      context.limits.hit('max_requests');
      this.#answer(OVERFLOW);
      return;
    }
    if (pool?.maxRetries !== undefined && this.#attempts > 0 && upstream.retries >= pool.maxRetries) {
      context.limits.hit('max_retries');
      this.#answer(OVERFLOW);
      return;
    }
    const endpoint = this.#affinity.endpoint(upstream, context.random, now);
    if (endpoint === undefined) {
      this.#answer({ status: 503, flag: 'UH', details: 'no_healthy_upstream', body: 'no healthy upstream' });
      return;
    }
    record.endpoint = endpoint;
    const decision = context.network.decide(record.client, endpoint);
    if (!decision.allowed) {
      record.failure = networkRefusal(decision);
      this.#answer(NETWORK_REFUSED);
      return;
    }
    context.network.watch(this);
    this.#attempts++;
    this.#isCounted = true;
    endpoint.active++;
    upstream.active++;
    if (this.#attempts > 1) upstream.retries++;
    const { action } = this.#match!;
    const perTry = action.retry?.perTryTimeout || action.timeouts?.perTry;
    if (perTry) this.#attemptTimer = setTimeout(() => this.#attemptTimedOut(), perTry);
    let started: ReturnType<typeof context.pool.start>;
    try {
      started = context.pool.start(upstream, endpoint, record.client, this.#speaksHttp2(upstream), this.#outgoing!, this);
    } catch (error) {
      // A field that a route sets and no server would take.
      this.#answer({ status: 500, flag: 'UPE', details: 'invalid_request_head', body: (error as Error).message });
      return;
    }
    if (started === undefined) {
      this.#answer(OVERFLOW);
      return;
    }
    // It may have failed already.
    if (!this.#isCounted) return;
    const { stream } = started;
    this.#stream = stream;
    this.#isReused = started.isReused;
    for (const part of this.#body.parts) stream.sendRequestBody(part);
    if (this.#isRequestEnded) stream.finishRequest(this.#requestTrailers);
    if (!stream.isRequestBackedUp) this.onRequestDrained();
  }

  decideNetwork(): NetworkDecision {
    const { client, endpoint } = this.#record;
    return endpoint === undefined ? NETWORK_ALLOWED : this.#context.network.decide(client, endpoint);
  }

  networkRefused(decision: NetworkDecision): void {
    if (this.#isDone) return;
    this.#record.failure = networkRefusal(decision);
    this.#cut(NETWORK_REFUSED);
  }

  #speaksHttp2(upstream: Upstream): boolean {
    return speaksHttp2(this.#record, this.#downstream.version, upstream);
  }

  // The client.

  onRequestBody(chunk: Uint8Array): void {
    this.#hasMoved = true;
    const { length } = chunk;
    const stream = this.#stream;
    const record = this.#record;
    record.requestBytes += length;
    if (record.requestMessages !== undefined) record.requestMessages.push(chunk);
    this.#body.add(chunk, stream !== undefined);
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
    if (this.#isRequestEnded) return;
    this.#hasMoved = true;
    this.#isRequestEnded = true;
    this.#requestTrailers = trailers;
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.finish(trailers);
    this.#stream?.finishRequest(trailers);
    if (this.#isResponseEnded) this.#finish();
  }

  onResponseDrained(): void {
    const owed = this.#responseOwed;
    this.#responseOwed = 0;
    if (owed > 0) this.#stream?.responseConsumed(owed);
  }

  onClientGone(detail: string): void {
    if (this.#isDone) return;
    const record = this.#record;
    record.flag('DC');
    record.details = 'downstream_remote_disconnect';
    record.failure = detail;
    this.#stream?.cancel();
    this.#finish();
  }

  // The endpoint.

  onInterimResponse(status: number, headers: HeaderList): void {
    this.#hasMoved = true;
    if (!this.#isDone) this.#downstream.sendInterim(status, headers);
  }

  onResponse(head: ResponseHead): void {
    if (this.#isDone) return;
    this.#hasMoved = true;
    const now = performance.now();
    const record = this.#record;
    const { status, headers } = head;
    record.upstream!.cluster.report(record.endpoint!, status, now);
    const grpcStatus = head.contentLength === 0 && record.isGrpc ? grpcStatusOf(headers) : undefined;
    const policy = this.#retryPolicy;
    if (policy.attempts > 0 && isRetriable(policy, { status, ...(grpcStatus === undefined ? {} : { grpcStatus }) })) {
      if (this.#mayRetry()) {
        this.#stream?.cancel();
        this.#retry();
        return;
      }
      if (this.#attempts > policy.attempts) record.flag('URX');
    }
    this.#body.drop();
    this.#isResponseStarted = true;
    record.upstreamTime = now - record.startedAt;
    record.status = status;
    record.details = 'via_upstream';
    if (grpcStatus !== undefined) record.grpcStatus = grpcStatus;
    // From here on both sides say what they like until they end.
    if (status === 101) this.#isRequestEnded = false;
    this.#send(head);
  }

  onResponseBody(chunk: Uint8Array): void {
    if (this.#isDone) return;
    this.#hasMoved = true;
    const record = this.#record;
    record.responseBytes += chunk.length;
    if (record.responseMessages !== undefined) record.responseMessages.push(chunk);
    const downstream = this.#downstream;
    downstream.sendResponseBody(chunk);
    if (downstream.isResponseBackedUp) this.#responseOwed += chunk.length;
    else this.#stream?.responseConsumed(chunk.length);
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#isDone) return;
    if (trailers.length > 0) this.#record.grpcStatus = grpcStatusOf(trailers) ?? this.#record.grpcStatus;
    this.#downstream.finishResponse(trailers);
    // Of what began with 101 each direction ends by itself.
    this.#isResponseEnded = true;
    if (this.#record.status !== 101 || this.#isRequestEnded) this.#finish();
  }

  onRequestDrained(): void {
    const owed = this.#requestOwed;
    this.#requestOwed = 0;
    if (owed > 0) this.#downstream.requestConsumed(owed);
  }

  onUpstreamFailed(failure: UpstreamFailure): void {
    if (this.#isDone) return;
    const record = this.#record;
    const { kind, detail } = failure;
    record.failure = detail;
    record.upstream!.cluster.report(record.endpoint!, kind === 'connect' ? 'connect-failure' : 'reset', performance.now());
    if (this.#isResponseStarted) {
      record.flag(kind === 'protocol' ? 'UPE' : 'UC');
      record.details = 'upstream_reset_after_response_started';
      this.#downstream.abortResponse();
      this.#finish();
    } else if (this.#mayRetry() && isWorthRetrying(this.#retryPolicy, failure, this.#isReused, this.#head.method)) this.#retry();
    else {
      if (this.#attempts > 1) record.flag('URX');
      this.#answer(failureAnswer(failure));
    }
  }

  // Time.

  onDeadline(now: number): void {
    if (!this.#hasMoved) {
      this.#cut({ status: 504, flag: 'SI', details: 'stream_idle_timeout', body: 'stream timeout' });
      return;
    }
    this.#hasMoved = false;
    this.dueAt = now + this.#idleTimeout;
  }

  #setIdleTimeout(timeout: number): void {
    this.#idleTimeout = timeout;
    this.dueAt = timeout > 0 ? performance.now() + timeout : Number.POSITIVE_INFINITY;
  }

  #timedOut(details: string): void {
    if (!this.#isDone) this.#cut({ status: 504, flag: 'UT', details, body: 'upstream request timeout' });
  }

  #attemptTimedOut(): void {
    if (this.#isDone) return;
    const { retry } = this.#match!.action;
    // VirtualService `perTryTimeout` is over when the response begins (Envoy); Gateway API `backendRequest` covers all of it.
    if (this.#isResponseStarted && retry?.perTryTimeout) return;
    const record = this.#record;
    record.upstream?.cluster.report(record.endpoint!, 'timeout', performance.now());
    if (!this.#isResponseStarted && this.#mayRetry() && isRetriable(this.#retryPolicy, { failure: 'timeout' })) {
      this.#stream?.cancel();
      this.#retry();
    } else this.#timedOut('upstream_per_try_timeout');
  }

  /** Ends an exchange that takes too long: with an answer while there is none yet. */
  #cut(answer: LocalAnswer): void {
    this.#stream?.cancel();
    if (!this.#isResponseStarted) {
      this.#answer(answer);
      return;
    }
    if (answer.flag !== undefined) this.#record.flag(answer.flag);
    this.#record.details = answer.details;
    this.#downstream.abortResponse();
    this.#finish();
  }

  // Retries.

  get #retryPolicy(): Retry {
    return this.#match?.action.retry ?? ISTIO_DEFAULT_RETRY;
  }

  #mayRetry(): boolean {
    return this.#body.isComplete && !this.#isResponseStarted && this.#attempts <= this.#retryPolicy.attempts;
  }

  #retry(): void {
    this.#affinity.avoid(this.#record.endpoint);
    this.#leaveEndpoint();
    // A connection that was closed just now says nothing about the endpoint: no need to wait.
    const delay = this.#attempts === 1 && this.#isReused ? 0 : retryDelay(this.#retryPolicy, this.#attempts, this.#context.random);
    this.#retryTimer = setTimeout(() => this.#attempt(), delay);
  }

  // Answers.

  #mirror(backend: Parameters<typeof MirrorCopy.start>[2]): void {
    const mirror = MirrorCopy.start(this.#context, this.#record.client, backend, this.#outgoing!, (upstream) =>
      this.#speaksHttp2(upstream),
    );
    if (mirror === undefined) return;
    // What came while a filter took its time.
    for (const part of this.#body.parts) mirror.sendBody(part);
    if (this.#isRequestEnded) mirror.finish(this.#requestTrailers);
    else {
      this.#mirrors ??= [];
      this.#mirrors.push(mirror);
    }
  }

  #edited(head: ResponseHead): ResponseHead {
    const headers = this.#affinity.marked(editedResponse(this.#record, head.headers));
    return headers === head.headers ? head : { ...head, headers };
  }

  /** False: the route sets a field that no peer would take, the client was told so, and it is over. */
  #send(head: ResponseHead): boolean {
    try {
      this.#downstream.sendResponse(this.#edited(head));
      return true;
    } catch (error) {
      const record = this.#record;
      record.status = 500;
      record.details = 'invalid_response_head';
      record.failure = (error as Error).message;
      this.#stream?.cancel();
      this.#downstream.sendResponse({ status: 500, headers: [], contentLength: 0, upgrade: '' });
      this.#downstream.finishResponse(NO_TRAILERS);
      this.#finish();
      return false;
    }
  }

  /** An answer of the waypoint itself. */
  #answer({ status, flag, details, body: text = '', headers = [], grpcStatus }: LocalAnswer): void {
    const record = this.#record;
    if (flag !== undefined) record.flag(flag);
    record.details = details;
    record.status = status;
    if (record.failure === '' && status >= 500) record.failure = text;
    const { head, body, grpcStatus: sent } = localResponse(status, text, record.isGrpc, headers, grpcStatus);
    record.grpcStatus = sent;
    this.#isResponseStarted = true;
    if (!this.#send(head)) return;
    if (body !== undefined && this.#head.method !== 'HEAD') {
      record.responseBytes = body.length;
      this.#downstream.sendResponseBody(body);
    }
    this.#downstream.finishResponse(NO_TRAILERS);
    this.#finish();
  }

  // The end.

  #leaveEndpoint(): void {
    clearTimeout(this.#attemptTimer);
    this.#stream = undefined;
    if (!this.#isCounted) return;
    this.#context.network.release(this);
    this.#isCounted = false;
    const { endpoint, upstream } = this.#record;
    endpoint!.active--;
    upstream!.active--;
    if (this.#attempts > 1) upstream!.retries--;
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    deadlines.delete(this);
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    if (this.#mirrors !== undefined && !this.#isRequestEnded) for (const mirror of this.#mirrors) mirror.cancel();
    // Both connections may go on: what this exchange held of their windows goes back.
    this.onRequestDrained();
    this.onResponseDrained();
    this.#leaveEndpoint();
    this.#body.drop();
    this.#context.active--;
    const record = this.#record;
    record.publish(this.#context, performance.now() - record.startedAt);
  }
}
