/** What is known of an exchange when it is over, for metrics and log. */
import type { EndpointState, HttpAction, WeightedBackend } from '../../mesh/http/index.ts';
import { GrpcMessageCounter, isGrpcContentType } from '../../protocol/index.ts';
import type { Client } from './client.ts';
import type { RequestContext } from './context.ts';
import { addressOf, clusterName } from './destination-names.ts';
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

  publish(context: RequestContext, duration: number): void {
    const { client, endpoint } = this;
    const service = this.upstream?.service ?? client.service;
    context.metrics.record(
      { source: client.workload, sourcePrincipal: client.principal, destination: endpoint?.workload, service },
      {
        protocol: this.isGrpc ? 'grpc' : 'http',
        status: this.status,
        grpcStatus: this.grpcStatus,
        flags: this.#flags,
        duration,
        requestBytes: this.requestBytes,
        responseBytes: this.responseBytes,
        requestMessages: this.requestMessages?.count ?? 0,
        responseMessages: this.responseMessages?.count ?? 0,
      },
    );
    if (this.isSampled) context.tracer.end(this, duration);
    if (context.access.isEnabled) this.#log(context, duration);
  }

  #log(context: RequestContext, duration: number): void {
    const { head, client, endpoint, backend } = this;
    const { headers } = head;
    context.access.write({
      start: performance.timeOrigin + this.startedAt,
      method: head.method,
      path: head.path,
      protocol: head.version,
      status: this.status,
      flags: this.#flags,
      details: this.details,
      failure: this.failure,
      bytesReceived: this.requestBytes,
      bytesSent: this.responseBytes,
      duration,
      upstreamTime: this.upstreamTime,
      forwardedFor: headerOf(headers, 'x-forwarded-for') ?? '',
      userAgent: headerOf(headers, 'user-agent') ?? '',
      requestId: this.requestId,
      authority: head.authority,
      upstreamHost: endpoint === undefined ? '' : addressOf(endpoint),
      upstreamCluster: backend === undefined ? '' : clusterName(backend, 'http'),
      downstreamLocal: client.target,
      downstreamRemote: client.address,
      downstreamPrincipal: client.principal,
      serverName: '',
      routeName: this.action?.name ?? '',
      traceId: this.traceId,
    });
  }
}
