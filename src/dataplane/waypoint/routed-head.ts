/** The heads of a routed exchange: what goes to the endpoint, and what of its response goes to the client. */
import { corsResponseEdit, editHeaders, type PathMatch, rewritePath, type WeightedBackend } from '../../mesh/http/index.ts';
import type { HeaderList } from '../../protocol/index.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { propagated } from './tracer.ts';
import type { Upstream } from './traffic.ts';
import type { OutgoingRequest } from './upstream.ts';

/** `path` is the condition of the rule that was taken. */
export function outgoingRequest(record: ExchangeRecord, backend: WeightedBackend, path: PathMatch | undefined): OutgoingRequest {
  const { head, action } = record;
  let { path: target, authority } = head;
  let headers = propagated(record);
  if (action?.requestHeaders !== undefined) headers = editHeaders(headers, action.requestHeaders);
  if (backend.requestHeaders !== undefined) headers = editHeaders(headers, backend.requestHeaders);
  for (const rewrite of [action?.rewrite, backend.rewrite]) {
    if (rewrite === undefined) continue;
    if (rewrite.path !== undefined) target = rewritePath(target, rewrite.path, path);
    if (rewrite.host !== undefined) authority = rewrite.host;
  }
  const { method, scheme, contentLength, upgrade, acceptsTrailers } = head;
  return { method, path: target, authority, scheme, headers, contentLength, upgrade, acceptsTrailers };
}

/** The response's fields as the route wants them; the backend's own edits first. */
export function editedResponse({ action, backend, head }: ExchangeRecord, received: HeaderList): HeaderList {
  let headers = received;
  if (backend?.responseHeaders !== undefined) headers = editHeaders(headers, backend.responseHeaders);
  if (action?.responseHeaders !== undefined) headers = editHeaders(headers, action.responseHeaders);
  const edit = action?.cors && corsResponseEdit(action.cors, head, headers);
  return edit === undefined ? headers : editHeaders(headers, edit);
}

/** Which version is spoken to the endpoint. */
export function speaksHttp2({ head, isGrpc }: ExchangeRecord, { policy, protocol }: Upstream): boolean {
  if (head.upgrade !== '') return false;
  const isHttp2 = head.version === 'HTTP/2';
  const pool = policy?.connectionPool;
  if (pool?.useClientProtocol) return isHttp2;
  if (pool?.h2Upgrade) return true;
  if (protocol === 'HTTP2' || protocol === 'GRPC') return true;
  // gRPC cannot be carried by HTTP/1.1; a server that is called with it understands HTTP/2.
  return isHttp2 && (protocol === 'UNKNOWN' || isGrpc);
}
