/** What is known of an exchange, more and more until it is over. */
import type { EndpointState, HttpAction, WeightedBackend } from '../../mesh/http/index.ts';
import { GrpcMessageCounter, isGrpcContentType } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import { headerOf } from './header-fields.ts';
import type { RequestHead } from './messages.ts';
import type { ResponseFlag } from './response-flags.ts';
import type { Upstream } from './traffic.ts';

export class ExchangeRecord {
  readonly head: RequestHead;
  readonly client: Client;
  readonly startedAt: number;
  readonly isGrpc: boolean;
  requestId = '';
  traceId = '';
  /** Of the waypoint's own part in the trace; empty: it has none. */
  spanId = '';
  parentSpanId = '';
  isSampled = false;
  /** The header for the endpoint; empty: what the client sent goes on. */
  traceparent = '';
  action: HttpAction | undefined;
  backend: WeightedBackend | undefined;
  upstream: Upstream | undefined;
  endpoint: EndpointState | undefined;
  status = 0;
  grpcStatus = -1;
  details = '';
  failure = '';
  requestBytes = 0;
  responseBytes = 0;
  /** When the response began, after the start; -1: it did not. */
  upstreamTime = -1;
  /** Of a gRPC call. */
  readonly requestMessages: GrpcMessageCounter | undefined;
  readonly responseMessages: GrpcMessageCounter | undefined;
  #flags = '';

  constructor(head: RequestHead, client: Client, startedAt: number) {
    this.head = head;
    this.client = client;
    this.startedAt = startedAt;
    this.isGrpc = isGrpcContentType(headerOf(head.headers, 'content-type'));
    if (!this.isGrpc) return;
    this.requestMessages = new GrpcMessageCounter();
    this.responseMessages = new GrpcMessageCounter();
  }

  flag(flag: ResponseFlag): void {
    this.#flags = this.#flags === '' ? flag : `${this.#flags},${flag}`;
  }

  get flags(): string {
    return this.#flags;
  }
}
