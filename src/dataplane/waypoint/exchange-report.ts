/** What is said of an exchange that is over: metrics, its span, its line in the access log. */
import type { RequestContext } from './context.ts';
import { addressOf, clusterName } from './destination-names.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { headerOf } from './header-fields.ts';

/** `duration`: in milliseconds, from the first octet of the request to the last of the response. */
export function reportExchange(record: ExchangeRecord, context: RequestContext, duration: number): void {
  const { client, endpoint } = record;
  const service = record.upstream?.service ?? client.service;
  context.metrics.record(
    { source: client.workload, sourcePrincipal: client.principal, destination: endpoint?.workload, service },
    {
      protocol: record.isGrpc ? 'grpc' : 'http',
      status: record.status,
      grpcStatus: record.grpcStatus,
      flags: record.flags,
      duration,
      requestBytes: record.requestBytes,
      responseBytes: record.responseBytes,
      requestMessages: record.requestMessages?.count ?? 0,
      responseMessages: record.responseMessages?.count ?? 0,
    },
  );
  if (record.isSampled) context.tracer.end(record, duration);
  if (context.access.isEnabled) log(record, context, duration);
}

function log(record: ExchangeRecord, context: RequestContext, duration: number): void {
  const { head, client, endpoint, backend } = record;
  const { headers } = head;
  context.access.write({
    start: performance.timeOrigin + record.startedAt,
    method: head.method,
    path: head.path,
    protocol: head.version,
    status: record.status,
    flags: record.flags,
    details: record.details,
    failure: record.failure,
    bytesReceived: record.requestBytes,
    bytesSent: record.responseBytes,
    duration,
    upstreamTime: record.upstreamTime,
    forwardedFor: headerOf(headers, 'x-forwarded-for') ?? '',
    userAgent: headerOf(headers, 'user-agent') ?? '',
    requestId: record.requestId,
    authority: head.authority,
    upstreamHost: endpoint === undefined ? '' : addressOf(endpoint),
    upstreamCluster: backend === undefined ? '' : clusterName(backend, 'http'),
    downstreamLocal: client.target,
    downstreamRemote: client.address,
    downstreamPrincipal: client.principal,
    serverName: '',
    routeName: record.action?.name ?? '',
    traceId: record.traceId,
  });
}
