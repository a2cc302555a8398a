/**
 * One request on its way through the waypoint: routed, perhaps answered here, else sent to an endpoint, perhaps more than once, and its response sent
 * back as it comes. Nothing is buffered but what a retry needs (`ReplayBuffer`); a slow reader holds back its writer through the windows.
 */
import { ISTIO_DEFAULT_RETRY, isRetriable, type Retry, type RouteMatch, retryDelay } from '../../mesh/http/index.ts';
import { type Deadline, deadlines } from '../../platform/net/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import { admit } from './admission.ts';
import { Affinity } from './affinity.ts';
import { Attempt, type AttemptOwner } from './attempt.ts';
import type { Client } from './client.ts';
import { sendAnswer, sendHead } from './client-response.ts';
import type { RequestContext } from './context.ts';
import { chooseDestination, chooseEndpoint } from './destination-choice.ts';
import { ExchangeRecord } from './exchange-record.ts';
import { reportExchange } from './exchange-report.ts';
import { failureAnswer, isWorthRetrying } from './failed-attempt.ts';
import { type FilterInput, hasFilters, type LocalAnswer, runFilters } from './filters.ts';
import { grpcStatusOf, headerOf } from './header-fields.ts';
import type { Downstream, DownstreamEvents, RequestHead, ResponseHead, UpstreamFailure } from './messages.ts';
import { Mirrors } from './mirrors.ts';
import { ReplayBuffer } from './replay-buffer.ts';
import { newRequestId } from './request-id.ts';
import { outgoingRequest } from './routed-head.ts';
import type { PortRoutes } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

export class Exchange implements DownstreamEvents, AttemptOwner, Deadline {
  readonly #context: RequestContext;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  /** Why it is answered with 400; '' else. */
  readonly #problem: string;
  readonly #record: ExchangeRecord;
  readonly #affinity: Affinity;
  readonly #body: ReplayBuffer;
  #match: RouteMatch | undefined;
  #outgoing: OutgoingRequest | undefined;
  /** The one under way, or the last there was. */
  #attempt: Attempt | undefined;
  #mirrors: Mirrors | undefined;
  /** Octets of windows to be given back when the other side takes more. */
  #requestOwed = 0;
  #responseOwed = 0;
  #isResponseStarted = false;
  #isResponseEnded = false;
  #isDone = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
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
    this.#body = new ReplayBuffer(head.contentLength === 0);
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
    if (hasFilters(action)) this.#filter(match);
    else this.#forward(match);
  }

  #filter(match: RouteMatch): void {
    const record = this.#record;
    const { head, client } = record;
    const { action, path } = match;
    const input: FilterInput = { head, client, action, path, random: this.#context.random, flag: (flag) => record.flag(flag) };
    runFilters(input, (outcome) => {
      if (this.#isDone) return;
      if (outcome === undefined) this.#forward(match);
      else if (!(outcome instanceof Error)) this.#answer(outcome);
      else {
        this.#context.log.error('a filter failed', { error: outcome.message });
        this.#answer({ status: 500, details: 'filter_failed' });
      }
    });
  }

  #forward(match: RouteMatch): void {
    const context = this.#context;
    const record = this.#record;
    const answer = chooseDestination(record, this.#affinity, match, context.random);
    if (answer !== undefined) {
      this.#answer(answer);
      return;
    }
    this.#outgoing = outgoingRequest(record, record.backend!, match.path);
    this.#mirrors = Mirrors.start(context, record, this.#outgoing, this.#body);
    this.#try();
  }

  #try(): void {
    const context = this.#context;
    const record = this.#record;
    const tried = this.#tries;
    const refusal = chooseEndpoint(context, record, this.#affinity, tried > 0);
    if (refusal !== undefined) {
      this.#answer(refusal);
      return;
    }
    const attempt = new Attempt(context, record, tried + 1, this);
    this.#attempt = attempt;
    const failure = attempt.start(this.#outgoing!, this.#body);
    if (failure !== undefined) this.#answer(failure);
  }

  // The client.

  onRequestBody(chunk: Uint8Array): void {
    this.#hasMoved = true;
    const { length } = chunk;
    const stream = this.#attempt?.stream;
    const record = this.#record;
    record.requestBytes += length;
    if (record.requestMessages !== undefined) record.requestMessages.push(chunk);
    this.#body.add(chunk, stream !== undefined);
    this.#mirrors?.sendRequestBody(chunk);
    if (stream === undefined) {
      this.#requestOwed += length;
      return;
    }
    stream.sendRequestBody(chunk);
    if (stream.isRequestBackedUp) this.#requestOwed += length;
    else this.#downstream.requestConsumed(length);
  }

  onRequestEnd(trailers: HeaderList): void {
    const body = this.#body;
    if (body.isEnded) return;
    this.#hasMoved = true;
    body.end(trailers);
    this.#mirrors?.finishRequest(trailers);
    this.#attempt?.stream?.finishRequest(trailers);
    if (this.#isResponseEnded) this.#finish();
  }

  onResponseDrained(): void {
    const owed = this.#responseOwed;
    this.#responseOwed = 0;
    if (owed > 0) this.#attempt?.stream?.responseConsumed(owed);
  }

  onClientGone(detail: string): void {
    if (this.#isDone) return;
    const record = this.#record;
    record.flag('DC');
    record.details = 'downstream_remote_disconnect';
    record.failure = detail;
    this.#attempt?.cancel();
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
    this.#attempt!.report(status, now);
    const grpcStatus = head.contentLength === 0 && record.isGrpc ? grpcStatusOf(headers) : undefined;
    const policy = this.#retryPolicy;
    if (policy.attempts > 0 && isRetriable(policy, { status, ...(grpcStatus === undefined ? {} : { grpcStatus }) })) {
      if (this.#mayRetry()) {
        this.#attempt?.cancel();
        this.#retry();
        return;
      }
      if (this.#tries > policy.attempts) record.flag('URX');
    }
    this.#body.drop();
    this.#isResponseStarted = true;
    record.upstreamTime = now - record.startedAt;
    record.status = status;
    record.details = 'via_upstream';
    if (grpcStatus !== undefined) record.grpcStatus = grpcStatus;
    // From here on both sides say what they like until they end.
    if (status === 101) this.#body.isEnded = false;
    if (sendHead(this.#downstream, record, this.#affinity, head)) return;
    this.#attempt?.cancel();
    this.#finish();
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
    else this.#attempt?.stream?.responseConsumed(chunk.length);
  }

  onResponseEnd(trailers: HeaderList): void {
    if (this.#isDone) return;
    if (trailers.length > 0) this.#record.grpcStatus = grpcStatusOf(trailers) ?? this.#record.grpcStatus;
    this.#downstream.finishResponse(trailers);
    // Of what began with 101 each direction ends by itself.
    this.#isResponseEnded = true;
    if (this.#record.status !== 101 || this.#body.isEnded) this.#finish();
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
    this.#attempt!.report(kind === 'connect' ? 'connect-failure' : 'reset', performance.now());
    if (this.#isResponseStarted) {
      record.flag(kind === 'protocol' ? 'UPE' : 'UC');
      record.details = 'upstream_reset_after_response_started';
      this.#downstream.abortResponse();
      this.#finish();
    } else if (this.#mayRetry() && isWorthRetrying(this.#retryPolicy, failure, this.#attempt!.isReused, this.#head.method)) this.#retry();
    else {
      if (this.#tries > 1) record.flag('URX');
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

  onAttemptTimedOut(): void {
    if (this.#isDone) return;
    const { retry } = this.#match!.action;
    // VirtualService `perTryTimeout` is over when the response begins (Envoy); Gateway API `backendRequest` covers all of it.
    if (this.#isResponseStarted && retry?.perTryTimeout) return;
    this.#attempt!.report('timeout', performance.now());
    if (!this.#isResponseStarted && this.#mayRetry() && isRetriable(this.#retryPolicy, { failure: 'timeout' })) {
      this.#attempt?.cancel();
      this.#retry();
    } else this.#timedOut('upstream_per_try_timeout');
  }

  onAttemptRefused(answer: LocalAnswer): void {
    if (!this.#isDone) this.#cut(answer);
  }

  /** Ends an exchange early: with an answer while there is none yet. */
  #cut(answer: LocalAnswer): void {
    this.#attempt?.cancel();
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
    return this.#body.isComplete && !this.#isResponseStarted && this.#tries <= this.#retryPolicy.attempts;
  }

  /** Attempts so far. */
  get #tries(): number {
    return this.#attempt?.number ?? 0;
  }

  #retry(): void {
    const attempt = this.#attempt!;
    this.#affinity.avoid(this.#record.endpoint);
    attempt.leave();
    // A connection that was closed just now says nothing about the endpoint: no need to wait.
    const delay = attempt.number === 1 && attempt.isReused ? 0 : retryDelay(this.#retryPolicy, attempt.number, this.#context.random);
    this.#retryTimer = setTimeout(() => this.#try(), delay);
  }

  // The end.

  /** An answer of the waypoint itself. */
  #answer(answer: LocalAnswer): void {
    this.#isResponseStarted = true;
    sendAnswer(this.#downstream, this.#record, this.#affinity, answer);
    this.#finish();
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    deadlines.delete(this);
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    if (!this.#body.isEnded) this.#mirrors?.cancel();
    // Both connections may go on: what this exchange held of their windows goes back.
    this.onRequestDrained();
    this.onResponseDrained();
    this.#attempt?.leave();
    this.#body.drop();
    this.#context.active--;
    const record = this.#record;
    reportExchange(record, this.#context, performance.now() - record.startedAt);
  }
}
