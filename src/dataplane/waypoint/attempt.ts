/**
 * One attempt to have a request answered by the endpoint its record names: counted there and at the destination as long as it lasts, under the per-try
 * timeout, and ended when NetworkPolicies allow it no more. What the endpoint says goes straight to the exchange.
 */
import type { Outcome } from '../../mesh/http/index.ts';
import { type NetworkDecision, networkRefusal } from '../../mesh/index.ts';
import type { NetworkWatched } from '../core/network-watch.ts';
import type { RequestContext } from './context.ts';
import { OVERFLOW } from './destination-choice.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import type { LocalAnswer } from './filters.ts';
import type { UpstreamEvents, UpstreamStream } from './messages.ts';
import { NETWORK_REFUSED } from './network-rules.ts';
import type { ReplayBuffer } from './replay-buffer.ts';
import { speaksHttp2 } from './routed-head.ts';
import type { OutgoingRequest } from './upstream.ts';

/** Whose attempt it is. */
export interface AttemptOwner extends UpstreamEvents {
  onAttemptTimedOut(): void;
  /** It must not go on. */
  onAttemptRefused(answer: LocalAnswer): void;
}

export class Attempt implements NetworkWatched {
  readonly #context: RequestContext;
  readonly #record: ExchangeRecord;
  readonly #owner: AttemptOwner;
  /** From 1. */
  readonly number: number;
  /** Undefined: the connection pool has not given it yet, or the attempt is over. */
  stream: UpstreamStream | undefined;
  /** It rides on a connection that carried requests before. */
  isReused = false;
  #isOver = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** From here on until `leave` it counts. */
  constructor(context: RequestContext, record: ExchangeRecord, number: number, owner: AttemptOwner) {
    this.#context = context;
    this.#record = record;
    this.#owner = owner;
    this.number = number;
    const { action, endpoint, upstream } = record;
    context.network.watch(this);
    endpoint!.active++;
    upstream!.active++;
    if (number > 1) upstream!.retries++;
    const timeout = action?.retry?.perTryTimeout || action?.timeouts?.perTry;
    if (timeout) this.#timer = setTimeout(() => owner.onAttemptTimedOut(), timeout);
  }

  /** Sends what there is of the request. Returns what the client is told where it cannot be sent. */
  start(request: OutgoingRequest, body: ReplayBuffer): LocalAnswer | undefined {
    const { pool } = this.#context;
    const record = this.#record;
    const upstream = record.upstream!;
    let started: ReturnType<typeof pool.start>;
    try {
      started = pool.start(upstream, record.endpoint!, record.client, speaksHttp2(record, upstream), request, this.#owner);
    } catch (error) {
      // A field that a route sets and no server would take.
      return { status: 500, flag: 'UPE', details: 'invalid_request_head', body: (error as Error).message };
    }
    if (started === undefined) return OVERFLOW;
    // It may have failed already.
    if (this.#isOver) return undefined;
    const { stream } = started;
    this.stream = stream;
    this.isReused = started.isReused;
    body.replay(stream);
    if (!stream.isRequestBackedUp) this.#owner.onRequestDrained();
    return undefined;
  }

  /** What came of it, for outlier detection. */
  report(outcome: Outcome, now: number): void {
    const { upstream, endpoint } = this.#record;
    upstream!.cluster.report(endpoint!, outcome, now);
  }

  decideNetwork(): NetworkDecision {
    const { client, endpoint } = this.#record;
    return this.#context.network.decide(client, endpoint!);
  }

  networkRefused(decision: NetworkDecision): void {
    if (this.#isOver) return;
    this.#record.failure = networkRefusal(decision);
    this.#owner.onAttemptRefused(NETWORK_REFUSED);
  }

  /** The endpoint's answer is of no interest any more. */
  cancel(): void {
    this.stream?.cancel();
  }

  /** It is over. */
  leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.stream = undefined;
    this.#context.network.release(this);
    const { endpoint, upstream } = this.#record;
    endpoint!.active--;
    upstream!.active--;
    if (this.number > 1) upstream!.retries--;
  }
}
