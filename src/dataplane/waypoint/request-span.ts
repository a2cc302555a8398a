/** The span of a request: OpenTelemetry's semantic conventions for HTTP servers, and the tags Istio's proxies put beside them. */
import type { Workload } from '../../mesh/index.ts';
import type { SpanData } from '../../platform/telemetry/index.ts';
import { addressOf, clusterName } from './destination-names.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { headerOf } from './header-fields.ts';

/** What the conventions know; anything else would make a series of its own. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY']);
/** gRPC statuses that are the server's fault (semantic conventions for gRPC, "Status"): UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const GRPC_SERVER_ERRORS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);
const NANOSECONDS = 1_000_000;

export function requestSpan(record: ExchangeRecord, duration: number): SpanData {
  const { head, client, endpoint, backend, status, grpcStatus, flags, startedAt } = record;
  const start = nanoseconds(performance.timeOrigin + startedAt);
  const query = head.path.indexOf('?');
  const isKnownMethod = METHODS.has(head.method);
  const { host, port } = splitAuthority(head.authority);
  const service = record.upstream?.service ?? client.service;
  const error = errorOf(record);
  const cluster = backend === undefined ? undefined : clusterName(backend, 'http');
  return {
    traceId: record.traceId,
    spanId: record.spanId,
    parentSpanId: record.parentSpanId,
    traceState: record.parentSpanId === '' ? '' : stateOf(record),
    name: `${service?.hostname ?? head.authority}:${client.port}/*`,
    start,
    end: start + nanoseconds(duration),
    error: error === undefined ? undefined : record.failure || `status ${error}`,
    attributes: {
      'http.request.method': isKnownMethod ? head.method : '_OTHER',
      'http.request.method_original': isKnownMethod ? undefined : head.method,
      'http.response.status_code': status === 0 ? undefined : status,
      'url.scheme': head.scheme || 'http',
      'url.path': query < 0 ? head.path : head.path.slice(0, query),
      'url.query': query < 0 ? undefined : head.path.slice(query + 1),
      'server.address': host,
      'server.port': port ?? client.port,
      'client.address': client.ip,
      'network.protocol.name': 'http',
      'network.protocol.version': head.version.slice('HTTP/'.length),
      'user_agent.original': headerOf(head.headers, 'user-agent'),
      'http.request.body.size': record.requestBytes,
      'http.response.body.size': record.responseBytes,
      'error.type': error,
      'rpc.system': record.isGrpc ? 'grpc' : undefined,
      'rpc.grpc.status_code': record.isGrpc && grpcStatus >= 0 ? grpcStatus : undefined,
      component: 'proxy',
      upstream_cluster: cluster,
      'upstream_cluster.name': cluster,
      upstream_address: endpoint === undefined ? undefined : addressOf(endpoint),
      response_flags: flags || '-',
      'guid:x-request-id': record.requestId,
      'peer.address': client.ip,
      ...workloadTags('source', client.workload),
      'istio.source_principal': client.principal,
      ...workloadTags('destination', endpoint?.workload),
      'istio.destination_service': service?.hostname,
      'istio.route': record.action?.name,
    },
  };
}

/** As Istio's waypoints name both ends of a request since 1.29. */
const workloadTags = (end: 'source' | 'destination', workload: Workload | undefined): SpanData['attributes'] =>
  workload === undefined
    ? {}
    : {
        [`istio.${end}_workload`]: workload.workloadName,
        [`istio.${end}_namespace`]: workload.namespace,
        [`istio.${end}_instance_name`]: workload.name,
        [`istio.${end}_canonical_service`]: workload.canonicalName,
        [`istio.${end}_canonical_revision`]: workload.canonicalRevision,
      };

/** What the span's status and `error.type` say: the status where the server is at fault, else why there was no whole answer. */
function errorOf({ status, isGrpc, grpcStatus, flags, details }: ExchangeRecord): string | undefined {
  if (status >= 500) return String(status);
  if (isGrpc && GRPC_SERVER_ERRORS.has(grpcStatus)) return String(grpcStatus);
  const isCut = status === 0 || details === 'downstream_remote_disconnect' || details === 'upstream_reset_after_response_started';
  return isCut ? flags || 'cancelled' : undefined;
}

const nanoseconds = (milliseconds: number): bigint => BigInt(Math.round(milliseconds * 1000)) * BigInt(NANOSECONDS / 1000);

function splitAuthority(authority: string): { host: string; port: number | undefined } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(authority);
  return { host: match?.[1] ?? match?.[2] ?? authority, port: match?.[3] === undefined ? undefined : Number(match[3]) };
}

const stateOf = ({ head }: ExchangeRecord): string =>
  head.headers
    .filter(([name]) => name === 'tracestate')
    .map(([, value]) => value)
    .join(',');
